/**
 * Describes, before a person gives a command, whether it would be taken now and what it does to how
 * many robots. It asks the same functions that carry commands out, so the answer cannot differ from
 * what would happen now. It changes nothing. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { hasTurn } from '../../shared/rules/rollout-rules.ts';
import { noWayBackOf } from '../../shared/rules/standstill.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { brokenText, type BrokenRelease } from '../../shared/rules/requires.ts';
import { brokenByRollback } from './broken-requirements.ts';
import { BEFORE_SWAP, membersOf, type Member } from './classify.ts';
import { notLeading, obeyEarly } from './early-command.ts';
import { obey } from './operator-commands.ts';
import { approverWords, needsSeveral } from '../../shared/rules/approvers.ts';
import { hasToGoBack, recallOf } from './recall.ts';
import { stagesOf, usersOf, type RolloutRun } from './record.ts';
import { listRobots, countStandings, type Standing } from './rollout-robots.ts';
import type { LedFacts } from './rollout-facts.ts';
import type { RolloutCommand } from './rollout-view.ts';
import { listMembers, thresholdOf } from './members.ts';

/** Commands that a person gives on the page; `force-open` stays with the command line. */
export const PAGE_COMMANDS = [
  'approve',
  'pause',
  'resume',
  'abort',
  'rollback',
] as const satisfies readonly RolloutCommand[];
export type PageCommand = (typeof PAGE_COMMANDS)[number];

export interface CommandPreview {
  readonly command: PageCommand;
  /** Null when it would be taken now. */
  readonly refusal: { readonly code: string; readonly message: string } | null;
  /** No other command undoes it: a person types the id of the rollout. */
  readonly final: boolean;
  /** The wave of `approve`; null for the others. */
  readonly wave: number | null;
  /** One sentence with the numbers in it; of a set, one for each rollout. */
  readonly effect: string;
  /** The set whose rollouts all get the command; null for a rollout by itself. */
  readonly set: string | null;
  /** Releases that stay, and that `rollback` leaves without what they require. */
  readonly breaks: readonly BrokenRelease[];
  readonly robots: {
    /** Take the next wave when it opens. */
    readonly join: number;
    readonly keep: number;
    readonly go_back: number;
    readonly cannot_go_back: number;
    readonly updating: number;
    readonly waiting: number;
  };
}

/** `user` is null where the broker knows no users; one with a `key` cannot approve on the page. */
export interface Giver {
  readonly user: string | null;
  readonly key?: PublicKeyHex | null;
}

/**
 * @param giver who would give them
 * @param others the other rollouts of its set: they get the same command
 */
export function previewCommands(
  facts: LedFacts,
  giver: Giver,
  others: readonly LedFacts[] = [],
): CommandPreview[] {
  const set = facts.plan?.rollout.set?.id ?? null;
  const beside = others.map((one) => ({ one, previews: previewAlone(one, giver) }));
  const broken = brokenBy(facts, others);
  return previewAlone(facts, giver).map((own) => {
    const breaks = own.command === 'rollback' && own.refusal === null ? broken : [];
    const left = breaks.map((one) => `; ${brokenText(one)}`).join('');
    if (set === null || beside.length === 0) {
      return { ...own, effect: `${own.effect}${left}`, set, breaks };
    }
    const effects = beside.map(({ one, previews }) => {
      const found = previews.find(({ command }) => command === own.command);
      const does = found?.refusal ? `stays as it is (${found.refusal.code})` : found?.effect;
      return `${nameOf(one)}: ${does ?? ''}`;
    });
    const all = [`${nameOf(facts)}: ${own.effect}`, ...effects].join('. ');
    const effect = `for all ${effects.length + 1} rollouts of set ${set}. ${all}${left}`;
    return { ...own, set, effect, breaks };
  });
}

/** The releases that a rollback leaves without what they require. */
function brokenBy(facts: LedFacts, others: readonly LedFacts[]): BrokenRelease[] {
  const runs = [facts, ...others].flatMap(({ run }) => run ?? []);
  return brokenByRollback(runs, facts.robots, facts.plans?.values() ?? []);
}

/** `app 2.0.0` */
const nameOf = ({ run, plan, id }: LedFacts): string => {
  const of = run ? { name: run.component, version: run.version } : plan?.manifest;
  return of ? `${of.name} ${of.version}` : id;
};

function previewAlone(facts: LedFacts, giver: Giver): Omit<CommandPreview, 'set' | 'breaks'>[] {
  const standings = countStandings(listRobots(facts));
  const numbers = numbersOf(facts, standings);
  return PAGE_COMMANDS.map((command) => {
    const wave = command === 'approve' ? (facts.run?.wave ?? null) : null;
    return {
      command,
      refusal: refusalOf(facts, command, { wave, ...giver }),
      final: command === 'abort' || command === 'rollback',
      wave,
      effect: command === 'approve' ? approvalOf(facts, numbers) : effectOf(command, numbers),
      robots: numbers,
    };
  });
}

function refusalOf(
  facts: LedFacts,
  command: RolloutCommand,
  { wave, user, key = null }: { readonly wave: number | null } & Giver,
): CommandPreview['refusal'] {
  const { run, plan, now, leading, startsInMs, controller, id } = facts;
  const said = { command, who: user ?? '', user, key, reason: '', ...(wave !== null && { wave }) };
  try {
    if (!leading) throw notLeading(`${command} rollout ${id}`, { kind: 'other', controller });
    if (run !== null) {
      const { audit } = obey(run, said, { plan, now });
      if (audit.length > 0) return null;
      const left = run.approved.includes(run.wave) ? null : countOf(facts);
      const message = left === null ? GIVEN : `you have approved it already; ${left}`;
      return { code: 'ROLLOUT_COMMAND_INVALID', message };
    }
    if (plan !== null) obeyEarly(plan, said, { leftMs: startsInMs, by: '', now });
    return null;
  } catch (error) {
    if (!(error instanceof DroverError)) throw error;
    return { code: error.code, message: error.message };
  }
}

const GIVEN = 'it is approved already: its gate is asked once more, then the next wave opens';

/** How many users of those that a wave needs have approved it; null where one is enough. */
function countOf({ run, plan }: LedFacts): string | null {
  if (!run || !plan || !needsSeveral(plan.rollout)) return null;
  return approverWords(plan.rollout, usersOf(run, run.wave));
}

function approvalOf(facts: LedFacts, { join }: CommandPreview['robots']): string {
  const says = `says yes to wave ${facts.run?.wave ?? 0}`;
  const then = `its gate is asked once more, then the next wave opens to ${join} more`;
  const count = countOf(facts);
  return count === null
    ? `${says}: ${then}`
    : `${says} (${count}); when all have approved it, ${then}`;
}

function numbersOf(
  facts: LedFacts,
  standings: Readonly<Record<Standing, number>>,
): CommandPreview['robots'] {
  const { run } = facts;
  // A robot before its swap stops, and has nothing to go back from.
  const robots = run ? facts.robots.filter((one) => hasSwapped(run, one)) : [];
  const recall = run ? recallOf({ ...run, recall: true }, robots) : { left: 0, unable: [] };
  const stuck = recall.unable.length + (run ? countWithoutWayBack(run, robots) : 0);
  return {
    join: joiningNext(facts),
    keep: standings.done,
    go_back: recall.left - stuck,
    cannot_go_back: stuck,
    updating: standings.updating + standings.vanished,
    waiting: standings.waiting,
  };
}

const hasSwapped = (run: RolloutRun, { state }: RobotRecord): boolean =>
  state?.components.some(
    ({ name, phase, version }) =>
      name === run.component && (version === run.version || !BEFORE_SWAP.includes(phase)),
  ) === true;

/** They run it and report that they had nothing before: they keep it, and say so when asked. */
function countWithoutWayBack(run: RolloutRun, robots: readonly RobotRecord[]): number {
  return robots.filter(({ state }) => {
    const component = state?.components.find(({ name }) => name === run.component);
    if (component?.previous_version !== null) return false;
    return hasToGoBack(run, component) && noWayBackOf(component, run.version) === null;
  }).length;
}

/** Robots that the wave after the open one adds, as it would open now. */
function joiningNext(facts: LedFacts): number {
  const { run, plan, marks } = facts;
  if (!run || !plan) return 0;
  const stages = stagesOf(plan);
  const next = stages[stages.findIndex(({ wave }) => wave === run.wave) + 1];
  if (!next) return 0;
  const members = membersOf({ ...facts, plan });
  const { rollout } = plan;
  const known = listMembers(members, rollout, marks);
  // As many as a wave wants, without those that the wave has had.
  const minCanaries = Math.max(0, rollout.min_canaries - known.countSpent(run));
  const threshold = thresholdOf(next, known, { previous: run.threshold, minCanaries });
  const isNew = (one: Member): boolean =>
    one.kind === 'candidate' && !hasTurn(one, run.threshold) && hasTurn(one, threshold);
  return members.filter(isNew).length;
}

function effectOf(
  command: Exclude<PageCommand, 'approve'>,
  { keep, go_back, cannot_go_back, updating, waiting }: CommandPreview['robots'],
): string {
  const stops = robots(
    updating,
    'in the middle of it end or stop',
    'in the middle of it ends or stops',
  );
  const busy = updating === 0 ? '' : `; ${stops}`;
  const never = `${robots(waiting, 'never get', 'never gets')} it from this rollout`;
  switch (command) {
    case 'pause':
      return `no more robots join: ${robots(waiting, 'wait')} until it is resumed; ${robots(keep, 'keep')} it${busy}`;
    case 'resume':
      return `it goes on where it was: ${robots(waiting, 'have', 'has')} not begun`;
    case 'abort':
      return `it stops for good: ${robots(keep, 'keep')} it, ${never}${busy}`;
    case 'rollback': {
      const cannot = cannot_go_back === 0 ? '' : `, ${cannot_go_back} cannot`;
      return `it stops for good: ${robots(go_back, 'go', 'goes')} back${cannot}; ${never}${busy}`;
    }
  }
}

/** `1 robot keeps`, `9 robots keep`. */
const robots = (count: number, plural: string, singular = `${plural}s`): string =>
  count === 1 ? `1 robot ${singular}` : `${count} robots ${plural}`;
