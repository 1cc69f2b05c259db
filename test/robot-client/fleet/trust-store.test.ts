import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { TrustFile } from '../../../robot-client/fleet/trust-store.ts';
import { LiveTrust } from '../../../shared/formats/trust-chain.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { rootOf, updateTo, type RootInput } from '../../helpers/trust-roots.ts';

const seeds = { root: [fixedSeed(1)], release: [fixedSeed(2)], rollout: [fixedSeed(3)] };
const root = (version: number, more: Partial<RootInput> = {}): RootInput => ({
  ...{ version, seeds },
  ...more,
});
const signers = seeds.root;

async function boot(path: string, image: RootInput) {
  const trust = new LiveTrust(rootOf(image));
  const file = new TrustFile(realDisk, path, trust);
  return { trust, file, problem: await file.load() };
}

describe('the trust root that a robot keeps', () => {
  it('is in force after a restart, also when only an old image is there [P-4.8]', async (t) => {
    const path = `${await tempFolder(t)}/trust.json`;
    const { trust, file } = await boot(path, root(1));
    assert.equal(await file.take(2, updateTo(root(2), signers)), true);
    assert.equal(await file.take(3, updateTo(root(3), signers)), true);
    assert.equal(trust.version, 3);
    const later = await boot(path, root(1));
    assert.deepEqual([later.trust.version, later.problem], [3, null]);
  });

  it('gives way to an image that is newer, or of another fleet [P-4.8]', async (t) => {
    const path = `${await tempFolder(t)}/trust.json`;
    const { file } = await boot(path, root(1));
    await file.take(2, updateTo(root(2), signers));
    assert.equal((await boot(path, root(5))).trust.version, 5);
    const other = await boot(path, root(1, { fleet: 'other' }));
    assert.deepEqual([other.trust.fleet, other.trust.version], ['other', 1]);
  });

  it('is not there any more when its file is damaged: the image counts, and it is reported', async (t) => {
    const path = `${await tempFolder(t)}/trust.json`;
    await writeFile(path, '{"version":');
    const { trust, problem, file } = await boot(path, root(1));
    assert.equal(trust.version, 1);
    assert.equal(problem?.code, 'STATE_CORRUPT');
    assert.equal(await file.take(2, updateTo(root(2), signers)), true, 'and it walks again');
  });

  it('is not believed before it is on the disk', async (t) => {
    const trust = new LiveTrust(rootOf(root(1)));
    const file = new TrustFile(realDisk, `${await tempFolder(t)}/absent/trust.json`, trust);
    await assert.rejects(file.take(2, updateTo(root(2), signers)), { code: 'DISK_WRITE_FAILED' });
    assert.equal(trust.version, 1);
  });

  it('is left alone by copies, by an emptied topic, and by what does not verify', async (t) => {
    const { trust, file } = await boot(`${await tempFolder(t)}/trust.json`, root(1));
    const update = updateTo(root(2), signers);
    await file.take(2, update);
    assert.equal(await file.take(2, update), false);
    assert.equal(await file.take(3, new Uint8Array()), false);
    const forged = updateTo(root(3), [fixedSeed(9)]);
    await assert.rejects(file.take(3, forged), { code: 'ENVELOPE_KEY_UNKNOWN' });
    assert.equal(trust.version, 2);
  });
});
