/**
 * Rules of a rollout that more than one program applies: its target, the canaries, whose turn it
 * is, what needs a controller, and which robot cannot take a version. The robot obeys them, the
 * controller counts by them, the publisher warns by them. Sans-I/O.
 */

import { instantText } from '../base/durations.ts';
import type { ErrorCode } from '../base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../base/errors.ts';
import type { EpochMs, RobotId } from '../base/ids.ts';
import { utf8 } from '../crypto/bytes.ts';
import { sha256 } from '../crypto/hash.ts';
import type { Rollout, RolloutFields } from '../formats/announcement.ts';
import {
  COMPATIBLE_CAPABILITY,
  fitsMachine,
  moduleOf,
  REQUIRES_CAPABILITY,
  SLOT_CAPABILITY,
  SLOT_IMAGE,
} from '../formats/apply-strategy.ts';
import type { Manifest } from '../formats/manifest.ts';
import type { RobotState } from '../formats/messages.ts';
import type { Progress } from '../formats/progress.ts';
import { compareReleases, type RunningRelease } from './release-identity.ts';
import { startWait, type LocalTime, type StartRules } from './start-time.ts';
import { lackByReport, type Together } from './requires.ts';
import { isBelowHighest, mayGoDown, type Confirmed } from './release-word.ts';
import { versionMeets } from '../base/version.ts';

/** The facts about a robot that targeting needs. */
export interface Asked {
  readonly robot: RobotId;
  readonly arch: string;
  readonly tags: readonly string[];
}

/** True when the rollout targets this robot; its bundle may still be of another arch. [P-5.4] */
export function isTargeted({ target }: Pick<Rollout, 'target'>, asked: Asked): boolean {
  if (target.arch !== undefined && !archFits(target.arch, asked.arch)) return false;
  if (target.robots.length > 0 && !target.robots.includes(asked.robot)) return false;
  return target.tags.every((tag) => asked.tags.includes(tag));
}

/** A rollout as it was written, with what its defaults leave out, or as it was parsed. */
export type StepRules = Pick<
  RolloutFields,
  'waves' | 'emergency' | 'canaries' | 'approve_after'
> & {
  /** Null as the API tells none. */
  readonly budget?: RolloutFields['budget'] | null;
};

export const hasCanaries = ({ canaries = {} }: Pick<RolloutFields, 'canaries'>): boolean =>
  (canaries.robots ?? []).length > 0 || (canaries.tags ?? []).length > 0;

/** Seconds that the wave of the explicit canaries soaks. */
export const canarySoakS = ({
  canaries = {},
  waves,
}: {
  readonly canaries?: { readonly soak_s?: number | undefined } | undefined;
  readonly waves: readonly { readonly soak_s?: number | undefined }[];
}): number => canaries.soak_s ?? waves[0]?.soak_s ?? 0;

/** Named as a canary: it comes before the first wave. [P-6.5] */
export function isCanary(
  { canaries }: Pick<Rollout, 'canaries'>,
  { robot, tags }: Pick<Asked, 'robot' | 'tags'>,
): boolean {
  if (canaries.robots.includes(robot)) return true;
  return canaries.tags.length > 0 && canaries.tags.every((tag) => tags.includes(tag));
}

/**
 * False for an emergency, and for one wave that includes every robot without canaries: robots take
 * those from the announcement alone. For all others a controller has to open the waves, or to grant
 * the places of a budget.
 */
export function needsController(rollout: StepRules): boolean {
  const { waves, emergency = false, approve_after: approvals = [] } = rollout;
  if (rollout.budget) return true;
  if (emergency) return false;
  const isWhole = waves.length === 1 && waves[0]?.percent === 100;
  return !isWhole || hasCanaries(rollout) || approvals.length > 0;
}

/** True for a robot that an open wave includes. */
export const hasTurn = (
  one: { readonly isCanary: boolean; readonly fraction: number },
  threshold: number,
): boolean => one.isCanary || one.fraction < threshold;

/** Facts that a robot reports about its machine, without its CPU. */
export interface Machine {
  readonly compatible?: readonly string[] | undefined;
  readonly modules?: readonly string[] | undefined;
  /** It takes images for system slots; undefined when that is checked later. */
  readonly hasSlots?: boolean | undefined;
  /** Strategy that applied the release that runs; null or undefined when it is not known. */
  readonly strategy?: string | null | undefined;
  /** Its agent reads `requires`; undefined when that is not asked. */
  readonly readsRequires?: boolean | undefined;
  /** Why it has not what a bundle requires; undefined when it checks that later. */
  readonly lackFor?: ((bundle: Partial<Pick<Manifest, 'requires'>>) => Lack | null) | undefined;
}

/**
 * Reads these facts from a report. A robot that reports no modules has none.
 * @param set what the bundle is taken together with: it counts as present
 */
export const machineOf = (
  state: Pick<RobotState, 'caps' | 'compatible' | 'modules' | 'components'>,
  set: Together | null = null,
): Machine => ({
  compatible: state.caps.includes(COMPATIBLE_CAPABILITY) ? (state.compatible ?? []) : undefined,
  modules: state.modules ?? [],
  hasSlots: state.caps.includes(SLOT_CAPABILITY),
  readsRequires: state.caps.includes(REQUIRES_CAPABILITY),
  lackFor: (bundle) => lackByReport(bundle, state.components, set),
});

/** A release that a module applied stays with it: another strategy would not stop the release. */
const changesStrategy = (next: string | undefined, runs: string | null | undefined): boolean =>
  next !== undefined && moduleOf(runs ?? '') !== null && runs !== next;

type Lack = 'REQUIRES_UNMET' | 'REQUIRES_UNKNOWN';

export type Unfit =
  | 'ARCH_WRONG'
  | 'COMPATIBLE_WRONG'
  | 'MODULE_MISSING'
  | 'BOOT_MISSING'
  | 'STRATEGY_CHANGED'
  | 'MANIFEST_INVALID'
  | Lack
  | 'RUNS_IT'
  | 'VERSION_REUSED'
  | 'NOT_NEWER'
  | 'BELOW_HIGHEST'
  | 'TOO_OLD';

/**
 * Returns why a robot of this arch that runs this release cannot take a bundle; null when it can.
 * @param robot.running null when nothing is installed
 * @param robot.compatible names of its machine; undefined when the robot does not check them
 * @param robot.modules modules that it has; undefined when they are checked later
 */
export function unfitFor(
  bundle: Pick<
    Manifest,
    'version' | 'target_arch' | 'min_current_version' | 'payload_sha256' | 'downgrade_from'
  > &
    Partial<Pick<Manifest, 'compatible' | 'apply_strategy' | 'requires'>>,
  robot: { readonly arch: string; readonly running: RunningRelease | null } & Confirmed & Machine,
): Unfit | null {
  const unread = robot.readsRequires === false && Object.keys(bundle.requires ?? {}).length > 0;
  if (unread) return 'MANIFEST_INVALID';
  return unfitAlone(bundle, robot) ?? robot.lackFor?.(bundle) ?? null;
}

/** Without what it requires of other components. */
function unfitAlone(
  bundle: Parameters<typeof unfitFor>[0],
  robot: Parameters<typeof unfitFor>[1],
): Unfit | null {
  if (!archFits(bundle.target_arch, robot.arch)) return 'ARCH_WRONG';
  if (!fitsMachine(bundle.compatible ?? [], robot.compatible)) return 'COMPATIBLE_WRONG';
  const module = moduleOf(bundle.apply_strategy ?? '');
  if (module !== null && robot.modules?.includes(module) === false) return 'MODULE_MISSING';
  if (bundle.apply_strategy === SLOT_IMAGE && robot.hasSlots === false) return 'BOOT_MISSING';
  const { running } = robot;
  if (running !== null && changesStrategy(bundle.apply_strategy, robot.strategy)) {
    return 'STRATEGY_CHANGED';
  }
  const below = isBelowHighest(bundle, robot) ? 'BELOW_HIGHEST' : null;
  // Nothing that is installed could be newer or too old; what was confirmed before counts on.
  if (running === null) return below;
  const order = compareReleases(bundle, running);
  if (order === 'same') return 'RUNS_IT';
  if (order === 'reused') return 'VERSION_REUSED';
  if (order === 'older' && !mayGoDown(bundle, running.version)) return 'NOT_NEWER';
  if (below !== null) return below;
  return versionMeets(running.version, bundle.min_current_version) ? null : 'TOO_OLD';
}

/** The fields of a rollout that decide whether a robot's turn has come. */
export type TurnRules = Pick<
  Rollout,
  'id' | 'salt' | 'waves' | 'emergency' | 'canaries' | 'approve_after' | 'late_spread_s' | 'budget'
> &
  StartRules;

export interface TurnFacts {
  readonly robot: RobotId;
  readonly tags: readonly string[];
  /** Newest accepted progress of this rollout, however old. */
  readonly progress: Progress | undefined;
  /** When this robot first saw that the rollout is complete. */
  readonly completeSinceMs: EpochMs | undefined;
  /** It is updating for this rollout already: the end of the last wave does not stop it. */
  readonly hasJoined: boolean;
  /** True when the engine had time to send the progress, if there is any. */
  readonly isAnswered: boolean;
  /** Wall clock of the robot's site; UTC when it is left out. */
  readonly localTime?: LocalTime | undefined;
  readonly now: EpochMs;
}

/** Why the turn of a robot has not come. */
export interface Turn {
  readonly problem: Problem;
  /** Null when that is not known. */
  readonly untilMs: EpochMs | null;
  /** It was stopped for good: no robot waits for it, whatever it would have brought. */
  readonly isOver?: boolean;
}

/** Null when the robot's turn has come. [P-6.3] */
export function decideTurn(rollout: TurnRules, facts: TurnFacts): Turn | null {
  const later = (code: ErrorCode, why: string, untilMs: EpochMs | null = null) => ({
    problem: toProblem(new DroverError(code, `join rollout ${rollout.id}: ${why}`)),
    untilMs,
  });
  const { progress: found, now } = facts;
  const progress = found && now < found.expires_at ? found : undefined;
  if (progress && !isOpen(progress)) {
    const why = `it is ${progress.recall ? 'taken back' : progress.status}`;
    const isOver = progress.recall || progress.status !== 'paused';
    return { ...later('ROLLOUT_STOPPED', why), isOver };
  }
  const start = facts.hasJoined ? null : startWait(rollout, facts);
  if (start) return later('START_AWAITED', start.why, start.untilMs);
  if (!needsController(rollout)) {
    if (progress || facts.isAnswered || facts.hasJoined) return null;
    return later('COHORT_CLOSED', 'the broker was just asked whether it was stopped');
  }
  if (!progress) return later('COHORT_CLOSED', 'no controller has opened a wave yet');
  const fraction = cohortFraction(rollout.salt, facts.robot);
  const canary = isCanary(rollout, facts);
  if (!hasTurn({ isCanary: canary, fraction }, progress.threshold)) {
    const [got, open] = [fraction, progress.threshold].map((part) => (part * 100).toFixed(1));
    return later('COHORT_CLOSED', `this robot's turn is at ${got} % (open up to ${open} %)`);
  }
  if (canary || progress.status !== 'complete' || facts.hasJoined) return null;
  const untilMs = lateStart(rollout, facts);
  if (now >= untilMs) return null;
  const when = instantText(untilMs);
  return later(
    'COHORT_CLOSED',
    `robots that come late start one by one, this one at ${when}`,
    untilMs,
  );
}

/** False while robots that have not switched stay as they are. */
export const isOpen = ({ status, recall }: Pick<Progress, 'status' | 'recall'>): boolean =>
  !recall && (status === 'rolling' || status === 'complete');

/**
 * A start time of this robot's own, so that a hundred new robots do not all begin at once. [P-6.6]
 */
function lateStart({ salt, late_spread_s }: TurnRules, facts: TurnFacts): EpochMs {
  const spreadMs = late_spread_s * 1000;
  // A clock that was set back must not make it wait longer than the whole spread.
  const sinceMs = Math.min(facts.completeSinceMs ?? facts.now, facts.now);
  return sinceMs + Math.floor(cohortFraction(`${salt} late`, facts.robot) * spreadMs);
}

/**
 * First 53 bits of SHA-256(salt || 0x00 || robot id) / 2^53: uniform in [0, 1), the same for ever,
 * so a wave that widens only ever adds robots. [P-6.2]
 */
export function cohortFraction(salt: string, robot: RobotId): number {
  const digest = sha256(utf8(`${salt}\0${robot}`));
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  const high = view.getUint32(0);
  const low = view.getUint32(4) >>> 11;
  return (high * 2 ** 21 + low) / 2 ** 53;
}

/** CPU names. Debian, Node and `uname -m` disagree; manifests may use any, robots compare these. */
const CANONICAL: ReadonlyMap<string, string> = new Map([
  ['arm64', 'aarch64'],
  ['amd64', 'x86_64'],
  ['x64', 'x86_64'],
  ['x86-64', 'x86_64'],
  ['arm', 'armv7l'],
  ['armhf', 'armv7l'],
]);

/** `any` in a manifest: the payload holds nothing that depends on the CPU. */
export const ARCH_ANY = 'any';

/** [P-3.7] */
export function canonicalArch(name: string): string {
  return CANONICAL.get(name) ?? name;
}

/** Names that agents report: `uname -m` of Linux on the CPUs that Node runs on. */
const REPORTED: readonly string[] = [
  ...['aarch64', 'x86_64', 'armv7l', 'armv6l', 'i686'],
  ...['riscv64', 'ppc64le', 's390x', 'loongarch64'],
];

/** A sentence about the name of a CPU that its author may not expect; null for a usual one. */
export function archNote(name: string): string | null {
  const canonical = canonicalArch(name);
  if (canonical !== name) return `robots call ${name} ${canonical}, and take either name`;
  if (name === ARCH_ANY || REPORTED.includes(name)) return null;
  return `no robot is known that calls its CPU ${name} (they say ${REPORTED.slice(0, 3).join(', ')})`;
}

export function archFits(target: string, robot: string): boolean {
  return target === ARCH_ANY || canonicalArch(target) === canonicalArch(robot);
}
