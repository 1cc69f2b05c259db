/**
 * The contract of the boot side, on each adapter that can run here: whatever is asked of it, in any
 * order and any number of times, the boot loader chooses what the port promises.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it, type TestContext } from 'node:test';
import type { BootSlots, SystemSlot } from '../../robot-client/boot/boot-slots.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { requirePeer } from '../helpers/peer.ts';
import type { Scope } from '../helpers/scope.ts';
import { withTempFolder } from '../helpers/temp-folder.ts';
import {
  A,
  B,
  makeGrub,
  makeOwn,
  makeSystemdBoot,
  makeUBoot,
  type BootLoader,
} from '../robot-client/boot/boot-loaders.ts';
import { makeRauc, RAUC_TRIES } from '../robot-client/boot/rauc-peer.ts';

interface Kind {
  readonly make: (folder: string, scope: Scope) => Promise<BootLoader>;
  readonly peers: readonly string[];
  /** It says which slot is confirmed, and refuses to change it. */
  readonly tells: boolean;
  /** The number of tries is its own. */
  readonly tries?: number;
  readonly runs: number;
}

const KINDS: Readonly<Record<string, Kind>> = {
  GRUB: { make: makeGrub, peers: [], tells: true, runs: 40 },
  'systemd-boot': { make: makeSystemdBoot, peers: [], tells: true, runs: 100 },
  'U-Boot': { make: makeUBoot, peers: ['fw_setenv'], tells: true, runs: 12 },
  'programs of the integrator': { make: makeOwn, peers: [], tells: false, runs: 8 },
  RAUC: {
    ...{ make: (folder, scope) => makeRauc(scope, folder), peers: ['rauc', 'dbus-daemon'] },
    ...{ tells: false, tries: RAUC_TRIES, runs: 2 },
  },
};

/** A slot as the steps call it: by its part in this boot. */
type Part = 'running' | 'other';
type Step =
  | { readonly what: 'spoil' | 'confirm'; readonly part: Part; readonly times: number }
  | {
      readonly what: 'try';
      readonly part: Part;
      readonly tries: number;
      readonly times: number;
    }
  | { readonly what: 'reboot' };

const part = fc.constantFrom<Part>('running', 'other', 'other');
const times = fc.constantFrom(1, 2);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constant('spoil' as const), part, times }),
  fc.record({
    what: fc.constant('confirm' as const),
    part: fc.constant('running' as const),
    times,
  }),
  fc.record({
    what: fc.constant('try' as const),
    part,
    tries: fc.integer({ min: 1, max: 9 }),
    times,
  }),
  fc.constant({ what: 'reboot' as const }),
  fc.constant({ what: 'reboot' as const }),
);

/** Checks the promises of the port against one adapter. */
class Promised {
  confirmed: SystemSlot = A;
  running: SystemSlot = A;
  /** Tries that the slot has that is not confirmed. */
  tries = 0;

  get #unconfirmed(): SystemSlot {
    return this.confirmed === A ? B : A;
  }

  slot(which: Part): SystemSlot {
    const other = this.running === A ? B : A;
    return which === 'running' ? this.running : other;
  }

  /** Null when it is to be refused. */
  take(one: Exclude<Step, { what: 'reboot' }>, ownTries?: number): 'done' | null {
    const slot = this.slot(one.part);
    if (one.what === 'confirm') {
      if (slot !== this.confirmed) this.tries = 0;
      this.confirmed = slot;
      return 'done';
    }
    if (slot === this.confirmed) return null;
    this.tries = one.what === 'try' ? (ownTries ?? one.tries) : 0;
    return 'done';
  }

  reboot(): SystemSlot {
    if (this.tries > 0) {
      this.tries -= 1;
      this.running = this.#unconfirmed;
    } else {
      this.running = this.confirmed;
    }
    return this.running;
  }
}

async function ask(slots: BootSlots, one: Exclude<Step, { what: 'reboot' }>, slot: SystemSlot) {
  try {
    if (one.what === 'try') await slots.tryNext(slot, one.tries);
    else await slots[one.what](slot);
    return 'done';
  } catch (error) {
    if (error instanceof DroverError && error.code === 'BOOT_SLOT_KEPT') return null;
    throw error;
  }
}

async function play(kind: Kind, folder: string, scope: Scope, steps: readonly Step[]) {
  const loader = await kind.make(folder, scope);
  const promised = new Promised();
  let slots = await loader.open(A);
  for (const one of [...steps, { what: 'reboot' as const }]) {
    if (one.what === 'reboot') {
      const wanted = promised.reboot();
      assert.equal(await loader.boot(), wanted);
      slots = await loader.open(wanted);
      assert.equal(slots.running, wanted);
      assert.notEqual(slots.other, wanted);
      continue;
    }
    const slot = promised.slot(one.part);
    const isRefused = one.what !== 'confirm' && slot === promised.confirmed;
    // A confirmed slot that is confirmed again may end the trial of the other one there.
    const endsTrial = one.what === 'confirm' && slot === promised.confirmed && promised.tries > 0;
    // One that cannot tell which slot is confirmed leaves it to its caller not to ask for these.
    if ((isRefused || endsTrial) && !kind.tells) continue;
    for (let time = 0; time < one.times; time += 1) {
      const wanted = promised.take(one, kind.tries);
      assert.equal(await ask(slots, one, slot), wanted, JSON.stringify(one));
    }
    await assertTold(kind, slots, promised);
  }
}

async function assertTold({ tells }: Kind, slots: BootSlots, promised: Promised): Promise<void> {
  const { confirmed, next, triesLeft } = await slots.look();
  if (!tells) return assert.equal(confirmed, null);
  assert.equal(confirmed, promised.confirmed);
  assert.equal(triesLeft ?? 0, promised.tries);
  const wanted = promised.tries > 0 ? (confirmed === A ? B : A) : confirmed;
  assert.equal(next, wanted);
}

const hasPeers = (t: TestContext, { peers }: Kind): boolean =>
  peers.every((peer) => requirePeer(t, peer) !== null);

for (const [name, kind] of Object.entries(KINDS)) {
  describe(`slots under ${name}`, () => {
    it('boot as the port promises, whatever is asked and however often', async (t) => {
      if (!hasPeers(t, kind)) return;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 12 }), (steps) =>
          withTempFolder((folder) => play(kind, folder, t, steps)),
        ),
        { numRuns: kind.runs },
      );
    });

    it('come back by themselves when a slot is not confirmed, and stay when it is', async (t) => {
      if (!hasPeers(t, kind)) return;
      await withTempFolder(async (folder) => {
        const loader = await kind.make(folder, t);
        const onA = await loader.open(A);
        await onA.spoil(B);
        await onA.tryNext(B, 3);
        for (const wanted of [B, B, B, A, A]) assert.equal(await loader.boot(), wanted);
        await (await loader.open(A)).tryNext(B, 3);
        assert.equal(await loader.boot(), B);
        await (await loader.open(B)).confirm(B);
        for (let boots = 0; boots < 5; boots += 1) assert.equal(await loader.boot(), B);
      });
    });

    it('go back at once when the slot on trial is spoiled', async (t) => {
      if (!hasPeers(t, kind)) return;
      await withTempFolder(async (folder) => {
        const loader = await kind.make(folder, t);
        await (await loader.open(A)).tryNext(B, 3);
        assert.equal(await loader.boot(), B);
        await (await loader.open(B)).spoil(B);
        for (const wanted of [A, A]) assert.equal(await loader.boot(), wanted);
      });
    });

    it('are two, and only the one that runs can be confirmed', async (t) => {
      if (!hasPeers(t, kind)) return;
      await withTempFolder(async (folder) => {
        const slots = await (await kind.make(folder, t)).open(A);
        await assert.rejects(slots.confirm(B), { code: 'BOOT_SLOT_NOT_RUNNING' });
        const third = 'C' as SystemSlot;
        for (const change of [slots.spoil(third), slots.tryNext(third, 1), slots.confirm(third)]) {
          await assert.rejects(change, { code: 'BOOT_SLOT_UNKNOWN' });
        }
        await assert.rejects(slots.tryNext(B, 0), TypeError);
        await assert.rejects(slots.tryNext(B, 10), TypeError);
      });
    });
  });
}
