/**
 * A robot whose clock is wrong by years: it says so instead of crashing, never waits for a time
 * that was never meant, and goes on by itself when the clock is put right.
 */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { retryWaitMs } from '../../../robot-client/update/retry.ts';
import { Inbox } from '../../../robot-client/fleet/inbox.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { RefusedRetry } from '../../../robot-client/fleet/retry-refused.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';
import { faultyDisk } from '../faulty-disk.ts';

const YEAR_MS = 365 * 24 * 3_600_000;
const SHA = sha256Hex(new Uint8Array());
const OTHER = sha256Hex(new Uint8Array(1));

describe('the wait after a failure', () => {
  it('is what is left of it, never longer than any we set, whatever the clock says', () => {
    const instants = fc.integer({ min: 0, max: 200 * YEAR_MS });
    fc.assert(
      fc.property(instants, instants, (notBeforeMs, now) => {
        const waitMs = retryWaitMs({ payloadSha256: SHA, attempts: 1, notBeforeMs }, SHA, now);
        assert.ok(waitMs >= 0 && waitMs <= LIMITS.retryDelayMsMax);
        assert.ok(waitMs < 2 ** 31, 'setTimeout takes no more');
        if (waitMs > 0) assert.equal(now + waitMs, notBeforeMs);
      }),
    );
  });

  it('is kept to the millisecond when the clock is right, and is of that bundle only', () => {
    const retry = { payloadSha256: SHA, attempts: 1, notBeforeMs: 10_000 };
    assert.equal(retryWaitMs(retry, SHA, 4_000), 6_000);
    assert.equal(retryWaitMs(retry, SHA, 10_000), 0);
    assert.equal(retryWaitMs(retry, OTHER, 4_000), 0);
    assert.equal(retryWaitMs(null, SHA, 4_000), 0);
  });

  for (const [which, years] of [
    ['back', -40],
    ['ahead', 40],
  ] as const) {
    it(`is over when the clock is put ${which} by years after it was noted`, async (t) => {
      const bench = await Bench.open(t);
      bench.gate = ({ name, path }) => {
        if (name === 'write' && path.includes('/staging/')) {
          throw new DroverError('DISK_FULL', `write ${path}: no space left`);
        }
      };
      bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
      await waitUntil('the failure', () => bench.codes.includes('DISK_FULL'));
      await bench.heal();
      bench.clockOffMs = years * YEAR_MS;
      bench.offer();
      await bench.runs('1.1.0');
    });
  }
});

/** A wall clock that stands years elsewhere each time it is read. */
function leapingClock(): () => number {
  const years = [0, 40, -56, 3, -1, 90, -30];
  let reads = 0;
  return () => {
    reads += 1;
    return Date.now() + (years[reads % years.length] ?? 0) * YEAR_MS;
  };
}

describe('an update under a clock that leaps by years in each of its phases', () => {
  it('is installed and confirmed as under any other, after as many good answers', async (t) => {
    const bench = await Bench.open(t, { now: leapingClock() });
    await bench.hook('health', `echo good >>'${bench.root}/answers'`);
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await bench.runs('1.1.0');
    assert.deepEqual(
      [bench.codes, bench.component.view.state.lastUpdate?.outcome],
      [[], 'installed'],
    );
    const answers = (await readFile(join(bench.root, 'answers'), 'utf8')).trim().split('\n');
    assert.equal(answers.length, LIMITS.healthSuccessesMin);
  });

  it('goes back and is blocked when the version is bad, and not before its time-out', async (t) => {
    const bench = await Bench.open(t, { now: leapingClock() });
    await bench.hook('health', `echo bad >>'${bench.root}/answers'; exit 1`);
    const bad = await fleet.makeBundle({ version: '1.1.0' });
    bench.announce(bad, '1.1.0', { health_timeout_s: 2 });
    await waitUntil('the way back', () => bench.codes.includes('HEALTH_DEADLINE'));
    await bench.runs(OLD);
    assert.deepEqual(
      bench.component.view.state.blocked.map(({ version }) => version),
      ['1.1.0'],
    );
    const answers = (await readFile(join(bench.root, 'answers'), 'utf8')).trim().split('\n');
    assert.ok(answers.length >= LIMITS.healthSuccessesMin, `${answers.length} answers`);
  });
});

async function openInbox(t: TestContext): Promise<Inbox> {
  const inbox = new Inbox(realDisk, `${await tempFolder(t)}/seen.json`, fleet.trust);
  await inbox.load();
  return inbox;
}

describe('an announcement on a robot with a wrong clock', () => {
  const bytes = fleet.announce(5, [], { expires_at: '2030-01-01T00:00:00Z' });

  it('is refused by its name: the trust file or the announcement has expired', async (t) => {
    const inbox = await openInbox(t);
    const at = (year: number): number => Date.parse(`${year}-06-01T00:00:00Z`);
    await assert.rejects(inbox.acceptAnnouncement(bytes, at(2150)), { code: 'TRUST_EXPIRED' });
    await assert.rejects(inbox.acceptAnnouncement(bytes, at(2031)), {
      code: 'ANNOUNCEMENT_EXPIRED',
    });
    // Years in the past nothing has expired, and the floor of seq still keeps replays out.
    assert.equal((await inbox.acceptAnnouncement(bytes, at(1970))).seq, 5);
    const older = fleet.announce(4, []);
    await assert.rejects(inbox.acceptAnnouncement(older, at(1970)), {
      code: 'ANNOUNCEMENT_REPLAYED',
    });
  });

  it('is refused each time while its floor cannot be written, and taken when it can', async (t) => {
    let isFull = true;
    const disk = faultyDisk(({ name, path }) => {
      if (isFull && name === 'write') throw new DroverError('DISK_FULL', `write ${path}: full`);
    });
    const inbox = new Inbox(disk, `${await tempFolder(t)}/seen.json`, fleet.trust);
    await inbox.load();
    for (const time of [1, 2]) {
      const accepted = inbox.acceptAnnouncement(bytes, Date.now());
      await assert.rejects(accepted, { code: 'DISK_FULL' }, `time ${time}`);
      assert.equal(inbox.announcement, null);
    }
    isFull = false;
    assert.equal((await inbox.acceptAnnouncement(bytes, Date.now())).seq, 5);
  });
});

describe('a second look', () => {
  it('is taken once at the newest of each topic, after a wait', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const seen: string[] = [];
    const look = new RefusedRetry(async (topic, payload) => {
      seen.push(`${topic} ${payload[0]}`);
    });
    look.keep('a', Uint8Array.of(1));
    look.keep('a', Uint8Array.of(2));
    look.keep('b', Uint8Array.of(3));
    look.forget('b');
    t.mock.timers.tick(LIMITS.retrySoonMs - 1);
    assert.deepEqual(seen, []);
    t.mock.timers.tick(1);
    assert.deepEqual(seen, ['a 2']);
    t.mock.timers.tick(LIMITS.retrySoonMs * 3);
    assert.deepEqual(seen, ['a 2'], 'what was taken is not looked at again');
  });

  it('keeps a bounded number of documents, and none after it was closed', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let looks = 0;
    const look = new RefusedRetry(async () => {
      looks += 1;
    });
    const keepMany = (): void => {
      for (let n = 0; n < 1_000; n += 1) look.keep(`topic ${n}`, new Uint8Array());
    };
    keepMany();
    t.mock.timers.tick(LIMITS.retrySoonMs);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(looks, LIMITS.rolloutsMax + 1);
    keepMany();
    look.close();
    look.keep('late', new Uint8Array());
    t.mock.timers.tick(LIMITS.retrySoonMs);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(looks, LIMITS.rolloutsMax + 1);
  });
});
