/**
 * Forecasts from the last reports of robots how each will react to a rollout before it is
 * announced. Reports are not signed: a forecast only warns and asks, and a robot decides for
 * itself. Sans-I/O.
 */

import type { AnnouncementFields } from '../../shared/formats/announcement.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';
import {
  BUDGET_CAPABILITY,
  SET_IMAGES_CAPABILITY,
  SETS_CAPABILITY,
  START_CAPABILITY,
} from '../../shared/formats/announcement.ts';
import { COMPATIBLE_CAPABILITY } from '../../shared/formats/apply-strategy.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { printable } from '../../shared/base/printable.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import { startLine } from '../../shared/rules/start-time.ts';
import {
  STANDSTILL_CODES,
  standstillOf,
  type StandstillCode,
} from '../../shared/rules/standstill.ts';
import { archsOf, unableOf } from './fleet-report.ts';
import { requiresText } from '../../shared/rules/requires.ts';
import { componentFor, isLedTo, unfitNow, type Offer } from '../../shared/rules/stepping-stones.ts';

/**
 * - `takes`: as soon as it may
 * - `steps`: after another rollout that is announced as well
 * - `runs`: it runs this release already
 * - a code of a refusal: it never takes this release
 * - a code of a standstill: it takes nothing until a person fixes what the code names
 */
const ANSWERS = [
  'takes',
  'steps',
  'runs',
  'NOT_NEWER',
  'BELOW_HIGHEST',
  'TOO_OLD',
  'VERSION_REUSED',
  'FAILED_BEFORE',
  'LOG_PROOF_MISSING',
  'ARCH_WRONG',
  'COMPATIBLE_WRONG',
  'MODULE_MISSING',
  'BOOT_MISSING',
  'STRATEGY_CHANGED',
  'MANIFEST_INVALID',
  'REQUIRES_UNMET',
  'REQUIRES_UNKNOWN',
  'SET_INCOMPLETE',
] as const;
export type Outlook = (typeof ANSWERS)[number] | StandstillCode;
export const OUTLOOKS: readonly Outlook[] = [...ANSWERS, ...STANDSTILL_CODES];

export const isStandstill = (one: Outlook): one is StandstillCode =>
  STANDSTILL_CODES.some((code) => code === one);

export interface Forecast {
  /** Robots whose reports were read. */
  readonly known: number;
  /** Of those, robots that the rollout does not target or that lack the component. */
  readonly notTargeted: number;
  /** Of those, robots that it targets by their name and that lack the component. */
  readonly lacking: readonly string[];
  readonly component: string;
  readonly robots: Readonly<Record<Outlook, readonly string[]>>;
  /** Targeted robots that have never reported: a typing error, or new. */
  readonly unreported: readonly string[];
  /** True when one of these is a canary. */
  readonly isCanaryUnreported: boolean;
  /** CPU architectures of the robots that have another one than the bundle. */
  readonly otherArchs: readonly string[];
  /** Robots whose clock is more than a day ahead of ours: what is valid today has expired there. */
  readonly clockAhead: readonly string[];
  /** Robots whose agent does not read `compatible`: they accept the bundle on any machine. */
  readonly machineUnasked: readonly string[];
  /** Robots whose agent knows no sets: they take the bundles one by one. */
  readonly setUnasked: readonly string[];
  /** Requirements of the bundle on other components, for people; empty for none. */
  readonly requires: string;
  /** Robots whose agent knows no budget: they go out of service whoever else is. */
  readonly budgetUnasked: readonly string[];
  /** Robots whose agent knows no start: they take it as soon as it is announced. */
  readonly startUnasked: readonly string[];
  /** Robots that do not take a set with a system image now: they refuse it, or know none. */
  readonly imageUnasked: readonly string[];
}

/** Robots named as examples in a line or an answer. */
export const EXAMPLES = 5;

export function forecast(
  offer: Offer & {
    readonly named?: readonly string[];
    readonly canaries?: readonly string[];
    readonly hasBudget?: boolean;
    readonly hasStart?: boolean;
  },
  beside: readonly Offer[],
  reports: readonly RobotState[],
  now: EpochMs,
): Forecast {
  // In the order that people look for a robot in, whatever order the reports came in.
  const states = reports.toSorted((a, b) => (a.robot_id < b.robot_id ? -1 : 1));
  const robots = Object.fromEntries(
    OUTLOOKS.map((one) => [one, [] as string[]]),
  ) as unknown as Record<Outlook, string[]>;
  const wanted = [...new Set(offer.named ?? offer.target.robots)];
  let notTargeted = 0;
  const lacking: string[] = [];
  for (const state of states) {
    const alone = outlookOf(offer, beside, state);
    const outlook =
      isWilling(alone) && !takesOthers(offer, beside, state) ? 'SET_INCOMPLETE' : alone;
    if (outlook === null) notTargeted += 1;
    if (outlook === null && wanted.includes(state.robot_id)) lacking.push(state.robot_id);
    if (outlook !== null) robots[outlook].push(state.robot_id);
  }
  const ahead = states.filter(({ at }) => at - now > LIMITS.aheadMsMax);
  const clockAhead = ahead.map(({ robot_id: id }) => id);
  const reported: ReadonlySet<string> = new Set(states.map(({ robot_id: id }) => id));
  const unreported = wanted.filter((id) => !reported.has(id));
  const machineUnasked = unaskedOf(offer, states, robots);
  const setUnasked = offer.set ? unableOf(SETS_CAPABILITY, states, robots) : [];
  const imageUnasked = offer.set?.image ? unableOf(SET_IMAGES_CAPABILITY, states, robots) : [];
  const budgetUnasked = offer.hasBudget ? unableOf(BUDGET_CAPABILITY, states, robots) : [];
  const startUnasked = offer.hasStart ? unableOf(START_CAPABILITY, states, robots) : [];
  const isCanaryUnreported = unreported.some((id) => offer.canaries?.includes(id) === true);
  const otherArchs = archsOf(states, robots.ARCH_WRONG);
  const requires = requiresText(offer.manifest.requires);
  const asked = { unreported, isCanaryUnreported, otherArchs, clockAhead, requires };
  const unasked = { machineUnasked, setUnasked, imageUnasked, budgetUnasked, startUnasked };
  const out = { notTargeted, lacking, component: offer.manifest.name };
  return { known: states.length, ...out, robots, ...asked, ...unasked };
}

const isWilling = (outlook: Outlook | null): boolean => outlook === 'takes' || outlook === 'steps';

/** True when this robot takes, or runs, each other bundle of the set. */
function takesOthers(offer: Offer, beside: readonly Offer[], state: RobotState): boolean {
  const others = beside.filter(({ id }) => offer.set?.members.some((one) => one.rollout === id));
  return others.every((other) => {
    const outlook = outlookOf(
      other,
      beside.filter((one) => one !== other),
      state,
    );
    return outlook === 'runs' || isWilling(outlook) || (outlook !== null && isStandstill(outlook));
  });
}

function unaskedOf(
  { manifest }: Offer,
  states: readonly RobotState[],
  robots: Forecast['robots'],
): string[] {
  return manifest.compatible.length === 0 ? [] : unableOf(COMPATIBLE_CAPABILITY, states, robots);
}

/** Null for a robot that the rollout does not target. */
export function outlookOf(
  offer: Offer,
  beside: readonly Offer[],
  state: RobotState,
): Outlook | null {
  const component = componentFor(offer, state);
  if (!component) return null;
  const unfit = unfitNow(offer, component, state);
  const still = standstillOf(component);
  if (unfit === null) return still ?? 'takes';
  if (unfit === 'RUNS_IT') return 'runs';
  if (unfit !== 'TOO_OLD' || !isLedTo(offer, beside, state)) return unfit;
  return still ?? 'steps';
}

/**
 * How robots will react to rollout `id` of an announcement.
 * @param now of this machine
 */
export function forecastOf(
  { rollouts }: Pick<AnnouncementFields, 'rollouts'>,
  id: string,
  states: readonly RobotState[],
  now: EpochMs,
): Forecast | null {
  const offers = rollouts.flatMap(
    ({ id: name, manifest, target = {}, log_proof: proof, set }): Offer[] => {
      const bytes = base64ToBytes(manifest);
      const parsed = bytes && nullIfRefused(() => parseManifest(bytes));
      return parsed
        ? [
            {
              id: name,
              target: fullTarget(target),
              manifest: parsed,
              hasLogProof: proof !== undefined,
              set: set ?? null,
            },
          ]
        : [];
    },
  );
  const offer = offers.find((one) => one.id === id);
  const others = offers.filter((one) => one.id !== id);
  if (!offer) return null;
  const written = rollouts.find((one) => one.id === id);
  const canaries = written?.canaries?.robots ?? [];
  const named = [...offer.target.robots, ...canaries];
  const hasBudget = written?.budget !== undefined;
  const hasStart = written !== undefined && startLine(written) !== null;
  return forecast({ ...offer, named, canaries, hasBudget, hasStart }, others, states, now);
}

/** A target as it is written, with its defaults. */
export function fullTarget(
  written: AnnouncementFields['rollouts'][number]['target'],
): Offer['target'] {
  const { tags = [], robots = [], arch } = written ?? {};
  return { tags, robots: robots as Offer['target']['robots'], ...(arch !== undefined && { arch }) };
}

/**
 * True when robots have reported and none of them runs it or ever will. A robot that stands still
 * takes it once it is fixed.
 */
export function isUseless({ known, robots }: Forecast): boolean {
  const waiting = ['takes', 'steps', 'runs', ...STANDSTILL_CODES] as const;
  return known > 0 && waiting.every((one) => robots[one].length === 0);
}

const WORDS: Readonly<Record<(typeof ANSWERS)[number], string>> = {
  takes: 'will take it',
  steps: 'will take it after another rollout that is announced',
  runs: 'run it already',
  NOT_NEWER: 'run something newer (NOT_NEWER)',
  BELOW_HIGHEST: 'have run something newer before (BELOW_HIGHEST)',
  TOO_OLD: 'are too old for it, and nothing that is announced leads there (TOO_OLD)',
  VERSION_REUSED: 'run other bytes under this version (VERSION_REUSED)',
  FAILED_BEFORE: 'have this version blocked: it failed there, or was called back (FAILED_BEFORE)',
  LOG_PROOF_MISSING:
    'take only what is logged, and this is not: drover log add (LOG_PROOF_MISSING)',
  ARCH_WRONG: 'have another CPU architecture (ARCH_WRONG)',
  COMPATIBLE_WRONG: 'are other machines than those that it is for (COMPATIBLE_WRONG)',
  STRATEGY_CHANGED: 'run what another module applied (STRATEGY_CHANGED)',
  MODULE_MISSING: 'do not have the module that applies it (MODULE_MISSING)',
  BOOT_MISSING:
    'have no system slots for this component, or an agent that does not know them (BOOT_MISSING)',
  MANIFEST_INVALID: 'have an agent that does not know its requires (MANIFEST_INVALID)',
  REQUIRES_UNMET: 'lack what it requires of another component (REQUIRES_UNMET)',
  REQUIRES_UNKNOWN: 'do not know what runs of a component that it requires (REQUIRES_UNKNOWN)',
  SET_INCOMPLETE: 'cannot take another bundle of the set, so they take none (SET_INCOMPLETE)',
};

function wordsOf(one: Outlook, found: Pick<Forecast, 'otherArchs' | 'requires'>): string {
  const { otherArchs, requires } = found;
  if (isStandstill(one)) return `take no update until this is mended (${one})`;
  const isRequired = one === 'REQUIRES_UNMET' && requires !== '';
  if (isRequired) return `lack what it requires, ${requires} (${one})`;
  if (one !== 'ARCH_WRONG' || otherArchs.length === 0) return WORDS[one];
  return `${WORDS[one]}, which is ${named(otherArchs.map((arch) => printable(arch, 64)))}`;
}

/** One sentence of counts, without a full stop: for messages. */
export function forecastText(found: Forecast): string {
  const parts = OUTLOOKS.filter((one) => found.robots[one].length > 0).map(
    (one) => `${found.robots[one].length} ${wordsOf(one, found)}`,
  );
  parts.push(...outParts(found));
  return `of ${found.known} robots: ${parts.join('; ')}`;
}

/** A person who named a robot looks for a typing error in its name, and not for its component. */
function outParts({ notTargeted, lacking, component }: Forecast): string[] {
  const others = notTargeted - lacking.length;
  const have = lacking.length === 1 ? 'has' : 'have';
  return [
    ...(lacking.length > 0
      ? [`${lacking.length} named here ${have} no component ${component}: ${named(lacking)}`]
      : []),
    ...(others > 0 ? [`${others} not targeted, or without component ${component}`] : []),
  ];
}

/** The robots of one outlook: their number, and examples of those that do not just take it. */
export function outlookText(found: Forecast, one: Outlook): string {
  const robots = robotsOf(found, one);
  const which = one === 'takes' || one === 'runs' ? '' : `: ${named(robots)}`;
  return `${robots.length} ${wordsOf(one, found)}${which}`;
}

/** Without those that refuse a set with a system image now: another line counts them. */
function robotsOf(found: Forecast, one: Outlook): readonly string[] {
  const robots = found.robots[one];
  if (!isWilling(one)) return robots;
  const refuse = refusingImage(found);
  return robots.filter((robot) => !refuse.includes(robot));
}

/** Robots that know sets, and take none with a system image now. */
const refusingImage = ({ imageUnasked, setUnasked }: Forecast): string[] =>
  imageUnasked.filter((one) => !setUnasked.includes(one));

const HELPED = ['FAILED_BEFORE', 'REQUIRES_UNMET', 'REQUIRES_UNKNOWN'] as const;

const isHelped = (one: Outlook): one is StandstillCode | (typeof HELPED)[number] =>
  isStandstill(one) || HELPED.some((code) => code === one);

/** One line for each outlook that some robot has, refusals with examples. */
export function forecastLines(found: Forecast | null): string[] {
  if (found === null) return ['robots: their reports cannot be read here, so nothing is foreseen'];
  if (found.known === 0) return ['robots: none has reported yet', ...unreportedLines(found)];
  const lines = OUTLOOKS.flatMap((one) => {
    if (robotsOf(found, one).length === 0) return [];
    const help = isHelped(one) ? [`  ${one}: ${CATALOGUE[one].hint}`] : [];
    return [`robots: ${outlookText(found, one)}`, ...help];
  });
  const rest = outParts(found).map((part) => `robots: ${part}`);
  return [
    ...[...lines, ...rest, ...unreportedLines(found), ...clockLines(found)],
    ...machineLines(found),
    ...setLines(found),
    ...orderLines(found),
  ];
}

/** A canary wave of robots that do not exist would silently wait for ever. */
function unreportedLines({ unreported: robots, isCanaryUnreported }: Forecast): string[] {
  if (robots.length === 0) return [];
  const are = robots.length === 1 ? 'has' : 'have';
  return [
    `robots: ${robots.length} named here ${are} never reported: ${named(robots)}`,
    `  compare the names with drover fleet robots${isCanaryUnreported ? ': canaries are waited for' : ''}`,
  ];
}

const named = (robots: readonly string[]): string =>
  robots.slice(0, EXAMPLES).join(', ') + (robots.length > EXAMPLES ? ', …' : '');

function clockLines({ clockAhead: robots }: Forecast): string[] {
  if (robots.length === 0) return [];
  const what = 'have a clock more than a day ahead of the one here (ROBOT_CLOCK_OFF)';
  return [
    `robots: ${robots.length} ${what}: ${named(robots)}`,
    `  ROBOT_CLOCK_OFF: ${CATALOGUE.ROBOT_CLOCK_OFF.hint}`,
  ];
}

function machineLines({ machineUnasked: robots }: Forecast): string[] {
  if (robots.length === 0) return [];
  return [
    `robots: ${robots.length} have an agent that does not look at --compatible: ${named(robots)}`,
    '  they take it whatever their machine is: update their agent first, or leave them out (--tags)',
  ];
}

function setLines(found: Forecast): string[] {
  const { setUnasked: robots } = found;
  const lines: string[] = [];
  if (robots.length > 0) {
    lines.push(
      `robots: ${robots.length} have an agent that knows no sets: ${named(robots)}`,
      '  they take the bundles one by one: update their agent first, or leave them out (--tags)',
    );
  }
  const others = refusingImage(found);
  if (others.length > 0) {
    lines.push(
      `robots: ${others.length} take no set with a system image now: ${named(others)}`,
      `  SET_IMAGE_UNREADY: ${CATALOGUE.SET_IMAGE_UNREADY.hint}`,
    );
  }
  return lines;
}

function orderLines({ budgetUnasked: free, startUnasked: early }: Forecast): string[] {
  const line = (robots: readonly string[], what: string, then: string): string[] =>
    robots.length === 0
      ? []
      : [
          `robots: ${robots.length} have an agent that knows no ${what}: ${named(robots)}`,
          `  they ${then}: update their agent first, or leave them out (--tags)`,
        ];
  return [
    ...line(free, 'budget (--at-most)', 'go out of service whoever else is'),
    ...line(early, 'start (--start-at)', 'take it as soon as it is announced'),
  ];
}
