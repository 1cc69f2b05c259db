/**
 * Which rollout of an announcement a component takes, and why not the others. Pure: the
 * announcement has been verified, the bundle signatures are verified here, before a byte is
 * downloaded. Every answer carries its reason, because "nothing happened" is not an explanation.
 */

import type { Announcement, Rollout } from '../../shared/announcement.ts';
import { archFits } from '../../shared/arch.ts';
import { verifyBundle, type VerifiedBundle } from '../../shared/bundle-signature.ts';
import { cohortFraction } from '../../shared/cohort.ts';
import { DroverError, toProblem, type ErrorCode, type Problem } from '../../shared/errors.ts';
import type { EpochMs, RobotId } from '../../shared/ids.ts';
import type { Progress } from '../../shared/progress.ts';
import type { TrustRoot } from '../../shared/trust.ts';
import { compareVersions, versionIsNewer, versionMeets } from '../../shared/version.ts';
import { makeJob, type Job, type MachineState } from './state.ts';

export interface RobotFacts {
  readonly robot: RobotId;
  readonly component: string;
  readonly arch: string;
  readonly tags: readonly string[];
  /** Version that `active` leads to; null when nothing is installed. */
  readonly version: string | null;
  readonly blocked: MachineState['blocked'];
  readonly trust: TrustRoot;
  /** Newest accepted progress of each rollout. */
  readonly progress: ReadonlyMap<string, Progress>;
  readonly now: EpochMs;
}

/** What this bundle is to this robot. */
export type Verdict =
  | { readonly kind: 'take'; readonly job: Job }
  /** It runs here already. */
  | { readonly kind: 'runs'; readonly version: string }
  /** Meant for this robot, but not yet. */
  | { readonly kind: 'wait'; readonly version: string; readonly problem: Problem }
  | { readonly kind: 'refuse'; readonly version: string | null; readonly problem: Problem }
  | { readonly kind: 'notForUs' };

export interface Decision {
  /** The one verdict that counts for the component. */
  readonly verdict: Verdict;
  readonly rollout: string | null;
  /** Set when the robot is too old for what is announced and nothing else helps it. */
  readonly wantedPackage: { readonly version: string; readonly minCurrentVersion: string } | null;
}

const NOTHING: Decision = { verdict: { kind: 'notForUs' }, rollout: null, wantedPackage: null };

/** The best that an announcement offers: the highest version that can be taken now. */
export function decideOffer(announcement: Announcement, facts: RobotFacts): Decision {
  const judged = announcement.rollouts.map((rollout) => ({
    rollout: rollout.id as string,
    ...judge(rollout, announcement.seq, facts),
  }));
  const takes = judged.flatMap((one) => (one.verdict.kind === 'take' ? [one.verdict.job] : []));
  takes.sort((a, b) => compareVersions(b.version, a.version));
  const best = takes[0];
  if (best) return { ...NOTHING, verdict: { kind: 'take', job: best }, rollout: best.rollout };
  const tooOld = judged.find((one) => one.tooOld !== null)?.tooOld ?? null;
  for (const kind of ['wait', 'refuse', 'runs'] as const) {
    const found = judged.find(
      (one) => one.verdict.kind === kind && !(kind === 'refuse' && isOldNews(one.verdict, judged)),
    );
    if (found) return { verdict: found.verdict, rollout: found.rollout, wantedPackage: tooOld };
  }
  return NOTHING;
}

/** A lower version beside the one that runs here is an older rollout, not worth a refusal. */
function isOldNews(verdict: Verdict, all: readonly { verdict: Verdict }[]): boolean {
  const code = verdict.kind === 'refuse' ? verdict.problem.code : null;
  return code === 'NOT_NEWER' && all.some((one) => one.verdict.kind === 'runs');
}

interface Judgement {
  readonly verdict: Verdict;
  readonly tooOld: Decision['wantedPackage'];
}

function judge(rollout: Rollout, seq: number, facts: RobotFacts): Judgement {
  if (!isTargeted(rollout, facts)) return { verdict: { kind: 'notForUs' }, tooOld: null };
  let bundle: VerifiedBundle;
  try {
    bundle = verifyBundle({
      manifestBytes: rollout.manifest,
      signatures: [rollout.signature, ...rollout.cosignatures],
      trust: facts.trust,
    });
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    return { verdict: { kind: 'refuse', version: null, problem: toProblem(thrown) }, tooOld: null };
  }
  const { manifest } = bundle;
  if (manifest.name !== facts.component) return { verdict: { kind: 'notForUs' }, tooOld: null };
  const { version, min_current_version: minimum } = manifest;
  const verdict = judgeBundle(bundle, rollout, seq, facts);
  const isTooOld = verdict.kind === 'refuse' && verdict.problem.code === 'TOO_OLD';
  return { verdict, tooOld: isTooOld ? { version, minCurrentVersion: minimum } : null };
}

function isTargeted({ target }: Rollout, facts: RobotFacts): boolean {
  if (target.arch !== undefined && !archFits(target.arch, facts.arch)) return false;
  if (target.robots.length > 0 && !target.robots.includes(facts.robot)) return false;
  return target.tags.every((tag) => facts.tags.includes(tag));
}

function judgeBundle(
  bundle: VerifiedBundle,
  rollout: Rollout,
  seq: number,
  facts: RobotFacts,
): Verdict {
  const { manifest } = bundle;
  const { version } = manifest;
  const no = (code: ErrorCode, why: string): Verdict => ({
    kind: 'refuse',
    version,
    problem: toProblem(new DroverError(code, `take ${manifest.name} ${version}: ${why}`)),
  });
  if (!archFits(manifest.target_arch, facts.arch)) {
    return no('ARCH_WRONG', `other arch (got ${manifest.target_arch}, want ${facts.arch})`);
  }
  if (facts.version !== null) {
    if (compareVersions(version, facts.version) === 0) return { kind: 'runs', version };
    if (!versionIsNewer(version, facts.version)) {
      return no(
        'NOT_NEWER',
        `not newer than what runs (got ${version}, want above ${facts.version})`,
      );
    }
  }
  const failed = facts.blocked.find((one) => one.payloadSha256 === manifest.payload_sha256);
  if (failed) return no('FAILED_BEFORE', `it failed on this robot (${failed.code})`);
  // A robot with nothing installed has nothing that a new version could be too new for.
  if (facts.version !== null && !versionMeets(facts.version, manifest.min_current_version)) {
    const want = manifest.min_current_version;
    return no(
      'TOO_OLD',
      `this robot is too old for it (got ${facts.version}, want at least ${want})`,
    );
  }
  const artifact = rollout.artifacts.find((one) => one.kind === 'full');
  if (!artifact) return no('ANNOUNCEMENT_INVALID', 'the rollout offers no full artifact');
  const mismatch = artifactMismatch(manifest, artifact);
  if (mismatch) return no('ANNOUNCEMENT_INVALID', mismatch);
  const gate = cohortGate(rollout, facts);
  if (gate) return { kind: 'wait', version, problem: gate };
  return { kind: 'take', job: makeJob({ rollout, artifact, bundle, seq, now: facts.now }) };
}

/** The rollout key may not say anything about the payload that the release key did not. */
function artifactMismatch(
  manifest: VerifiedBundle['manifest'],
  artifact: { sha256: string; size: number },
): string | null {
  if (artifact.sha256 !== manifest.payload_sha256) {
    return 'the full artifact is not the payload that was signed';
  }
  if (manifest.payload_size !== undefined && manifest.payload_size !== artifact.size) {
    return `other payload size than signed (got ${artifact.size}, want ${manifest.payload_size})`;
  }
  return null;
}

/** Null when the robot's turn has come. */
function cohortGate(rollout: Rollout, facts: RobotFacts): Problem | null {
  const later = (code: ErrorCode, why: string): Problem =>
    toProblem(new DroverError(code, `join rollout ${rollout.id}: ${why}`));
  const found = facts.progress.get(rollout.id);
  const progress = found && facts.now < found.expires_at ? found : undefined;
  if (progress && progress.status !== 'rolling' && progress.status !== 'complete') {
    return later('ROLLOUT_STOPPED', `it is ${progress.status}`);
  }
  const everybodyAtOnce = rollout.waves.length === 1 && rollout.waves[0]?.percent === 100;
  if (rollout.emergency || everybodyAtOnce) return null;
  if (!progress) return later('COHORT_CLOSED', 'no controller has opened a wave yet');
  const fraction = cohortFraction(rollout.salt, facts.robot);
  if (fraction < progress.threshold) return null;
  const [got, open] = [fraction, progress.threshold].map((part) => (part * 100).toFixed(1));
  return later('COHORT_CLOSED', `this robot's turn is at ${got} % (open up to ${open} %)`);
}
