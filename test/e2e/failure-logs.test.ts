/**
 * Failure logs with real programs: the output of a hook reaches the operator, and no secret does.
 */

import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startBrokerChild } from './broker-child.ts';
import { Site, type ComponentStatus } from './site.ts';

const wentBack = (s: ComponentStatus): boolean =>
  s.phase === 'idle' && s.last_update?.outcome === 'rolled_back';

/** Says that the camera is gone, colours it, and prints what nobody should see. */
const BAD_HEALTH = [
  'grep -q 1.0.0 "$DROVER_ACTIVE_DIR/VERSION" && exit 0',
  'printf "\\033[31mcamera 7 does not answer\\033[0m\\n"',
  'echo "DB_PASSWORD=hunter2-hunter2"',
  'echo "reach mqtt://admin:hunter2-hunter2@10.0.0.1 failed" >&2',
  'exit 70',
].join('\n');

describe('the log of a failed update', () => {
  it('is kept before the robot goes back, asked for over both ways, and has no secret', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    await makeJournal(site.path('bin'));
    const env = { PATH: `${site.path('bin')}:${process.env['PATH'] ?? ''}` };
    const robot = site.robot('r1', broker.url, ['--log-unit', 'robot-app.service'], env);
    await robot.hook('health', BAD_HEALTH);
    await site.publish(broker.url, await site.bundle('1.0.0'), '--id', 'one');
    await robot.runs('1.0.0');
    const api = ['--api', broker.httpUrl];
    const none = await site.tryDrover({}, 'fleet', 'logs', 'r1', ...api);
    assert.match(none.describe(), /FAILURE_LOG_NONE/);
    await site.publish(broker.url, await site.bundle('1.1.0'), '--id', 'two');
    await robot.until('went back', wentBack, 60_000);

    const folder = join(robot.root, 'state/logs');
    const names = (await readdir(folder)).filter((name) => name.endsWith('.gz'));
    assert.deepEqual(names, ['0001-two.gz']);
    const kept = gunzipSync(await readFile(join(folder, '0001-two.gz'))).toString('utf8');
    for (const text of [
      await site.drover('fleet', 'logs', 'r1', ...api),
      await site.drover('fleet', 'logs', 'r1', '--broker', broker.url, '--component', 'app'),
      kept,
    ]) {
      assert.match(text, /camera 7 does not answer/);
      assert.match(text, /== journal of robot-app\.service ==\n.*segfault in gripper/);
      assert.match(text, /"from":"probation","to":"rolling_back"|HEALTH_FAILED/);
      assert.doesNotMatch(text, /hunter2/);
      assert.match(text, /DB_PASSWORD=\[redacted\]/);
      assert.ok(!text.includes('\u001b'), 'no escape reaches a terminal');
    }
    for (const text of [
      await site.drover('fleet', 'robots', '--json', ...api),
      await site.drover('rollout', 'robots', 'two', '--all', '--json', ...api),
      await (await fetch(`${broker.httpUrl}/robots/r1`)).text(),
      await readFile(join(robot.root, 'state/machine.json'), 'utf8'),
    ]) {
      assert.match(text, /camera 7 does not answer \/ /);
      assert.match(text, /DB_PASSWORD=\[redacted\]/);
      assert.doesNotMatch(text, /hunter2/);
    }
    const out = site.path('why.txt');
    await site.drover('fleet', 'logs', 'r1', ...api, '--out', out);
    assert.match(await readFile(out, 'utf8'), /^app 1\.1\.0 failed /);
  });
});

/** A journal for a machine that has none: what the agent reads is the output of this program. */
async function makeJournal(folder: string): Promise<void> {
  const path = join(folder, 'journalctl');
  await mkdir(folder, { recursive: true });
  await writeFile(
    path,
    '#!/bin/sh\n[ "$1 $2" = "--unit robot-app.service" ] && echo "segfault in gripper"\n',
  );
  await chmod(path, 0o755);
}
