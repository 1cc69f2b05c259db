/**
 * Cuts the power of a machine while its own agent updates it, at random moments of its whole life.
 * After each cut the disk is judged; after all cuts of an update the machine is left alone and has
 * to end where an undisturbed one would. The plan of an update is a pure function of a seed.
 */

import type { Scope } from '../helpers/scope.ts';
import { makeRandom } from '../kill/kill-plan.ts';
import { FACTORY, GuestRobot, upIn, type ImageKind } from './guest-robot.ts';
import type { Machine } from './machine.ts';

const MOMENTS = ['spoiled', 'writing', 'told', 'chosen', 'confirmed'] as const;
export type Moment = (typeof MOMENTS)[number] | 'any';

export interface Cut {
  /** `any`: so many milliseconds after the announcement or the start of the machine. */
  readonly moment: Moment;
  /** After the moment has come. */
  readonly delayMs: number;
}

export interface GuestUpdate {
  readonly kind: ImageKind;
  readonly cuts: readonly Cut[];
}

export interface GuestResult {
  readonly cuts: Map<Moment, number>;
  updates: number;
  confirmed: number;
  wentBack: number;
  readonly violations: string[];
}

const SICK = 0.25;
const ANY = 0.4;
/** A slot has three tries, and each cut may use one up. */
const CUTS_MAX = 2;
const ONCE_MORE = 0.6;
const DELAY_MS_MAX = 2_500;
/** An update takes some 40 s on two quiet cores, twice that on busy ones. */
const LIFE_MS = 70_000;
/** A moment that did not come until then has passed already: the power is cut all the same. */
const MOMENT_MS_MAX = 120_000;

export function planGuestUpdate(random: () => number): GuestUpdate {
  const kind = random() < SICK ? 'sick' : 'good';
  const cuts: Cut[] = [];
  do {
    const isAny = random() < ANY;
    const moment = isAny ? 'any' : (MOMENTS[Math.floor(random() * MOMENTS.length)] ?? 'any');
    cuts.push({ moment, delayMs: random() * (isAny ? LIFE_MS : DELAY_MS_MAX) });
  } while (cuts.length < CUTS_MAX && random() < ONCE_MORE);
  return { kind, cuts };
}

/** True once the moment has come; made before the update is announced. */
function watchFor(moment: Moment, robot: GuestRobot): () => boolean {
  const confirmed = robot.mark()?.confirmed;
  const { slot, head } = robot.spare();
  switch (moment) {
    case 'any':
      return () => true;
    case 'spoiled':
      return () => robot.mark()?.other === 'x';
    case 'writing':
      return () => robot.head(slot) !== head;
    case 'told':
      return () => robot.mark()?.other === '3';
    case 'chosen':
      return () => robot.mark()?.other === '2';
    case 'confirmed':
      return () => {
        const now = robot.mark();
        return now !== null && now.confirmed !== confirmed;
      };
  }
}

async function cutAt(cut: Cut, machine: Machine, comes: () => boolean): Promise<void> {
  const begunAt = performance.now();
  let cameAt: number | null = null;
  await machine.cutWhen(cut.moment, () => {
    const now = performance.now();
    if (cameAt === null && (now - begunAt > MOMENT_MS_MAX || comes())) cameAt = now;
    return cameAt !== null && now - cameAt >= cut.delayMs;
  });
}

/** @param onCut gets each cut and the state of the disk after it */
export async function runGuestCuts(
  scope: Scope,
  run: { readonly cuts: number; readonly seed: number; readonly onCut: (line: string) => void },
): Promise<GuestResult> {
  const random = makeRandom(run.seed);
  const robot = await GuestRobot.open(scope);
  const result: GuestResult = {
    ...{ cuts: new Map<Moment, number>(), updates: 0, confirmed: 0, wentBack: 0 },
    violations: [],
  };
  const judge = (when: string): void => {
    const found = robot.violation();
    run.onCut(`${when}: ${JSON.stringify(robot.mark())}${found === null ? '' : ` ${found}`}`);
    if (found !== null) result.violations.push(`${when}: ${found}`);
  };
  let machine = await robot.start();
  let runs = FACTORY;
  let done = 0;
  while (done < run.cuts && result.violations.length === 0) {
    const plan = planGuestUpdate(random);
    const kind = runs === FACTORY ? 'good' : plan.kind; // the factory's version is not reported
    const version = `2.${result.updates}.0`;
    result.updates += 1;
    const watches = plan.cuts.map(({ moment }) => watchFor(moment, robot));
    await robot.publish(version, kind);
    for (const [at, cut] of plan.cuts.entries()) {
      await cutAt(cut, machine, watches[at] ?? (() => true));
      done += 1;
      result.cuts.set(cut.moment, (result.cuts.get(cut.moment) ?? 0) + 1);
      judge(`${version} (${kind}), cut ${done}, ${cut.moment} + ${Math.round(cut.delayMs)} ms`);
      machine = await robot.start();
    }
    if (kind === 'good') {
      await robot.untilRuns(version, machine);
      runs = version;
      result.confirmed += 1;
    } else {
      const isOver = (one: { blocked: readonly string[]; phase: string }): boolean =>
        one.phase === 'idle' && one.blocked.includes(version);
      await robot.until(`${version} blocked`, machine, isOver);
      result.wentBack += 1;
    }
    judge(`${version} (${kind}) has ended`);
    const told = robot.report?.version ?? null;
    const up = upIn(machine).version;
    if (told !== runs || up !== runs) {
      result.violations.push(`${version}: reported ${told}, runs ${up}, want ${runs}`);
    }
  }
  await machine.cut();
  return result;
}
