/** The bundle of each program: its contents, and that it comes from the last build. */

import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BUNDLE_LISTS, BUNDLED, type BundledPackages } from '../../packaging/bundled.ts';
import { namesOf } from '../../packaging/closure.ts';
import { repositoryFile } from '../helpers/repository.ts';

const dist = fileURLToPath(new URL('../..', import.meta.url));

const lists = async (): Promise<Record<keyof typeof BUNDLED, BundledPackages>> =>
  JSON.parse(await readFile(join(dist, BUNDLE_LISTS), 'utf8')) as never;

test('the libraries for MQTT write with the copy of mqtt-packet whose numbers are not kept', async () => {
  const packages = ['mqtt', 'aedes'].map((name) => import.meta.resolve(name));
  const copies = packages.map((from) => createRequire(from).resolve('mqtt-packet'));
  assert.deepEqual(new Set(copies), new Set([fileURLToPath(import.meta.resolve('mqtt-packet'))]));
  const robot = (await lists())['robot-client'].inside;
  assert.deepEqual(
    robot.filter((folder) => folder.endsWith('/mqtt-packet')),
    ['node_modules/mqtt-packet'],
  );
});

test('only the broker needs machine code beside its bundle', async () => {
  const made = await lists();
  const beside = Object.keys(BUNDLED).map((folder) => made[folder as keyof typeof BUNDLED].beside);
  assert.deepEqual(beside, [[], ['classic-level'], []]);
});

test('each package in a bundle has a name, a version and a licence that may be passed on', async () => {
  const top = dirname(repositoryFile('package.json'));
  for (const { inside } of Object.values(await lists())) {
    assert.ok(inside.length > 30);
    for (const name of namesOf(inside, top)) {
      assert.match(
        name,
        /^\S+ \d\S* \((MIT|ISC|BSD-[23]-Clause|0BSD|Apache-2\.0|BlueOak-1\.0\.0)\)$/,
      );
    }
  }
});

test('a bundle can be started as a program', async () => {
  for (const name of Object.values(BUNDLED)) {
    const path = join(dist, `${name}.js`);
    assert.match(await readFile(path, 'utf8'), /^#!\/usr\/bin\/env node\n/);
    assert.equal((await stat(path)).mode & 0o111, 0o111);
  }
});
