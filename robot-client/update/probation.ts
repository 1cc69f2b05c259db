/**
 * Decides whether `active` still leads to the version on probation. A person may have gone back by
 * hand: then the answers of `health` concern another version, and confirm nothing. The same holds
 * for a confirmed version, while there is no update. Counts and bounds the boots of a version on
 * probation. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { moduleOf, SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import type { BootMoment } from '../boot/boot-slots.ts';
import { isUnknown, type Slots } from '../install/slots.ts';
import { blockOf } from './blocks.ts';
import { isPatching } from './delta.ts';
import { isBound, type Job, type MachineState } from './state.ts';

export type OnTrial =
  | { readonly kind: 'runs' }
  /** It cannot be read now: nothing is confirmed and nothing ends. */
  | { readonly kind: 'unsure' }
  /** The link or its release is gone; after one reading, a person may be about to make it again. */
  | { readonly kind: 'gone'; readonly problem: Problem }
  | { readonly kind: 'other'; readonly problem: Problem };

/** @param version on probation */
export function onTrial({ active }: Slots, version: string): OnTrial {
  switch (active.kind) {
    case 'release':
      return active.version === version
        ? { kind: 'runs' }
        : { kind: 'other', problem: takenBack(version, `active leads to ${active.version}`) };
    case 'foreign':
      return isUnknown(active)
        ? { kind: 'unsure' }
        : { kind: 'other', problem: takenBack(version, active.problem.message) };
    case 'lost':
      return { kind: 'gone', problem: lost(version, active.problem.message) };
    case 'absent':
      return { kind: 'gone', problem: lost(version, 'read active: the link is gone') };
  }
}

/** A person led `active` elsewhere while a version was on probation. */
export function takenBack(version: string, why: string): Problem {
  return toProblem(new DroverError('ACTIVE_CHANGED', `confirm ${version}: ${why}`));
}

/**
 * A person led `active` back to another release while there was no update. The replaced version is
 * not installed again for its rollout until a person asks for it.
 * @returns null when `active` is unchanged, or leads to something newer
 */
export function ledBack(state: MachineState, { active }: Slots, now: EpochMs): MachineState | null {
  const { phase, installed, blocked } = state;
  if (phase !== 'idle' || !installed || active.kind !== 'release') return null;
  if (compareVersions(active.version, installed.version) >= 0) return null;
  const { version } = installed;
  const message = `keep ${version}: active leads to ${active.version}`;
  const problem = toProblem(new DroverError('ACTIVE_CHANGED', message));
  return {
    ...state,
    blocked: [...blocked, blockOf(installed, problem.code)].slice(-LIMITS.blockedBundlesMax),
    ...{ installed: null, lastActive: active.version, retry: null },
    lastProblem: { ...problem, version, atMs: now },
  };
}

const lost = (version: string, why: string): Problem =>
  toProblem(new DroverError('RELEASE_LOST', `confirm ${version}: ${why}`));

/** Boots and starts that ended in good health count no more: the others of a set may take many. */
export const wellAgain = (job: Job): Job => ({
  ...job,
  health: job.health === 'unasked' ? 'well' : 'sure',
  ...{ boots: 0, bootCounted: false },
  seenBoot: job.seenBoot && { ...job.seenBoot, starts: 0 },
});

const APPLICATION = 'the application';

/** The same failure, with a hint about what this strategy brings into effect. */
export function aboutStrategy(failure: DroverError, strategy: string): Problem {
  const module = moduleOf(strategy);
  const ofModule = `the release that module ${module} applied`;
  const subject = module !== null ? ofModule : strategy === SLOT_IMAGE ? 'the image' : APPLICATION;
  const { code, message, hint } = toProblem(failure);
  return { code, message, hint: hint.replace(APPLICATION, subject) };
}

export type StartedBy = 'recover' | 'agent';

interface Start {
  readonly by: StartedBy;
  /** Null where the kernel does not name its boots: then each start of the agent is one. */
  readonly at?: BootMoment | null;
}

/**
 * - `noted`: `recover` has counted this boot
 * - `again`: the agent was started again in a boot that it has seen in this probation
 */
function kindOf(job: Job, { by, at }: Start): 'boot' | 'noted' | 'again' {
  if (by === 'recover') return 'boot';
  if (job.bootCounted) return 'noted';
  return at && job.seenBoot?.id === at.bootId ? 'again' : 'boot';
}

/** Why a version on probation is not started once more; null when it is. */
export function startsSpent(
  state: MachineState,
  start: Start & { readonly bootsMax: number },
): Problem | null {
  const { phase, job } = state;
  if (phase !== 'probation' || !job || isBound(state)) return null;
  const [kind, starts, { bootsMax }] = [kindOf(job, start), job.seenBoot?.starts ?? 0, start];
  const spent = (code: 'BOOT_LIMIT_REACHED' | 'START_LIMIT_REACHED', why: string): Problem =>
    aboutStrategy(
      new DroverError(code, `start ${job.version}: not confirmed before ${why}`),
      job.strategy,
    );
  if (kind === 'boot' && job.boots >= bootsMax) {
    return spent('BOOT_LIMIT_REACHED', `boot ${job.boots + 1} (want at most ${bootsMax})`);
  }
  const startsMax = bootsMax * LIMITS.probationStartsPerBoot;
  if (kind !== 'again' || starts < startsMax) return null;
  const counts = `(want at most ${startsMax})`;
  return spent(
    'START_LIMIT_REACHED',
    `start ${starts + 1} of the agent beside its boots ${counts}`,
  );
}

/**
 * A start while a delta is applied counts. A boot during probation counts once, whether `recover`
 * or the agent notices it first; each further start of the agent in it counts as such.
 */
export function counted(state: MachineState, start: Start): MachineState {
  const { job, phase } = state;
  // A person who restarts a stuck robot waits beside it, so the waits begin again.
  if (job && phase === 'stuck') return { ...state, job: { ...job, stuckCount: 0 } };
  if (job && isPatching(state) && start.by === 'agent') {
    return { ...state, job: { ...job, patchStarts: job.patchStarts + 1 } };
  }
  if (!job || phase !== 'probation') return state;
  // It has said that it is healthy for good: the decision confirms it, or takes it back.
  if (isBound(state)) return state;
  const [kind, at, seen] = [kindOf(job, start), start.at ?? null, job.seenBoot];
  const asked = { ...job, health: 'unasked' } as const;
  if (kind === 'again' && seen) {
    return { ...state, job: { ...asked, seenBoot: { ...seen, starts: seen.starts + 1 } } };
  }
  const seenBoot = at && { id: at.bootId, sinceMs: at.upMs, starts: seen?.starts ?? 0 };
  const boots = kind === 'boot' ? job.boots + 1 : job.boots;
  return { ...state, job: { ...asked, boots, bootCounted: start.by === 'recover', seenBoot } };
}

/** Probation begins; the boot in which the agent switched is no boot without a confirmation. */
export const switchedIn = (job: Job, at: BootMoment | null): Job => ({
  ...job,
  seenBoot: at && { id: at.bootId, sinceMs: at.upMs, starts: 0 },
});

/**
 * Time for health, in ms: the time-out. After a restart of the agent it is the rest of that, and at
 * least half of it, since `start` may have started the application again.
 */
export function healthTimeOf({ healthTimeoutMs, seenBoot }: Job, at: BootMoment | null): number {
  if (!at || seenBoot === null || seenBoot.id !== at.bootId) return healthTimeoutMs;
  if (seenBoot.starts === 0) return healthTimeoutMs;
  const spentMs = Math.max(0, at.upMs - seenBoot.sinceMs);
  return Math.max(healthTimeoutMs - spentMs, Math.ceil(healthTimeoutMs / 2));
}
