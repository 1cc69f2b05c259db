/** A real tree of Python with its byte code, run on the robot and updated by delta afterwards. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

const NOISE = randomBytes(200_000);
const RUN = 'cd "$DROVER_ACTIVE_DIR" && python3 -c "import mod, other"';

test('a release stays a delta base after Python ran in it, and after its byte code was written again', async (t) => {
  if (!requirePeer(t, 'python3')) return;
  const { url } = await startBrokerChild(t);
  const site = await Site.open(t);
  const python = (...args: string[]): void => void execFileSync('python3', args);
  const release = async (version: string, ...from: string[]): Promise<void> => {
    const app = site.path('trees', version);
    const [last] = from;
    if (last) cpSync(site.path('trees', last), app, { recursive: true, preserveTimestamps: true });
    else {
      execFileSync('mkdir', ['-p', app]);
      writeFileSync(join(app, 'noise'), NOISE);
      writeFileSync(join(app, 'mod.py'), 'X = 1\n');
      writeFileSync(join(app, 'other.py'), 'Y = 1\n');
    }
    writeFileSync(join(app, 'VERSION'), version);
    python('-m', 'compileall', '-q', app);
    const bundle = site.path('bundles', version);
    const deltas = from.flatMap((one) => ['--delta-from', site.path('bundles', one)]);
    const labels = ['--version', version, '--arch', 'any', ...deltas, '--out', bundle];
    await site.drover('build', app, ...labels);
    await site.drover('sign', bundle, '--key', site.path('release.key'));
    await site.publish(url, bundle, '--chunk-size', '16k');
  };
  const robot = site.robot('r1', url);
  await robot.hook('start', RUN);
  await release('1.0.0');
  await robot.runs('1.0.0');
  const cache = (root: string): string[] => readdirSync(join(root, '__pycache__')).sort();
  const bytesOf = (root: string): Buffer[] =>
    cache(root).map((name) => readFileSync(join(root, '__pycache__', name)));
  const active = join(robot.root, 'active');
  assert.deepEqual(bytesOf(active), bytesOf(site.path('trees', '1.0.0')), 'Python found it valid');

  await release('1.1.0', '1.0.0');
  const first = await robot.runs('1.1.0');
  assert.equal(first.last_update?.delta_from, '1.0.0');

  // Another Python, a touched source, a cache that was removed: byte code is written again.
  python('-m', 'compileall', '-q', '-f', '--invalidation-mode', 'checked-hash', `${active}/mod.py`);
  rmSync(join(active, '__pycache__', cache(active).find((name) => name.startsWith('other')) ?? ''));
  assert.notDeepEqual(bytesOf(active), bytesOf(site.path('trees', '1.1.0')));
  await release('1.2.0', '1.1.0');
  const second = await robot.runs('1.2.0');
  assert.equal(second.last_update?.delta_from, '1.1.0');
  assert.equal(second.last_update?.delta_failed, null);
  await robot.until('has cleaned up', () => !existsSync(join(robot.root, 'kept', '1.0.0')));
  assert.deepEqual(readdirSync(join(robot.root, 'kept')).sort(), ['1.1.0', '1.2.0']);
});
