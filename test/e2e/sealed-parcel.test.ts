/**
 * A parcel that is sealed for its site opens only with the key of that site, also with other tools
 * of age.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

interface Stage {
  readonly site: Site;
  /** Options of an import at the site. */
  readonly at: readonly string[];
  /** The code of the refusal. */
  refused(...args: string[]): Promise<string>;
}

async function openStage(t: TestContext): Promise<Stage> {
  const site = await Site.open(t);
  const trust = ['--trust', site.path('trust.json')];
  const broker = await startBrokerChild(t, { args: trust });
  const at = ['--broker', broker.url, ...trust, '--into', site.path('kept'), '--upload-only'];
  const refused = async (...args: string[]): Promise<string> => {
    const child = await site.tryDrover({}, ...args, '--json');
    assert.notEqual(child.ended?.code, 0, child.describe());
    return (JSON.parse(child.stdout) as { error: { code: string } }).error.code;
  };
  return { site, at, refused };
}

/** @returns its recipient */
async function makeAgeKey(site: Site, name: string): Promise<string> {
  await site.drover('keygen', '--age', '--out', site.path(name));
  return (await readFile(site.path(`${name}.agepub`), 'utf8')).trim();
}

const NOISE = new Uint8Array(2_500_000).map(
  (_, at) => Math.imul(at ^ (at >>> 7), 2_654_435_761) >>> 24,
);

async function exported(site: Site, name: string, ...more: string[]): Promise<string> {
  const bundle = site.path('bundles/1.0.0');
  if (!existsSync(bundle)) await site.bundle('1.0.0', { data: NOISE });
  const out = site.path(name);
  await site.drover('export', bundle, '--trust', site.path('trust.json'), '--out', out, ...more);
  return out;
}

describe('a sealed parcel', () => {
  it('opens for its site alone, and reveals nothing to a finder', async (t) => {
    const { site, at, refused } = await openStage(t);
    const [mine, others] = [await makeAgeKey(site, 'site'), await makeAgeKey(site, 'other')];
    assert.equal((await stat(site.path('site.agekey'))).mode & 0o777, 0o600);
    const file = await exported(site, 'stick', '--to', mine);
    const raw = await readFile(file);
    for (const word of ['drover-export', 'payload.tar.gz', 'signature.sig', 'ustar']) {
      assert.equal(raw.includes(word), false, word);
    }
    assert.equal(await refused('import', file, ...at), 'PARCEL_SEALED');
    const stranger = ['--identity', site.path('other.agekey')];
    assert.equal(await refused('import', file, ...at, ...stranger), 'PARCEL_NOT_FOR_US');
    const pub = ['--identity', site.path('site.agepub')];
    assert.equal(await refused('import', file, ...at, ...pub), 'AGE_IDENTITY_INVALID');
    const both = ['--identity', site.path('other.agekey'), '--identity', site.path('site.agekey')];
    assert.match(await site.drover('import', file, ...at, ...both), /imported app 1\.0\.0/);
    assert.equal(existsSync(site.path('kept/app-1.0.0/payload.tar.gz')), true);

    const two = await exported(site, 'two', '--to', mine, '--to', others);
    await site.drover('import', two, ...at, ...stranger);
    const names = await readdir(dirname(file));
    assert.deepEqual(
      names.filter((name) => name.startsWith('.drover-')),
      [],
      'nothing decrypted is left',
    );
  });

  it('in parts, cut short, changed or for a wrong word is refused or opened like any other', async (t) => {
    const { site, at, refused } = await openStage(t);
    const to = ['--to', await makeAgeKey(site, 'site')];
    const identity = ['--identity', site.path('site.agekey')];
    const whole = await exported(site, 'parts', ...to, '--split', '1m');
    assert.equal(existsSync(`${whole}.002`), true);
    await site.drover('import', `${whole}.001`, ...at, ...identity);
    const later = await site.tryDrover({}, 'import', `${whole}.002`, ...at, ...identity);
    assert.match(later.stderr, /not the first part[^]*hint: name the first part: .*parts\.001;/);

    const file = await exported(site, 'stick', ...to);
    const raw = await readFile(file);
    for (const [name, bytes] of [
      ['cut', raw.subarray(0, raw.byteLength - 70_000)],
      ['cut-at-a-piece', raw.subarray(0, 200 + 65_552 * 3)],
      ['header', raw.subarray(0, 60)],
      ['changed', Buffer.concat([raw.subarray(0, 90_000), Buffer.of(1), raw.subarray(90_001)])],
    ] as const) {
      await writeFile(site.path(name), bytes);
      const code = await refused('import', site.path(name), ...at, ...identity);
      assert.equal(code, name === 'changed' ? 'PARCEL_DAMAGED' : 'PARCEL_TRUNCATED', name);
    }
    const wrong = ['export', site.path('bundles/1.0.0'), '--trust', site.path('trust.json')];
    const out = ['--out', site.path('none')];
    assert.equal(await refused(...wrong, '--to', 'age1nonsense', ...out), 'USAGE');
    assert.equal(existsSync(site.path('none')), false);
    assert.equal(await refused('keygen', '--age', '--out', site.path('site')), 'FILE_EXISTS');
  });

  it('is what the program age makes and opens', async (t) => {
    const age = requirePeer(t, 'age');
    if (age === null) return;
    const { site, at } = await openStage(t);
    const to = await makeAgeKey(site, 'site');
    const sealed = await exported(site, 'sealed', '--to', to);
    const plain = await exported(site, 'plain');
    const opened = execFileSync(age, ['-d', '-i', site.path('site.agekey'), sealed], {
      maxBuffer: 20_000_000,
    });
    const listed = execFileSync('tar', ['-t'], { input: opened }).toString();
    assert.match(listed, /bundles\/0\/payload\.tar\.gz/);
    execFileSync(age, ['-r', to, '-o', site.path('by-age'), plain]);
    await chmod(site.path('site.agekey'), 0o644);
    const child = await site.tryDrover(
      {},
      ...['import', site.path('by-age'), ...at, '--identity', site.path('site.agekey')],
    );
    assert.equal(child.ended?.code, 0, child.describe());
    assert.match(child.stderr, /is open to others/);
  });
});
