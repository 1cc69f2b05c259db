/**
 * Sentences about a rollout that the command line and the page both show: its status, and what it
 * waits for and until when. Texts that came over the network are made printable. Sans-I/O.
 */

import { formatDurationMs, instantText } from '../base/durations.ts';
import { countOf, printable } from '../base/printable.ts';
import {
  firstWaveWait,
  isTakenAlready,
  opensByItself,
  unledEnd,
  unledWait,
  type ToldRobots,
  type ToldRollout,
  type ToldRun,
} from './unled.ts';
import { approverWait } from './approvers.ts';
import { stuckWait } from './budget.ts';

export const word = (text: string): string => printable(text, 64);

/** The controller's record first: progress on the wire lags behind it. */
export function statusWord(rollout: ToldRollout): string {
  const { run, status } = rollout;
  if (unledEnd(rollout) === 'complete') return 'complete';
  const by = run?.superseded_by ?? null;
  const found = stillRunWord(rollout) ?? stateWord(run ?? { status });
  if (by === null) return found;
  return found === 'superseded'
    ? `superseded by ${word(by)}`
    : `${found}, superseded by ${word(by)}`;
}

const ROLLED_BACK = 'rolled back';

/**
 * Robots that run a version which was called back, and say of no update that brought it: their
 * state was lost, or it came with an image. Null when there are none: then all are back.
 */
export function stillRunWord({
  run,
  robots,
}: {
  readonly run: Pick<ToldRun, 'status' | 'recall'> | null;
  readonly robots: { readonly running: number };
}): string | null {
  const { running } = robots;
  if (!isRolledBack({ run }) || running === 0) return null;
  return `halted, ${countOf(running, 'robot')} still ${running === 1 ? 'runs' : 'run'} it`;
}

/** People read these instead of the names of the wire; docs/glossary.md lists them all. */
const STATE_WORDS: Readonly<Record<string, string>> = {
  rolling_back: 'rolling back',
  no_effect: 'no effect',
};

/** The state of a rollout in the one word that every command, page, history and refusal uses. */
export const stateWord = (of: { readonly status: string; readonly recall?: boolean }): string =>
  isRolledBack({ run: { status: of.status, recall: of.recall === true } })
    ? ROLLED_BACK
    : (STATE_WORDS[of.status] ?? word(of.status));

/** It was called back, and every robot that took it is back. On the wire that is `halted`. */
export const isRolledBack = ({
  run,
}: {
  readonly run: Pick<ToldRun, 'status' | 'recall'> | null;
}): boolean => run?.recall === true && run.status === 'halted';

/**
 * The state of the wave that was open when it ended, in one word; null for a rollout that still has
 * an open wave.
 */
export function endedWave(rollout: Pick<ToldRollout, 'run' | 'status' | 'robots'>): string | null {
  const { run, status } = rollout;
  if (isRolledBack({ run })) return stillRunWord(rollout) === null ? ROLLED_BACK : 'stopped';
  const now = run?.status ?? status;
  if (now === 'rolling_back') return stateWord({ status: now });
  return now === 'halted' || now === 'superseded' || now === 'withdrawn' ? 'stopped' : null;
}

/** A bundle does not target robots of another arch or machine. */
const FOR_OTHERS: readonly string[] = ['ARCH_WRONG', 'COMPATIBLE_WRONG'];

/** Robots that a rollout targets and that do not take it, by code. */
function leftOut({ excluded }: ToldRobots): readonly [code: string, count: number][] {
  return Object.entries(excluded).filter(([code]) => !FOR_OTHERS.includes(code));
}

const sumOf = (counts: readonly [string, number][]): number =>
  counts.reduce((sum, [, count]) => sum + count, 0);

/** Each robot that the rollout targets, counted once: the parts add up. */
export function robotCounts(robots: ToldRobots): string {
  const { targeted, running, in_progress: busy, failed, waiting, went_on, recalled } = robots;
  const others = leftOut(robots);
  const codes = others.map(([code, count]) => `${count} ${word(code)}`).join(', ');
  const parts = [
    `${running} run it`,
    ...(went_on > 0 ? [`${went_on} went on to a higher version`] : []),
    `${busy} in progress`,
    `${failed} failed`,
    `${waiting} waiting`,
    ...(recalled > 0 ? [`${recalled} went back`] : []),
    ...(others.length > 0 ? [`${sumOf(others)} do not take it (${codes})`] : []),
  ];
  return `${targeted} targeted: ${parts.join(', ')}`;
}

/** For a list: those that neither run it, nor failed, nor may still take it. Empty for none. */
export function otherCounts(robots: ToldRobots): string {
  const { went_on, recalled } = robots;
  const out = sumOf(leftOut(robots));
  const parts = [
    ...(went_on > 0 ? [`${went_on} went on`] : []),
    ...(recalled > 0 ? [`${recalled} went back`] : []),
    ...(out > 0 ? [`${out} do not take it`] : []),
  ];
  return parts.join(', ');
}

/** One sentence: the next event, and when, if that is known. */
export function waitsFor(rollout: ToldRollout, now: number): string {
  const { run } = rollout;
  if (!run) return firstWaveWait(rollout, now) ?? unledWait(rollout) ?? WAITS_FOR_NOTHING;
  const isElsewhere = run.leading ? '' : NOT_LED;
  if (run.status === 'rolling_back') return `${recallWait(run)}${isElsewhere}`;
  if (!rollout.announced) return WAITS_FOR_NOTHING;
  // An older broker says of a paused rollout that it waits for nothing.
  const what = run.status === 'paused' ? 'resume' : (run.waits_for ?? '');
  const end = what === 'resume' ? ` ${word(rollout.id)}` : waitEnd(rollout.id, run, now);
  const first = run.status === 'rolling' ? firstWaveWait(rollout, now) : null;
  if (first !== null) return first;
  const event = eventOf(what, run);
  return `${event}${end}${isElsewhere}`;
}

/** The same in one word, for a list; empty for nothing. */
export function waitWord(rollout: ToldRollout): string {
  if (firstWaveWait(rollout) !== null) {
    return isTakenAlready(rollout) ? 'controller' : 'first wave';
  }
  if (rollout.run) return word(rollout.run.waits_for ?? '');
  const wait = unledWait(rollout);
  if (wait === null) return '';
  return opensByItself(rollout) ? 'robots' : 'controller';
}

function eventOf(what: string, run: ToldRun): string {
  if (what === 'robots') return robotsWait(run);
  const { approval } = run;
  if (what === 'approval' && approval && approval.needed > 1) {
    const { needed, by, publisher } = approval;
    const rules = { approvers: needed, published_by: publisher ?? undefined };
    const count = by.length > 0 ? ` (${by.length} of ${needed})` : '';
    return `${approverWait(rules, by)}${count}: drover rollout approve`;
  }
  return WAITS[what] ?? `for ${word(what)}`;
}

/** Another controller leads, or this one was just started or restored. */
const NOT_LED =
  ' (this controller does not lead it now; after a start or a restore it listens for one lease whether another does)';

/** Robots that cannot go back are named as soon as they are known. */
function recallWait({ waits_for, cannot_go_back: unable }: ToldRun): string {
  if (waits_for === 'unable') return `only for robots that cannot go back: ${named(unable)}`;
  const others = unable.length > 0 ? `; cannot go back: ${named(unable)}` : '';
  return `${WAITS['recall'] ?? ''}${others}`;
}

/** Robots that are offline delay a wave only when it has no other robot. */
function robotsWait({ attempts, places }: ToldRun): string {
  const stuck = stuckWait(places);
  const away = attempts?.reachable === 0 ? attempts.cohort : 0;
  return away > 0
    ? `for a robot of this wave to be online (offline: ${away})`
    : `for robots of this wave to end their update${stuck === null ? '' : `; ${stuck}`}`;
}

/** Until when it may have to wait, for which robots or for which command, as far as known. */
function waitEnd(id: string, run: ToldRun, now: number): string {
  const { waits_for, soak_until, evidence_until } = run;
  const unable = run.attempts?.unable ?? [];
  if (waits_for === 'approval') return ` ${word(id)}`;
  if (waits_for === 'unable') return unable.length > 0 ? `: ${named(unable)}` : '';
  if (waits_for === 'soak' && soak_until !== null) {
    return isPast(soak_until, now) ? OVERDUE : `, until ${clock(soak_until, now)}`;
  }
  if (waits_for !== 'evidence') return '';
  if (evidence_until === null) return ', until a person decides';
  if (isPast(evidence_until, now)) return OVERDUE;
  return `, at most until ${clock(evidence_until, now)}`;
}

/** `now` is infinite where no clock is compared. */
const isPast = (text: string, now: number): boolean =>
  Number.isFinite(now) && Date.parse(text) < now;

/** The controller looks every few seconds; an instant that is over is none to wait for. */
const OVERDUE = ', which has had its time: the controller decides in its next pass';

export const WAITS_FOR_NOTHING = 'for nothing';

const WAITS: Readonly<Record<string, string>> = {
  '': WAITS_FOR_NOTHING,
  soak: 'for the soak',
  evidence: 'for evidence: the gate cannot tell yet',
  approval: 'for a person: drover rollout approve',
  recall: 'for robots that took it to go back',
  unable: 'for robots that cannot take it until they are mended',
  resume: 'for a person: drover rollout resume',
};

/** `2026-11-23T18:20:00Z (in 12m)`; a text that is no instant stays as it is. */
export function clock(text: string, now: number): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return word(text);
  const iso = instantText(at);
  const leftS = Math.ceil((at - now) / 1000);
  if (leftS <= 0) return iso;
  const left = leftS > 120 ? Math.ceil(leftS / 60) * 60 : leftS;
  return `${iso} (in ${formatDurationMs(left * 1000)})`;
}

/** After the gate of a wave that asks for approval. */
export const thenApprove = (approvers: number): string =>
  approvers > 1 ? `then ${approvers} users have to approve` : 'then a person has to approve';

/** The first eight. */
export const named = (robots: readonly string[]): string => robots.slice(0, 8).map(word).join(', ');
