import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Inbox } from '../../../robot-client/fleet/inbox.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { faultyDisk } from '../faulty-disk.ts';

const fleet = makeFleet();
const NOW = Date.parse('2026-06-01T00:00:00Z');
const KEPT = LIMITS.rolloutsMax * 2;

describe('the memory of a robot about rollouts', () => {
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
      await hear('r-1', round); // announced no more, but its progress still arrives
      assert.ok(inbox.progress.size <= KEPT, `${inbox.progress.size} in round ${round}`);
    }
    const kept = [...inbox.progress.keys()];
    assert.equal(kept.length, KEPT);
    assert.ok(kept.includes('lasting'), 'the longest unheard, but announced');
    const newest = Array.from({ length: KEPT - 2 }, (_, at) => `r-${rounds - at}`);
    assert.deepEqual(new Set(kept), new Set(['lasting', 'r-1', ...newest]));
  });

  it('is on the disk whichever comes first, the announcement or its progress', async (t) => {
    const path = `${await tempFolder(t)}/seen.json`;
    const load = async (): Promise<Inbox> => {
      const inbox = new Inbox(realDisk, path, fleet.trust);
      await inbox.load();
      return inbox;
    };
    const bundle = await fleet.makeBundle({ version: '1.1.0' });
    const announcement = fleet.announce(1, [fleet.makeRollout('r-1', bundle)]);
    const complete = fleet.progress({ rollout: 'r-1', seq: 7, status: 'complete', threshold: 1 });
    const first = await load();
    await first.acceptProgress(complete, NOW);
    await first.acceptAnnouncement(announcement, NOW + 1);
    // A late robot waits from the time at which it learned that the rollout was complete. A restart
    // neither puts that off nor lets an older message about the rollout in.
    const second = await load();
    assert.deepEqual([...second.completeSince], [['r-1', NOW + 1]]);
    await second.acceptProgress(complete, NOW + 5_000);
    await second.acceptAnnouncement(announcement, NOW + 5_000);
    assert.deepEqual([...second.completeSince], [['r-1', NOW + 1]]);
    const older = fleet.progress({ rollout: 'r-1', seq: 6 });
    await assert.rejects((await load()).acceptProgress(older, NOW), {
      code: 'ANNOUNCEMENT_REPLAYED',
    });
  });

  it('counts from now where a clock that was ahead wrote a later instant', async (t) => {
    const inbox = new Inbox(realDisk, `${await tempFolder(t)}/seen.json`, fleet.trust);
    await inbox.load();
    const bundle = await fleet.makeBundle({ version: '1.1.0' });
    const announcement = fleet.announce(1, [fleet.makeRollout('r-1', bundle)]);
    const complete = fleet.progress({ rollout: 'r-1', seq: 7, status: 'complete', threshold: 1 });
    const AHEAD_MS = 20 * 3_600_000;
    await inbox.acceptAnnouncement(announcement, NOW + AHEAD_MS);
    await inbox.acceptProgress(complete, NOW + AHEAD_MS);
    assert.deepEqual([...inbox.completeSince], [['r-1', NOW + AHEAD_MS]]);
    await inbox.acceptProgress(complete, NOW);
    assert.deepEqual([...inbox.completeSince], [['r-1', NOW]]);
  });

  it('counts from its date where the clock still begins in 1970', async (t) => {
    const inbox = new Inbox(realDisk, `${await tempFolder(t)}/seen.json`, fleet.trust);
    await inbox.load();
    const bundle = await fleet.makeBundle({ version: '1.1.0' });
    await inbox.acceptAnnouncement(fleet.announce(1, [fleet.makeRollout('r-1', bundle)]), 0);
    const complete = fleet.progress({ rollout: 'r-1', seq: 7, status: 'complete', threshold: 1 });
    await inbox.acceptProgress(complete, 0);
    const at = inbox.completeSince.get('r-1') ?? 0;
    assert.ok(at > Date.parse('2025-01-01'), `${at}`);
  });

  it('is acted on only once the disk has it, or has failed to take it', async (t) => {
    const gates: ((isFull: boolean) => void)[] = [];
    const disk = faultyDisk(async ({ name, path }) => {
      if (name !== 'write') return;
      const isFull = await new Promise<boolean>((resolve) => gates.push(resolve));
      if (isFull) throw new DroverError('DISK_FULL', `write ${path}: full`);
    });
    const inbox = new Inbox(disk, `${await tempFolder(t)}/seen.json`, fleet.trust);
    const bundle = await fleet.makeBundle({ version: '1.1.0' });
    const write = async (isFull: boolean): Promise<void> => {
      await waitUntil('the write', () => gates.length > 0);
      gates.shift()?.(isFull);
    };
    const announced = fleet.announce(1, [fleet.makeRollout('r-1', bundle)]);
    const accepted = inbox.acceptAnnouncement(announced, NOW);
    await write(false);
    await accepted;
    // A power cut here must not leave a robot that has begun to wait, and begins again afterwards.
    const complete = fleet.progress({ rollout: 'r-1', seq: 1, status: 'complete', threshold: 1 });
    const heard = inbox.acceptProgress(complete, NOW);
    await waitUntil('the write', () => gates.length > 0);
    assert.equal(inbox.progress.get('r-1'), undefined);
    await write(false);
    await heard;
    assert.equal(inbox.progress.get('r-1')?.status, 'complete');
    const halt = fleet.progress({ rollout: 'r-1', seq: 2, status: 'halted', threshold: 1 });
    const stopped = inbox.acceptProgress(halt, NOW);
    await write(true);
    await assert.rejects(stopped, { code: 'DISK_FULL' });
    assert.equal(inbox.progress.get('r-1')?.status, 'halted', 'a stop holds without a floor');
  });
});
