/**
 * Every way of a boot into the other slot and back, with power cuts before and after each step that
 * changes the boot loader or the state: the machine always ends on one version that the boot loader
 * and the state agree about.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BootSlots } from '../../../robot-client/boot/boot-slots.ts';
import { planReturnBoot, planTrial, TRIES } from '../../../robot-client/update/slot-plan.ts';
import { A, B } from '../boot/boot-loaders.ts';
import { ModelMachine } from '../boot/model-machine.ts';

class PowerCut extends Error {}

type Phase = 'rebooting' | 'probation' | 'reverting' | 'new' | 'old';

interface World {
  readonly name: string;
  readonly reports: boolean;
  readonly isBootable: boolean;
  readonly isHealthy: boolean;
  /** A person takes the version back after it was confirmed. */
  readonly isRecalled: boolean;
  /** The slot of before comes up. */
  readonly isBackBootable: boolean;
}

/** Models a robot that stores its state on a disk which keeps each write. */
class Robot {
  readonly machine = new ModelMachine();
  phase: Phase = 'rebooting';
  toldIn: string | null = null;
  wasConfirmed = false;
  #points = 0;
  readonly #cuts: ReadonlySet<number>;
  readonly #world: World;

  constructor(world: World, cuts: ReadonlySet<number>) {
    this.#world = world;
    this.#cuts = cuts;
    this.machine.reports = world.reports;
    if (!world.isBootable) this.machine.bootable.delete(B);
    this.machine.onChange = () => {
      this.#point();
      return undefined;
    };
  }

  get points(): number {
    return this.#points;
  }

  #point(): void {
    this.#points += 1;
    if (this.#cuts.has(this.#points)) throw new PowerCut();
  }

  #keep(change: () => void): void {
    this.#point();
    change();
    this.#point();
  }

  async run(): Promise<void> {
    let recalls = this.#world.isRecalled ? 1 : 0;
    for (let nth = 0; nth < 60; nth += 1) {
      if (this.phase === 'new' && recalls > 0 && this.wasConfirmed) {
        recalls -= 1;
        if (!this.#world.isBackBootable) this.machine.bootable.delete(A);
        [this.phase, this.toldIn] = ['reverting', null];
      }
      if (this.phase === 'new' || this.phase === 'old') return;
      try {
        await this.#step(await this.machine.open());
      } catch (thrown) {
        if (!(thrown instanceof PowerCut)) throw thrown;
        this.machine.restart();
      }
    }
    throw new Error(`goes in circles in ${this.phase}`);
  }

  async #step(slots: BootSlots): Promise<void> {
    const bootId = await this.machine.bootId();
    const told = { isTold: this.toldIn !== null, isSameBoot: this.toldIn === bootId };
    const facts = { running: slots.running, view: await slots.look(), ...told };
    if (this.phase === 'rebooting') {
      const step = planTrial({ ...facts, to: B });
      if (step.kind === 'runs') return this.#keep(() => (this.phase = 'probation'));
      if (step.kind === 'reboot') return this.machine.restart();
      if (step.kind === 'fellBack') {
        return this.#keep(() => ([this.phase, this.toldIn] = ['reverting', null]));
      }
      await slots.tryNext(B, TRIES);
      return this.#keep(() => (this.toldIn = bootId));
    }
    if (this.phase === 'probation') return await this.#probe(slots);
    const back = { undone: B, back: A, hasBack: true, wasConfirmed: this.wasConfirmed };
    const step = planReturnBoot({ ...facts, ...back });
    switch (step.kind) {
      case 'arrived':
        if (step.mustConfirm) await slots.confirm(A);
        await slots.spoil(B);
        return this.#keep(() => (this.phase = 'old'));
      case 'tell':
        if (step.by === 'try') await slots.tryNext(A, TRIES);
        else await slots.spoil(B).catch((thrown: unknown) => this.#orTry(slots, thrown));
        return this.#keep(() => (this.toldIn = bootId));
      case 'reboot':
        return this.machine.restart();
      case 'stays':
        await slots.spoil(A);
        return this.#keep(() => (this.phase = 'new'));
      case 'failed':
        throw new Error(`the way back failed: ${step.why}`);
    }
  }

  async #orTry(slots: BootSlots, thrown: unknown): Promise<void> {
    if (thrown instanceof PowerCut) throw thrown;
    await slots.tryNext(A, TRIES);
  }

  async #probe(slots: BootSlots): Promise<void> {
    const undo = (): void => void ([this.phase, this.toldIn] = ['reverting', null]);
    if (slots.running !== B) return this.#keep(undo);
    const isProven = (await slots.look()).confirmed === B;
    if (!isProven && !this.#world.isHealthy) return this.#keep(undo);
    if (!isProven) await slots.confirm(B);
    this.#keep(() => (this.wasConfirmed = true));
    this.#keep(() => (this.phase = 'new'));
  }
}

const bools = [true, false];
const worlds: World[] = bools.flatMap((reports) => [
  ...bools.flatMap((isBootable) =>
    bools.map((isHealthy) => ({
      ...{ reports, isBootable, isHealthy, isRecalled: false, isBackBootable: true },
      name: `${isBootable ? 'boots' : 'panics'}, ${isHealthy ? 'healthy' : 'unhealthy'}`,
    })),
  ),
  ...bools.map((isBackBootable) => ({
    ...{ reports, isBootable: true, isHealthy: true, isRecalled: true, isBackBootable },
    name: `recalled, the slot before ${isBackBootable ? 'boots' : 'panics'}`,
  })),
]);

/** The slot that has to run at the end, unless a power cut used up the tries. */
const endOf = ({ isBootable, isHealthy, isRecalled, isBackBootable }: World): string =>
  isBootable && isHealthy && !(isRecalled && isBackBootable) ? B : A;

async function assertEnds(world: World, cuts: readonly number[]): Promise<number> {
  const robot = new Robot(world, new Set(cuts));
  const at = `${world.name}, cut at ${cuts.join(' and ') || 'nothing'}`;
  await robot.run().catch((cause: unknown) => {
    throw new Error(at, { cause });
  });
  const { running, mark } = robot.machine;
  assert.equal(running, endOf(world), at);
  assert.equal(robot.phase, running === B ? 'new' : 'old', at);
  assert.equal(mark.confirmed, running, at);
  robot.machine.restart();
  assert.equal(robot.machine.running, running, `${at}: and stays there`);
  return robot.points;
}

describe('a boot into the other slot', () => {
  for (const world of worlds) {
    const who = world.reports ? 'a boot loader that reports its state' : 'one that does not';
    it(`ends on one version through two power cuts anywhere: ${world.name}, ${who}`, async () => {
      const points = await assertEnds(world, []);
      assert.ok(points >= 4, 'there are points to cut at');
      // A cut makes further points: those are cut as well.
      for (let first = 1; first <= points; first += 1) {
        const after = await assertEnds(world, [first]);
        for (let second = first + 1; second <= after; second += 1) {
          await assertEnds(world, [first, second]);
        }
      }
    });
  }

  it('does not boot the other slot again after it was spoiled by hand', () => {
    const view = { confirmed: A, next: A, triesLeft: null, spoiled: [B] };
    const step = planTrial({ running: A, to: B, view, isTold: true, isSameBoot: false });
    assert.equal(step.kind, 'fellBack');
  });

  it('stays when the slot before holds another version by now', () => {
    const view = { confirmed: B, next: B, triesLeft: null, spoiled: [] };
    const told = { isTold: false, isSameBoot: false };
    const facts = { running: B, undone: B, back: A, view, ...told, wasConfirmed: true };
    assert.equal(planReturnBoot({ ...facts, hasBack: false }).kind, 'stays');
  });
});
