import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { Inbox } from '../../../robot-client/fleet/inbox.ts';
import { NO_FLOOR, seqOf } from '../../../shared/rules/freshness.ts';
import { mergeSeen, type Seen } from '../../../robot-client/fleet/seen-file.ts';
import { StateCopies } from '../../../robot-client/fleet/state-copies.ts';
import { TrustFile } from '../../../robot-client/fleet/trust-store.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import type { Claims } from '../../../robot-client/install/root-claims.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { LiveTrust } from '../../../shared/formats/trust-chain.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { faultyDisk, isChange } from '../faulty-disk.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { updateTo, rootOf } from '../../helpers/trust-roots.ts';

const fleet = makeFleet();
const NOW = Date.now();

/** The memory of an agent with these roots, in their order. */
async function boot(
  roots: readonly string[],
  { disk = realDisk, claims, ...more }: { fleet?: string; disk?: Disk; claims?: Claims } = {},
) {
  for (const root of roots) {
    if (claims?.has(root) !== false) await mkdir(`${root}/state`, { recursive: true });
  }
  const first = `${roots[0]}/state`;
  const image = { version: 1, seeds: SEEDS, ...more };
  const trust = new LiveTrust(rootOf(image));
  const log = makeLog('copies', 'silent');
  const copies = new StateCopies({ disk, claims, roots: roots.map((root) => ({ root })), log });
  const file = new TrustFile(disk, `${first}/trust.json`, trust, copies);
  await file.load();
  const inbox = new Inbox(disk, `${first}/seen.json`, trust, copies);
  const problem = await inbox.load();
  return { trust, file, inbox, problem };
}

const SEEDS = {
  root: [fleet.seeds.release],
  release: [fleet.seeds.release],
  rollout: [fleet.seeds.rollout],
};
const next = (version: number) => updateTo({ version, seeds: SEEDS }, SEEDS.root);
const announce = (seq: number) => fleet.announce(seq, []);

async function twoRoots(t: TestContext): Promise<[string, string]> {
  const folder = await tempFolder(t);
  return [`${folder}/app`, `${folder}/nav`];
}

describe('floors and trust of a robot with two roots', () => {
  it('hold when the first root is lost, or named second', async (t) => {
    const [app, nav] = await twoRoots(t);
    const one = await boot([app, nav]);
    await one.file.take(2, next(2));
    await one.inbox.acceptAnnouncement(announce(7), NOW);
    await rm(app, { recursive: true });
    for (const roots of [
      [app, nav],
      [nav, app],
    ]) {
      const { trust, inbox, problem } = await boot(roots);
      assert.deepEqual([trust.version, problem], [2, null]);
      await assert.rejects(inbox.acceptAnnouncement(announce(6), NOW), {
        code: 'ANNOUNCEMENT_REPLAYED',
      });
    }
  });

  it('do not take the floors of another fleet, whose disk is the second root', async (t) => {
    const [app, nav] = await twoRoots(t);
    await mkdir(`${nav}/state`, { recursive: true });
    for (const fleetOf of ['other', undefined]) {
      const foreign = { announcement: 1e9, progress: {}, completeSince: {}, fleet: fleetOf };
      await writeFile(`${nav}/state/seen.json`, JSON.stringify(foreign));
      const { inbox } = await boot([app, nav]);
      assert.equal((await inbox.acceptAnnouncement(announce(8), NOW)).seq, 8);
      await rm(app, { recursive: true });
    }
  });
});

/** Refuses every change below a folder while `isOn`, or every read as well. */
function sickDisk(root: string) {
  const sick = { isOn: true, isDead: false };
  const disk = faultyDisk(({ name, path }) => {
    if (!sick.isOn || !path.startsWith(`${root}/`)) return;
    if (sick.isDead) throw new DroverError('DISK_WRITE_FAILED', `${name} ${path}: EIO`);
    const isRefused = isChange({ name, path });
    if (isRefused) throw new DroverError('DISK_READ_ONLY', `${name} ${path}: read-only`);
  });
  return { sick, disk };
}

describe('a robot whose first root refuses', () => {
  it('accepts what another root keeps, never goes below it, and brings the first up to date', async (t) => {
    const [app, nav] = await twoRoots(t);
    await (await boot([app, nav])).inbox.acceptAnnouncement(announce(7), NOW);
    const { sick, disk } = sickDisk(app);
    const { inbox, file, trust } = await boot([app, nav], { disk });
    assert.equal((await inbox.acceptAnnouncement(announce(8), NOW)).seq, 8);
    assert.equal(await file.take(2, next(2)), true);
    const floor = async (root: string) => await readFile(`${root}/state/seen.json`, 'utf8');
    assert.match(await floor(nav), /"announcement":8/);
    assert.match(await floor(app), /"announcement":7/);
    const later = await boot([app, nav], { disk });
    assert.deepEqual([later.trust.version, later.problem], [2, null]);
    const replayed = { code: 'ANNOUNCEMENT_REPLAYED' };
    await assert.rejects(later.inbox.acceptAnnouncement(announce(7), NOW), replayed);
    sick.isOn = false;
    await inbox.settle();
    await file.settle();
    assert.match(await floor(app), /"announcement":8/);
    assert.equal((await boot([app])).trust.version, trust.version);
  });

  it('accepts nothing when no root keeps its floor', async (t) => {
    const [app, nav] = await twoRoots(t);
    const { inbox, file, trust } = await boot([app, nav], { disk: sickDisk(join(app, '..')).disk });
    await assert.rejects(inbox.acceptAnnouncement(announce(8), NOW), { code: 'DISK_READ_ONLY' });
    await assert.rejects(file.take(2, next(2)), { code: 'DISK_READ_ONLY' });
    assert.deepEqual([inbox.announcement, trust.version], [null, 1]);
  });

  it('judges nothing while no root that can be read has floors of this fleet', async (t) => {
    const [app, nav] = await twoRoots(t);
    await (await boot([app])).inbox.acceptAnnouncement(announce(7), NOW);
    const { sick, disk } = sickDisk(app);
    sick.isDead = true;
    await assert.rejects(boot([app, nav], { disk }), { code: 'DISK_WRITE_FAILED' });
    await boot([app, nav]); // the second root has them from now on
    const { inbox } = await boot([app, nav], { disk });
    const replayed = { code: 'ANNOUNCEMENT_REPLAYED' };
    await assert.rejects(inbox.acceptAnnouncement(announce(6), NOW), replayed);
  });

  it('takes over the floors of a first root that comes later', async (t) => {
    const [app, nav] = await twoRoots(t);
    const one = await boot([app]);
    await one.file.take(2, next(2));
    await one.inbox.acceptAnnouncement(announce(9), NOW);
    await rename(app, `${app}-unmounted`);
    const owned = new Set([nav]);
    const claims: Claims = {
      has: (root) => owned.has(root),
      take: async (root) => {
        if (!owned.has(root)) throw new DroverError('DISK_READ_ONLY', `make ${root}: read-only`);
      },
    };
    const { inbox, file, trust } = await boot([app, nav], { claims });
    assert.equal((await inbox.acceptAnnouncement(announce(3), NOW)).seq, 3);
    await rename(`${app}-unmounted`, app);
    owned.add(app);
    await file.load();
    assert.deepEqual([await inbox.load(), trust.version], [null, 2]);
    const replayed = { code: 'ANNOUNCEMENT_REPLAYED' };
    await assert.rejects(inbox.acceptAnnouncement(announce(8), NOW), replayed);
    assert.match(await readFile(`${nav}/state/seen.json`, 'utf8'), /"announcement":9/);
  });
});

describe('a robot whose trust.json is lost', () => {
  it('takes nothing under the keys of its image, and goes on when the updates come', async (t) => {
    const [app] = await twoRoots(t);
    const one = await boot([app]);
    await one.file.take(2, next(2));
    await one.file.take(3, next(3));
    await one.inbox.acceptAnnouncement(announce(7), NOW);
    await rm(`${app}/state/trust.json`);
    const { file, inbox, problem, trust } = await boot([app]);
    assert.deepEqual([trust.version, problem?.code], [1, 'TRUST_LOST']);
    const refused = { code: 'TRUST_LOST' };
    await assert.rejects(inbox.acceptAnnouncement(announce(9), NOW), refused);
    await file.take(2, next(2));
    await assert.rejects(inbox.acceptAnnouncement(announce(9), NOW), refused);
    await file.take(3, next(3));
    assert.equal((await inbox.acceptAnnouncement(announce(9), NOW)).seq, 9);
  });

  it('is no robot that was given an image of another fleet', async (t) => {
    const [app] = await twoRoots(t);
    const one = await boot([app]);
    await one.file.take(2, next(2));
    await one.inbox.acceptAnnouncement(announce(7), NOW);
    await rm(`${app}/state/trust.json`);
    assert.equal((await boot([app], { fleet: 'other' })).problem, null);
    assert.match(await readFile(`${app}/state/seen.json`, 'utf8'), /"announcement":7/);
  });
});

describe('floors of two roots', () => {
  const keys = ['1', '2'].map((digit) => digit.repeat(64));
  const marks = fc.dictionary(
    fc.constantFrom(...keys),
    fc.record({ seq: fc.nat(20), sha256: fc.constant(null) }, { noNullPrototype: true }),
    { noNullPrototype: true },
  );
  const floor = fc.record({ said: marks, ahead: marks }, { noNullPrototype: true });
  const seen = fc.record({
    announcement: floor,
    progress: fc.dictionary(fc.constantFrom('a', 'b', 'c'), floor, { noNullPrototype: true }),
    completeSince: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.nat(20), {
      noNullPrototype: true,
    }),
    fleet: fc.constant('f'),
    trust: fc.option(fc.record({ fleet: fc.constant('f'), version: fc.nat(5) }), {
      nil: undefined,
    }),
  }) as fc.Arbitrary<Seen>;

  it('are never lowered by merging, in any order', () => {
    fc.assert(
      fc.property(seen, seen, (a, b) => {
        const [ab, ba] = [mergeSeen(a, b, 'f'), mergeSeen(b, a, 'f')];
        for (const from of [a, b]) {
          for (const key of keys) {
            const [is, was] = [ab, from].map((one) => seqOf(one.announcement, [key]));
            assert.ok((is ?? 0) >= (was ?? 0));
          }
          assert.ok((ab.trust?.version ?? 0) >= (from.trust?.version ?? 0));
          for (const [id, one] of Object.entries(from.progress)) {
            assert.ok(seqOf(ab.progress[id] ?? NO_FLOOR, keys) >= seqOf(one, keys));
          }
        }
        assert.deepEqual(
          [ab.announcement, ab.progress, ab.completeSince, ab.trust?.version ?? 0],
          [ba.announcement, ba.progress, ba.completeSince, ba.trust?.version ?? 0],
        );
      }),
    );
  });
});
