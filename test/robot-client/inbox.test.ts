import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Inbox } from '../../robot-client/inbox.ts';
import { realDisk } from '../../robot-client/io/disk.ts';
import { LIMITS } from '../../shared/limits.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const fleet = makeFleet();
const NOW = Date.parse('2026-06-01T00:00:00Z');
const KEPT = LIMITS.rolloutsMax * 2;

describe('what a robot remembers of rollouts', () => {
  it('is bounded, however many were announced in its life, and keeps the newest', async (t) => {
    const inbox = new Inbox(realDisk, `${await tempFolder(t)}/seen.json`, fleet.trust);
    const bundle = await fleet.makeBundle({ version: '1.1.0' });
    const hear = (rollout: string, seq = 1): Promise<void> =>
      inbox.acceptProgress(fleet.progress({ rollout, seq }), NOW);
    const lasting = fleet.makeRollout('lasting', bundle);
    const rounds = KEPT + 20;
    for (let round = 1; round <= rounds; round += 1) {
      const rollouts = [lasting, fleet.makeRollout(`r-${round}`, bundle)];
      await inbox.acceptAnnouncement(fleet.announce(round, rollouts), NOW);
      if (round === 1) await hear('lasting');
      await hear(`r-${round}`);
      await hear('r-1', round); // announced no more, and still heard of
      assert.ok(inbox.progress.size <= KEPT, `${inbox.progress.size} in round ${round}`);
    }
    const kept = [...inbox.progress.keys()];
    assert.equal(kept.length, KEPT);
    assert.ok(kept.includes('lasting'), 'the longest unheard, but announced');
    const newest = Array.from({ length: KEPT - 2 }, (_, at) => `r-${rounds - at}`);
    assert.deepEqual(new Set(kept), new Set(['lasting', 'r-1', ...newest]));
  });
});
