/**
 * Formats a rollout for people: the same lines on a terminal and in a pipe. Every text that came
 * over the network is made printable here, and only here. Sans-I/O.
 */

import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { formatDurationMs, timeLeft, toSecond } from '../../shared/base/durations.ts';
import { countOf, oneLine } from '../../shared/base/printable.ts';
import { budgetLines } from '../../shared/rules/budget.ts';
import { sameReason } from '../../shared/rules/failure-reasons.ts';
import { startLine } from '../../shared/rules/start-time.ts';
import { canarySoakS } from '../../shared/rules/rollout-rules.ts';
import { formatTable } from './fleet-report.ts';
import type {
  ExpiryAnswer,
  EvidenceAnswer,
  HistoryEntry,
  RolloutAnswer,
  RunAnswer,
} from './rollout-answer.ts';

import {
  clock,
  endedWave,
  named,
  otherCounts,
  robotCounts,
  statusWord,
  thenApprove,
  waitsFor,
  waitWord,
  WAITS_FOR_NOTHING,
  word,
} from '../../shared/rules/rollout-words.ts';
import { isTakenAlready, unledEnd } from '../../shared/rules/unled.ts';

/** Longest sentence of a gate or an operator that is shown. */
const SENTENCE_CHARS_MAX = 500;

const sentence = (text: string): string => oneLine(text, SENTENCE_CHARS_MAX);
const percent = (share: number): string => `${Math.round(share * 10_000) / 100} %`;

/** Everything about one rollout. `now` is the reader's clock. */
export function statusLines(rollout: RolloutAnswer, now: number): string[] {
  const { run, robots, error } = rollout;
  const same = sameReason(rollout.failures);
  const reasons = (run?.reasons ?? rollout.reasons).map((one) => `  ${sentence(one)}`);
  return [
    `rollout   ${word(rollout.id)}: ${nameOf(rollout)}`,
    `status    ${statusWord(rollout)}${openTo(rollout)}${neverAll(rollout)}`,
    `waits     ${waitsFor(rollout, now)}`,
    `robots    ${robotCounts(robots)}`,
    ...(same === null ? [] : [`failed    ${sentence(same)}`]),
    ...rollout.unmet.map(unmetLine),
    ...waveCounts(run),
    ...setLines(rollout),
    ...placeLines(rollout),
    ...storeLines(rollout),
    ...rollout.attachments.map(attachmentLine),
    ...(error ? [`error     ${sentence(error.message)} (${word(error.code)})`] : []),
    'waves',
    ...waveLines(rollout).map((line) => `  ${line}`),
    ...gateLines(run),
    ...(reasons.length > 0 ? ['reasons', ...reasons] : []),
  ];
}

/** A release that runs without what it requires: another component went back since. */
const unmetLine = ({ robots, named: some, message, code }: RolloutAnswer['unmet'][number]) =>
  `unmet     ${sentence(`${countOf(robots, 'robot')} (${named(some)}): ${message}`)} (${word(code)})`;

/**
 * After the last wave it counts robots that come late: those of all waves are in the line above.
 */
function waveCounts(run: RunAnswer | null): string[] {
  if (!run?.attempts) return [];
  const { attempts, status } = run;
  const isEmpty = attempts.cohort === 0 && attempts.unable.length === 0;
  if (isEmpty && status !== 'rolling') return [];
  const isComplete = status === 'complete' || status === 'no_effect';
  return [`${isComplete ? 'came late' : 'this wave'} ${attemptCounts(attempts)}`];
}

const attachmentLine = ({ kind, media_type: type, size }: RolloutAnswer['attachments'][number]) =>
  `attached  ${word(kind)}, ${word(type)}, ${formatBytes(size)}`;

function setLines({ set }: RolloutAnswer): string[] {
  if (!set) return [];
  const all = set.members.map((one) => `${word(one.component)} ${word(one.version)}`);
  return [`set       ${word(set.id)}, all or none on each robot, in this order: ${all.join(', ')}`];
}

function placeLines({ budget, run, ...start }: RolloutAnswer): string[] {
  const at = startLine(start);
  const starts = at === null ? [] : [`start     ${sentence(at)}`];
  const [first, ...places] = budgetLines(budget, run?.places ?? null);
  return [...starts, ...(first === undefined ? [] : [`budget    ${first}`, ...places])];
}

/** Chunks on an external engine. */
function storeLines({ store }: RolloutAnswer): string[] {
  if (!store) return [];
  const { status, chunks, present, restored, problem } = store;
  const again = restored > 0 ? `, ${restored} put back` : '';
  const why = problem ? `: ${sentence(problem.message)} (${word(problem.code)})` : '';
  return [`chunks    ${word(status)}, ${present} of ${chunks} on the engine${again}${why}`];
}

function nameOf({ component, version, emergency }: RolloutAnswer): string {
  const name = `${word(component ?? 'unknown')} ${word(version ?? '?')}`;
  return emergency ? `${name}, an emergency` : name;
}

function openTo(rollout: RolloutAnswer): string {
  const { run, wave, threshold, waves, announced, emergency } = rollout;
  if (isTakenAlready(rollout)) return ', open to 100 % of the fleet';
  const number = run?.wave ?? wave;
  if (number === null) return '';
  const share = run?.threshold ?? threshold ?? 0;
  const of = waves.length > 0 ? ` of ${waves.length}` : '';
  const step = number === 0 ? 'canaries' : `wave ${number}${of}`;
  const which = emergency ? 'everybody at once' : step;
  const isNamed = run !== null && run.superseded_by !== null;
  const gone = announced || isNamed ? '' : '; no longer announced';
  const asked = emergency ? 1 : (waves[number - 1]?.percent ?? 100) / 100;
  // A wave has at least min_canaries robots that are online.
  const more =
    number > 0 && share > asked ? ` (${percent(asked)} had too few robots that are on)` : '';
  return `, ${which}, open to ${percent(share)} of the fleet${more}${gone}`;
}

/** Shown also when it is complete: otherwise robots would wait for ever without a sign. */
function neverAll({ waves, emergency }: RolloutAnswer): string {
  const last = waves.at(-1)?.percent ?? 100;
  return emergency || last >= 100
    ? ''
    : `; its last wave is ${last} %: the other robots never get it`;
}

function attemptCounts(attempts: NonNullable<RunAnswer['attempts']>): string {
  const { cohort, reachable, installed, failed, vanished, examples } = attempts;
  const which = examples.length > 0 ? ` (${named(examples)})` : '';
  // Behind the number that they belong to; behind both when there are robots of both kinds.
  const [lost, gone] = vanished > 0 ? ['', which] : [which, ''];
  return `${countOf(cohort, 'robot')}, ${reachable} reachable: ${installed} installed, ${failed} failed${lost}, ${vanished} vanished${gone}${cannot(attempts)}`;
}

/** By name: each waits for a person to fix it. */
const cannot = (attempts: RunAnswer['attempts']): string =>
  attempts && attempts.unable.length > 0 ? `; cannot take it: ${named(attempts.unable)}` : '';

/** One line for each wave: share, soak, and where the rollout stands. */
function waveLines(rollout: RolloutAnswer): string[] {
  const { waves, emergency, run, wave, status, canaries, approve_after, approvers } = rollout;
  if (emergency) return ['everybody at once'];
  if (waves.length === 0) return ['known while it was announced'];
  const open = run?.wave ?? wave;
  const isComplete = (run?.status ?? status) === 'complete';
  const isWithoutEffect = (run?.status ?? status) === 'no_effect';
  const hasCanaries = canaries.robots.length + canaries.tags.length > 0;
  const state = (number: number): string => {
    if (open === null) return '';
    if (isComplete || number < open) return run?.forced.includes(number) ? 'ended' : 'passed';
    if (number === open && isWithoutEffect) return 'no robot runs it';
    if (number > open) return '';
    const ended = endedWave(rollout);
    if (ended !== null) return ended;
    if (run?.opened === false) return 'not open yet';
    return run ? `open since ${clock(run.wave_opened_at, Number.POSITIVE_INFINITY)}` : 'open';
  };
  const approved = (number: number): string => {
    if (run?.forced.includes(number) === true) return 'forced open by a person';
    if (run?.approved.includes(number) === true) return 'approved';
    const isLast = number === waves.length;
    return approve_after.includes(number) && !isLast ? thenApprove(approvers) : '';
  };
  const row = (number: number, share: string, soakS: number): string[] => [
    String(number),
    share,
    `soak ${formatDurationMs(soakS * 1000)}`,
    state(number),
    approved(number),
  ];
  const rows = waves.map((one, at) => row(at + 1, percent(one.percent / 100), one.soak_s));
  const first = hasCanaries ? [row(0, canaryNames(canaries), canarySoakS(rollout))] : [];
  return formatTable([...first, ...rows]);
}

function canaryNames({ robots, tags }: RolloutAnswer['canaries']): string {
  const named = countOf(robots.length, 'robot');
  const tagged = tags.length > 0 ? [`all of ${tags.slice(0, 4).map(word).join(', ')}`] : [];
  return `canaries: ${[...(robots.length > 0 ? [named] : []), ...tagged].join('; ')}`;
}

function gateLines(run: RunAnswer | null): string[] {
  if (!run?.gate) return [];
  const { kind, reasons, evidence } = run.gate;
  const told = new Set(evidence.map(({ text }) => text));
  const waits = reasons
    .filter((text) => !told.has(text))
    .map((text) => ({ metric: 'wave', against: 'time', verdict: kind, text }));
  return [`gate      ${word(kind)}`, ...evidenceLines([...waits, ...evidence])];
}

const evidenceLines = (evidence: readonly EvidenceAnswer[]): string[] =>
  formatTable(
    evidence.map((one) => [
      ` ${word(one.metric)}`,
      word(one.against),
      one.verdict === 'none' ? 'not judged' : word(one.verdict),
      sentence(one.text),
    ]),
  );

const COUNTED = ['RUN IT', 'FAILED', 'OTHERS'];

/** A table of all announced rollouts. */
export function listLines(
  rollouts: readonly RolloutAnswer[],
  columns = Number.POSITIVE_INFINITY,
): string[] {
  if (rollouts.length === 0) return ['no rollout is announced'];
  const all = rollouts.map((one) =>
    isTakenAlready(one) ? { ...one, wave: 1, threshold: 1, status: statusWord(one) } : one,
  );
  const rows = all.map((one) => [
    `${word(one.id)}${one.set ? ` (set ${word(one.set.id)})` : ''}`,
    `${word(one.component ?? 'unknown')} ${word(one.version ?? '?')}`,
    statusWord(one),
    one.emergency ? 'emergency' : `${one.run?.wave ?? one.wave ?? '-'}/${one.waves.length}`,
    percent(one.run?.threshold ?? one.threshold ?? 0),
    `${one.robots.running}/${one.robots.targeted}`,
    String(one.robots.failed),
    otherCounts(one.robots),
    waitWord(one),
  ]);
  const head = [...['ROLLOUT', 'BUNDLE', 'STATUS', 'WAVE', 'OPEN'], ...COUNTED, 'WAITS FOR'];
  // The column of the others is there once some rollout has such robots.
  const others = head.indexOf('OTHERS');
  const isNone = rows.every((row) => row[others] === '');
  const shown = [head, ...rows].map((row) => (isNone ? row.toSpliced(others, 1) : row));
  return formatTable(shown, columns, NARROW);
}

/** A version that is cut names another one. */
const NARROW = { whole: ['BUNDLE'], spare: ['OPEN', 'WAVE'] };

/** When things expire, and what to do about it. */
export function expiryLines(found: ExpiryAnswer | undefined): string[] {
  if (!found) return [];
  const { trust, announcement, problems } = found;
  const until = ({ expires_at, days_left, seconds_left }: ExpiryLeft): string =>
    `until ${word(toSecond(expires_at))}, ${daysLeft(days_left, seconds_left)}`;
  const isOver = announcement !== null && announcement.days_left < 0;
  // An older broker says that it renews expired announcements as well.
  const renews =
    announcement?.renews === true && !isOver ? '; the controller announces it again in time' : '';
  return [
    ...(announcement ? [`announced ${until(announcement)}${renews}`] : []),
    ...(trust ? [`trust.json ${until(trust)}`] : []),
    ...problems.map((one) => `${word(one.code)}: ${sentence(one.message)}; ${sentence(one.hint)}`),
  ];
}

type ExpiryLeft = NonNullable<ExpiryAnswer['trust']>;

function daysLeft(days: number, seconds: number | undefined): string {
  if (days < 0) return 'expired by the clock of this broker';
  if (seconds !== undefined) return `${timeLeft(seconds * 1000)} left`;
  return `${countOf(days, 'day')} left`;
}

/** Each decision, and below it its evidence. */
export function historyLines(entries: readonly HistoryEntry[]): string[] {
  return entries.flatMap(({ seq, at, kind, by, text, evidence }) => [
    `${seq}  ${word(toSecond(at))}  ${word(kind)}  ${sentence(text)}  [${sentence(by)}]`,
    ...evidenceLines(evidence).map((line) => `    ${line}`),
  ]);
}

/** Everything of interest in one line; the same line means that nothing has changed. */
export function changeLine(rollout: RolloutAnswer): string {
  const { run, robots } = rollout;
  const reasons = run?.reasons ?? rollout.reasons;
  const gate = run?.gate ? `gate ${word(run.gate.kind)}` : '';
  const why = reasons.length > 0 ? `because ${sentence(reasons[0] ?? '')}` : '';
  const parts = [
    `${robotCounts(robots)}${cannot(run?.attempts ?? null)}`,
    waits(rollout),
    gate,
    why,
  ];
  const told = parts.filter((part) => part !== '').join('; ');
  return `${statusWord(rollout)}${openTo(rollout)}${neverAll(rollout)}; ${told}`;
}

function waits(rollout: RolloutAnswer): string {
  const said = waitsFor(rollout, Number.POSITIVE_INFINITY);
  return said === WAITS_FOR_NOTHING ? '' : `waits ${said}`;
}

type RolloutEnd =
  'complete' | 'no_effect' | 'halted' | 'superseded' | 'withdrawn' | 'unable' | 'cannot_go_back';

/** The end of a rollout, after which nothing happens by itself. Null while it continues. */
export function endOf(rollout: RolloutAnswer): RolloutEnd | null {
  const unled = unledEnd(rollout);
  if (unled !== null) return unled;
  const status = rollout.run?.status ?? rollout.status;
  if (rollout.run?.waits_for === 'unable') {
    if (status === 'rolling_back') return 'cannot_go_back';
    if (status === 'rolling' && rollout.announced) return 'unable';
  }
  if (status === 'complete' || status === 'no_effect' || status === 'halted') return status;
  if (status === 'superseded') return status;
  // Without an announcement no robot joins it; only those that have to go back still do.
  return rollout.announced || status === 'rolling_back' ? null : 'withdrawn';
}

/** Lines that fit a terminal, so that redrawing hits the same rows. */
export function fitted(
  lines: readonly string[],
  size: { readonly columns: number; readonly rows: number },
): string[] {
  const room = Math.max(1, size.rows - 1);
  const columns = Math.max(1, size.columns - 1);
  return lines
    .slice(0, room)
    .map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line));
}
