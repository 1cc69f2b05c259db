/**
 * Decides which rollout of an announcement a component takes, and why not the others. Pure: the
 * announcement has been verified, the bundle signatures are verified here, before a byte is
 * downloaded. Every answer carries its reason, because "nothing happened" is not an explanation.
 * Sans-I/O.
 */

import type { Announcement, Rollout } from '../../shared/formats/announcement.ts';
import { verifyRollout, type VerifiedBundle } from '../../shared/formats/bundle-signature.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import {
  decideTurn,
  isOpen,
  isTargeted,
  unfitFor,
  type TurnFacts,
} from '../../shared/rules/rollout-rules.ts';
import { brokenBound } from '../../shared/rules/release-word.ts';
import {
  isAbout,
  releaseOf,
  type OfferedRelease,
  type RunningRelease,
} from '../../shared/rules/release-identity.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { assertLogged } from '../../shared/tlog/logged.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import { blockAgainst, blockedBy } from './blocks.ts';
import { offersOf } from './delta.ts';
import { isPassing, requiresProblem } from './requires-check.ts';
import { judgeSet } from './set-offer.ts';
import { makeJob, type MachineState } from './state.ts';
import {
  FOR_OTHERS,
  type Decision,
  type OtherFacts,
  type RobotFacts,
  type Verdict,
} from './verdict.ts';

export { decideTurn };

const NOTHING: Decision = { verdict: { kind: 'notForUs' }, rollout: null, wantedPackage: null };

/**
 * The best that an announcement offers: the highest version that can be taken now.
 * [P-10.2] [P-10.3]
 */
export function decideOffer(announcement: Announcement, facts: RobotFacts): Decision {
  const judged = announcement.rollouts.map((rollout) => {
    const judgement = judge(rollout, announcement.seq, facts);
    const { verdict } = judgement;
    const judgeFor = (other: Rollout, about: OtherFacts): Verdict =>
      judge(other, announcement.seq, { ...facts, ...about }).verdict;
    const ofSet = { announcement, rollout, facts, judgeFor };
    const { set } = rollout;
    const whole = verdict.kind === 'take' && set ? judgeSet(verdict, set, ofSet) : verdict;
    return { ...judgement, rollout: rollout.id, verdict: whole };
  });
  const isAnnounced = judged.some((one) => one.verdict.kind === 'runs');
  const takes = judged
    .flatMap((one) => (one.verdict.kind === 'take' ? [one.verdict.job] : []))
    // Back from a version that is announced as well, it would update again, for ever.
    .filter((job) => !isAnnounced || !facts.version || !isLower(job.version, facts.version));
  takes.sort((a, b) => compareVersions(b.version, a.version));
  const best = takes[0];
  if (best) return { ...NOTHING, verdict: { kind: 'take', job: best }, rollout: best.rollout };
  const tooOld = judged.find((one) => one.tooOld !== null)?.tooOld ?? null;
  const found =
    judged.find((one) => one.verdict.kind === 'wait') ??
    judged.find((one) => isWorthTelling(one.verdict)) ??
    judged.find((one) => one.verdict.kind === 'runs') ??
    judged.find((one) => codeOf(one.verdict) === 'NOT_NEWER') ??
    judged.find((one) => one.verdict.kind === 'refuse');
  return found
    ? { verdict: found.verdict, rollout: found.rollout, wantedPackage: tooOld }
    : NOTHING;
}

const isLower = (one: string, than: string): boolean => compareVersions(one, than) < 0;

const codeOf = (verdict: Verdict): ErrorCode | null =>
  verdict.kind === 'refuse' ? verdict.problem.code : null;

/**
 * A lower version beside the active one is an older rollout, and one for another CPU is for other
 * robots: they are reported only when there is nothing else to report, and hide nothing.
 */
function isWorthTelling(verdict: Verdict): boolean {
  const code = codeOf(verdict);
  return code !== null && !FOR_OTHERS.some((one) => one === code);
}

interface Judgement {
  readonly verdict: Verdict;
  readonly tooOld: Decision['wantedPackage'];
}

function judge(rollout: Rollout, seq: number, facts: RobotFacts): Judgement {
  if (!isTargeted(rollout, facts)) return { verdict: { kind: 'notForUs' }, tooOld: null };
  let bundle: VerifiedBundle;
  try {
    bundle = verifyRollout(rollout, facts.trust);
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
  const { arch, version: current, payloadSha256 = null, highest = null, ran = [] } = facts;
  const running = current === null ? null : { version: current, payloadSha256 };
  const unfit = unfitFor(manifest, { arch, running, highest, ran, compatible: facts.compatible });
  if (unfit === 'ARCH_WRONG') {
    return no(unfit, `other arch (got ${manifest.target_arch}, want ${facts.arch})`);
  }
  if (unfit === 'COMPATIBLE_WRONG') return no(unfit, otherMachine(manifest, facts));
  if (unfit === 'RUNS_IT') return { kind: 'runs', version };
  if (unfit === 'VERSION_REUSED' && running) return no(unfit, reusedText(manifest, running));
  if (unfit === 'NOT_NEWER') {
    return no(unfit, `not newer than what runs (got ${version}, want above ${facts.version})`);
  }
  if (unfit === 'BELOW_HIGHEST') {
    const why = `lower than what was confirmed here, and never ran here (got ${version}, want at least ${highest})`;
    return no(unfit, why);
  }
  const offer = { version, payloadSha256: manifest.payload_sha256, rollout: rollout.id };
  const block = blockAgainst(facts.blocked, offer);
  if (block) {
    return no('FAILED_BEFORE', `${blockedBy(block)} on this robot (${block.code})`);
  }
  const unlogged = logProblem(bundle, rollout, facts.logPolicy ?? null);
  if (unlogged) return no(unlogged.code, unlogged.message);
  if (unfit === 'TOO_OLD') {
    const want = manifest.min_current_version;
    return no(unfit, `this robot is too old for it (got ${facts.version}, want at least ${want})`);
  }
  const lacks = judgeRequires(manifest, rollout, facts);
  if (lacks) return lacks;
  const artifact = rollout.artifacts.find((one) => one.kind === 'full');
  if (!artifact) return no('ANNOUNCEMENT_INVALID', 'the rollout offers no full artifact');
  const mismatch = artifactMismatch(manifest, artifact);
  if (mismatch) return no('ANNOUNCEMENT_INVALID', mismatch);
  const broken = brokenBound(manifest, rollout);
  if (broken) return no('RELEASE_BOUNDS', `its manifest does not allow it: ${broken}`);
  const turn = decideTurn(rollout, turnFactsOf(rollout, facts));
  if (turn) return { kind: 'wait', version, ...turn };
  const offers = offersOf(manifest, rollout.artifacts, facts.patching ?? null);
  const { announcedBy: by = [], now } = facts;
  return { kind: 'take', job: makeJob({ rollout, artifact, offers, bundle, by, seq, now }) };
}

const turnFactsOf = ({ id, manifest }: Rollout, facts: RobotFacts): TurnFacts => ({
  robot: facts.robot,
  tags: facts.tags,
  progress: ofRelease(facts.progress.get(id), manifest),
  completeSinceMs: facts.completeSince.get(id),
  hasJoined: facts.joined === id,
  isAnswered: facts.unanswered?.has(id) !== true,
  localTime: facts.localTime,
  now: facts.now,
});

/** [P-3.12] While another component is in an update, its end is waited for. */
function judgeRequires(
  manifest: VerifiedBundle['manifest'],
  { set }: Rollout,
  { others }: RobotFacts,
): Verdict | null {
  const problem = requiresProblem(manifest, set ?? null, others);
  if (problem === null) return null;
  const { version } = manifest;
  const mayWait = problem.code === 'REQUIRES_UNKNOWN' && isPassing(manifest, others);
  if (mayWait) return { kind: 'wait', version, problem, untilMs: null };
  return { kind: 'refuse', version, problem };
}

function otherMachine(
  manifest: VerifiedBundle['manifest'],
  { compatible = [] }: RobotFacts,
): string {
  const [got, want] = [manifest.compatible, compatible].map((all) => all.join(' or ') || 'no name');
  return `for another machine (got ${got}, want ${want})`;
}

/** [P-14.6] */
function logProblem(
  { manifestBytes }: VerifiedBundle,
  { log_proof: proof }: Rollout,
  policy: LogPolicy | null,
): Problem | null {
  if (policy === null) return null;
  try {
    assertLogged(manifestBytes, proof, policy);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    return toProblem(thrown);
  }
}

function reusedText(offered: OfferedRelease, { version, payloadSha256 }: RunningRelease): string {
  const bytes = (hash: string | null): string => hash?.slice(0, 12) ?? 'unknown bytes';
  return `${version} runs here from another payload (got ${bytes(offered.payload_sha256)}, want ${bytes(payloadSha256)})`;
}

/** The rollout key may not state anything about the payload that the release key did not sign. */
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

/** A rollout id that was used again: progress of the former release does not apply to this one. */
const ofRelease = (found: Progress | undefined, manifest: Uint8Array | null) =>
  found && (manifest === null || isAbout(found, releaseOf(manifest))) ? found : undefined;

/** Why a release that is staged is not switched: its rollout was stopped. Null when it goes on. */
export function decideStopped(
  { job }: Pick<MachineState, 'job'>,
  progress: ReadonlyMap<string, Progress>,
  now: EpochMs,
): string | null {
  const found = job && ofRelease(progress.get(job.rollout), base64ToBytes(job.manifest));
  if (!found || now >= found.expires_at || isOpen(found)) return null;
  const isBack = found.recall || found.status === 'rolling_back';
  const why = isBack ? 'called back by the fleet' : `${found.status} by the fleet`;
  return found.reasons[0] === undefined ? why : `${why}: ${found.reasons[0]}`;
}

export interface RecallFacts {
  readonly state: MachineState;
  readonly active: string | null;
  /** Release in `rollback`. */
  readonly rollback: string | null;
  readonly progress: ReadonlyMap<string, Progress>;
  /** Component of its set that has no release to go back to. */
  readonly hinder?: string | null;
  readonly now: EpochMs;
}

/** True when the rollout that installed the active version was recalled. [P-6.4] */
export function decideRecall(facts: RecallFacts): Problem | null {
  const { state, active, rollback, progress, now } = facts;
  const isProbation = state.phase === 'probation';
  const job = isProbation ? state.job : state.phase === 'idle' ? state.installed : null;
  if (!job || job.version !== active) return null;
  const found = ofRelease(progress.get(job.rollout), base64ToBytes(job.manifest));
  if (!found || now >= found.expires_at) return null;
  if (!found.recall && found.status !== 'rolling_back') return null;
  const why = found.reasons[0] ?? 'no reason was given';
  const no = (code: ErrorCode, text: string): Problem =>
    toProblem(new DroverError(code, `keep ${job.version} of rollout ${job.rollout}: ${text}`));
  const { hinder = null } = facts;
  if (hinder !== null) {
    const text = `${hinder} of its set has no release to go back to`;
    return no('RECALL_IMPOSSIBLE', `it was taken back (${why}), and ${text}`);
  }
  return rollback === null || rollback !== job.previousVersion
    ? no('RECALL_IMPOSSIBLE', `it was taken back (${why}), and there is no release to go back to`)
    : no('ROLLOUT_RECALLED', `it was taken back (${why})`);
}
