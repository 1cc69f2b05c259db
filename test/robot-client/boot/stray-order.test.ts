/** Every combination of facts about an order of the boot loader that no state may explain. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { strayOrder, type StrayOrderFacts } from '../../../robot-client/boot/stray-order.ts';
import { ROBOT_PHASES } from '../../../shared/formats/messages.ts';
import { A, B } from './boot-loaders.ts';

const NOTHING = { confirmed: null, next: null, triesLeft: null, spoiled: [] };
const ORDERED = { confirmed: A, next: B, triesLeft: 3, spoiled: [] };
const LOST: StrayOrderFacts = {
  ...{ phase: 'idle', running: A, other: B, view: ORDERED },
  ...{ inRunning: '1.0.0', inOther: '1.1.0', active: '1.0.0', rollback: null },
};

describe('an order of the boot loader', () => {
  it('is taken back in each phase that gives none, and in no other', () => {
    const kept = ROBOT_PHASES.filter((phase) => strayOrder({ ...LOST, phase }) === 'none');
    assert.deepEqual(kept, ['swapping', 'rolling_back', 'stuck', 'rebooting', 'reverting']);
  });

  it('stays when a person gave it', () => {
    assert.equal(strayOrder({ ...LOST, rollback: '1.1.0' }), 'none', 'the version before');
    assert.equal(strayOrder({ ...LOST, inOther: null }), 'none', 'an image of another program');
  });

  it('stays when it is the way back of a trial that runs', () => {
    const trial = { ...LOST, running: B, other: A, inRunning: '1.1.0', inOther: '1.0.0' };
    const views = [ORDERED, { ...ORDERED, next: A, triesLeft: 0 }, NOTHING];
    for (const view of views) assert.equal(strayOrder({ ...trial, view }), 'none');
    const unlinked = { ...trial, active: null, view: { ...ORDERED, next: A, triesLeft: 0 } };
    assert.equal(strayOrder(unlinked), 'none', 'the boot loader returns to the slot before');
  });

  it('is possible for a boot loader that says nothing, at rest alone', () => {
    const silent = { ...LOST, view: NOTHING };
    assert.equal(strayOrder(silent), 'possible');
    assert.equal(strayOrder({ ...silent, phase: 'waiting' }), 'none');
    assert.equal(strayOrder({ ...silent, inRunning: null }), 'none');
    const primary = { ...LOST, view: { ...NOTHING, next: B } };
    assert.equal(strayOrder(primary), 'given', 'as RAUC says it');
  });
});
