/** The validity of a trust.json: its shortest length, and the warnings before its end. */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  keptKeyLine,
  keptKeys,
  trustEndLines,
  trustLifeMs,
} from '../../../publisher/trust/plan-trust.ts';
import { publicKeyOf } from '../../../shared/crypto/ed25519.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const DAY = 86_400_000;

test('a trust.json lives a day at least, so that there is time to rotate it', () => {
  assert.equal(trustLifeMs('365d'), 365 * DAY);
  assert.equal(trustLifeMs('1d'), DAY);
  for (const short of ['0', '0d', '1s', '23h']) {
    assertRefused('USAGE', () => trustLifeMs(short), /too short, robots would take nothing before/);
  }
});

test('a rotation names a key that leaves one role and keeps another', () => {
  const { trust } = makeFleet();
  const of = (...seeds: number[]) => ({
    keys: seeds.map((seed) => publicKeyOf(fixedSeed(seed))),
    threshold: 1,
  });
  const current = { ...trust, roles: { root: of(1), release: of(1, 2), rollout: of(3) } };
  const releaseOnly = { ...trust, roles: { root: of(1), release: of(2, 4), rollout: of(3) } };
  const kept = keptKeys(current, releaseOnly);
  const key = publicKeyOf(fixedSeed(1));
  assert.deepEqual(kept, [{ key, left: ['release'], has: ['root'] }]);
  assert.match(
    kept.map(keptKeyLine).join(),
    /no longer release, and is still root and can replace every key.*\(--root\)$/,
  );
  const everywhere = { ...trust, roles: { root: of(4), release: of(2, 4), rollout: of(3) } };
  assert.deepEqual(keptKeys(current, everywhere), []);
  assert.deepEqual(keptKeys(current, current), []);
});

const cli = async (t: TestContext, cwd: string, line: string) => {
  const child = startDrover(t, 'publisher', line.split(' '), {
    cwd,
    env: { DROVER_KEY: undefined },
  });
  await child.exit;
  return child;
};

test('rotate and sign refuse a key that is no root key, before a file is written', async (t) => {
  const cwd = await tempFolder(t);
  const ok = async (line: string): Promise<string> => {
    const child = await cli(t, cwd, line);
    assert.equal(child.ended?.code, 0, child.describe());
    return child.stdout;
  };
  for (const name of ['root', 'root-2', 'release', 'rollout', 'stranger'])
    await ok(`keygen --out ${name}`);
  await ok('trust init --root root.pub --release release.pub --rollout rollout.pub --out t1.json');
  const rotate = 'trust rotate --trust t1.json --root root-2.pub --out t2.json';
  const sign = 'trust sign t2.json.update --trust t1.json';
  const refused = async (line: string, role: string): Promise<void> => {
    const child = await cli(t, cwd, line);
    assert.equal(child.ended?.code, 3, child.describe());
    assert.match(
      child.stderr,
      new RegExp(`the root role \\(got ${role}\\) \\(ENVELOPE_KEY_UNKNOWN`),
    );
    assert.match(child.stderr, /hint: sign with a root key/);
  };
  await refused(`${rotate} --key rollout.key`, 'rollout');
  await refused(`${rotate} --key root.key --key stranger.key`, 'no role');
  assert.ok(!(await readdir(cwd)).some((name) => name.startsWith('t2')), 'nothing is written');
  await ok(`${rotate} --key root-2.key`); // a key of its own may be the first
  const before = await readFile(join(cwd, 't2.json.update'));
  await refused(`${sign} --key release.key`, 'release');
  assert.deepEqual(await readFile(join(cwd, 't2.json.update')), before);
  assert.match(await ok(`${sign} --key root.key`), /next: drover trust publish/);
});

test('its end is shown in days, and on the last day in hours', () => {
  const { trust } = makeFleet();
  const lines = (leftMs: number): string[] => trustEndLines(trust, trust.expires - leftMs);
  assert.match(lines(20 * DAY)[0] ?? '', /^trust\.json version \d+ expires in 20 days, at /);
  assert.match(lines(DAY / 2)[0] ?? '', /expires in 12 hours/);
  assert.doesNotMatch(lines(DAY)[0] ?? '', /warning/, 'who prints it says that');
  assert.deepEqual(lines(0), []);
  assert.deepEqual(lines(100 * DAY), []);
});
