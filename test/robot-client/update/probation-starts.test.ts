/**
 * Boots and starts of the agent during a probation: every history ends, and neither counter uses up
 * the other.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BootMoment } from '../../../robot-client/boot/boot-slots.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { powerEvent, step, type MachineEvent } from '../../../robot-client/update/machine.ts';
import { healthTimeOf } from '../../../robot-client/update/probation.ts';
import {
  encodeMachineState,
  freshState,
  parseMachineState,
  type Job,
  type MachineState,
} from '../../../robot-client/update/state.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const world = makeWorld();
const bootsMax = 3;
const STARTS_MAX = bootsMax * LIMITS.probationStartsPerBoot;

function jobOf(version: string): Job {
  const offer = announce(world, [makeRollout(world, { version })]);
  const { verdict } = decideOffer(offer, factsOf(world));
  if (verdict.kind !== 'take') throw new Error('the world is broken');
  return verdict.job;
}

const moment = (boot: number, upMs = 0): BootMoment => ({ bootId: `boot-${boot}`, upMs });

function onProbation(at: BootMoment | null): MachineState {
  const events: MachineEvent[] = [
    { kind: 'offered', job: jobOf('1.1.0') },
    ...(['fits', 'downloaded', 'intact', 'staged'] as const).map((kind) => ({ kind })),
    { kind: 'ready', previousVersion: '1.0.0' },
    { kind: 'swapped', at },
  ];
  return events.reduce((state, event) => step(state, event, NOW).state, freshState());
}

type Start = 'restart' | 'boot' | 'boot with recover' | 'recover twice';
const STARTS: readonly Start[] = ['restart', 'boot', 'boot with recover', 'recover twice'];

interface Robot {
  readonly state: MachineState;
  readonly boot: number;
}

function started({ state, boot }: Robot, start: Start, isNamed = true): Robot {
  const now = start === 'restart' ? boot : boot + 1;
  const at = isNamed ? moment(now) : null;
  const recovers = start === 'recover twice' ? 2 : start === 'boot with recover' ? 1 : 0;
  const by = [...Array<'recover'>(recovers).fill('recover'), 'agent'] as const;
  let next = state;
  for (const one of by) {
    if (next.phase !== 'probation') break;
    next = step(next, powerEvent(next, one, { bootsMax, at }), NOW).state;
    next = parseMachineState(encodeMachineState(next));
  }
  return { state: next, boot: now };
}

describe('a probation', () => {
  it('ends in every history of boots, with and without recover, and of restarts', () => {
    let robots: Robot[] = [{ state: onProbation(moment(0)), boot: 0 }];
    const seen = new Set<string>();
    const codes = new Set<string>();
    for (let nth = 0; robots.length > 0; nth += 1) {
      assert.ok(nth <= bootsMax + STARTS_MAX + 1, 'a history has no end');
      robots = robots.flatMap((robot) =>
        STARTS.flatMap((start) => {
          const next = started(robot, start);
          const { phase, job } = next.state;
          if (phase !== 'probation') codes.add(job?.cause?.code ?? '');
          const before = robot.state.job;
          const isRestart = start === 'restart' && phase === 'probation';
          if (isRestart) assert.equal(job?.boots, before?.boots, 'a restart is no boot');
          const key = JSON.stringify([phase, job?.boots, job?.bootCounted, job?.seenBoot?.starts]);
          if (seen.has(key) || phase !== 'probation') return [];
          seen.add(key);
          return [next];
        }),
      );
    }
    assert.deepEqual([...codes].toSorted(), ['BOOT_LIMIT_REACHED', 'START_LIMIT_REACHED']);
  });

  it('says the boot that is too many, and the start that is too many', () => {
    const endOf = (start: Start): MachineState => {
      let robot: Robot = { state: onProbation(moment(0)), boot: 0 };
      while (robot.state.phase === 'probation') robot = started(robot, start);
      return robot.state;
    };
    const [boots, starts] = [endOf('boot'), endOf('restart')];
    assert.equal(
      boots.job?.cause?.message,
      'start 1.1.0: not confirmed before boot 4 (want at most 3)',
    );
    assert.equal(boots.blocked.at(-1)?.code ?? boots.job?.cause?.code, 'BOOT_LIMIT_REACHED');
    const limit = `start ${STARTS_MAX + 1} of the agent beside its boots (want at most ${STARTS_MAX})`;
    assert.equal(starts.job?.cause?.message, `start 1.1.0: not confirmed before ${limit}`);
  });

  it('counts each start of the agent as a boot where the kernel names no boot', () => {
    let robot: Robot = { state: onProbation(null), boot: 0 };
    for (const boots of [1, 2, 3]) {
      robot = started(robot, 'restart', false);
      assert.deepEqual([robot.state.phase, robot.state.job?.boots], ['probation', boots]);
    }
    const { state } = started(robot, 'restart', false);
    assert.equal(state.job?.cause?.code, 'BOOT_LIMIT_REACHED');
  });

  it('counts on from a state of 0.1, which names no boot', () => {
    const text = new TextDecoder().decode(encodeMachineState(onProbation(moment(0))));
    const older = JSON.parse(text) as { job: Record<string, unknown> };
    delete older.job['seenBoot'];
    older.job['boots'] = 1;
    const state = parseMachineState(new TextEncoder().encode(JSON.stringify(older)));
    const first = started({ state, boot: 0 }, 'restart');
    assert.equal(first.state.job?.boots, 2, 'this boot was not counted');
    assert.equal(started(first, 'restart').state.job?.boots, 2);
  });

  it('counts starts from zero after good health, and boots as well', () => {
    const again = started({ state: onProbation(moment(0)), boot: 0 }, 'restart').state;
    const { job } = step(again, { kind: 'well' }, NOW).state;
    assert.deepEqual([job?.boots, job?.seenBoot], [0, { id: 'boot-0', sinceMs: 0, starts: 0 }]);
  });
});

describe('the time for health', () => {
  const restarted = (state: MachineState, at: BootMoment): Job => {
    const { job } = step(state, powerEvent(state, 'agent', { bootsMax, at }), NOW).state;
    if (!job) throw new Error('no job');
    return job;
  };

  it('is what is left of it after a restart of the agent, and half of it at least', () => {
    const state = onProbation(moment(0, 1000));
    const { healthTimeoutMs: whole } = state.job as Job;
    for (const [spentMs, leftMs] of [
      [0, whole],
      [1, whole - 1],
      [whole / 2, whole / 2],
      [whole * 9, whole / 2],
      [-500, whole],
    ] as const) {
      const at = moment(0, 1000 + spentMs);
      assert.equal(healthTimeOf(restarted(state, at), at), leftMs, `${spentMs} ms spent`);
    }
  });

  it('is whole in the boot of the swap, after a reboot, and where the kernel names no boot', () => {
    const state = onProbation(moment(0, 1000));
    const { healthTimeoutMs: whole } = state.job as Job;
    assert.equal(healthTimeOf(state.job as Job, moment(0, 9_000_000)), whole);
    const next = moment(1, 5);
    assert.equal(healthTimeOf(restarted(state, next), next), whole);
    assert.equal(healthTimeOf(restarted(state, moment(0, 9_000_000)), null), whole);
  });
});
