/** A robot that may not be taken out of service now, as its integrator and its fleet see it. */

import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

const HOUR_MS = 3_600_000;

/** An application in a process of its own, which holds the robot ready until it is killed. */
async function holdIn(t: TestContext, root: string, holdS: number): Promise<ChildProcess> {
  const library = new URL('../../robot-client/local/library.js', import.meta.url);
  const script = `
    import { LocalAgent } from ${JSON.stringify(library.href)};
    await new LocalAgent({ root: ${JSON.stringify(root)} }).holdReady({ holdS: ${holdS} });
    process.send('held');
    process.on('message', () => {}); // keeps the process
  `;
  const file = join(await tempFolder(t), 'application.mjs');
  await writeFile(file, script);
  const application = fork(file);
  t.after(() => application.kill('SIGKILL'));
  await once(application, 'message');
  return application;
}

/** `HH:MM-HH:MM` in UTC: a window that opens so much from now and lasts two hours. */
function windowIn(offsetMs: number): string {
  const hhmm = (ms: number): string => new Date(ms).toISOString().slice(11, 16);
  const opens = Date.now() + offsetMs;
  return `${hhmm(opens)}-${hhmm(opens + 2 * HOUR_MS)}`;
}

interface Seen {
  readonly components: { waiting_for: string | null; wake_at: string | null; phase: string }[];
}

describe('a robot outside its maintenance window', () => {
  it('has the update ready, says why it waits and until when, and swaps in an emergency', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const window = ['--window', windowIn(HOUR_MS), '--window-zone', 'UTC'];
    const robot = site.robot('r1', broker.url, window);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.until('waits', (status) => status.waiting_for?.startsWith('the maint') === true);

    const explain = startDrover(t, 'robot-client', ['explain', '--root', robot.root]);
    await explain.exit;
    assert.match(explain.stdout, /1\.0\.0 .*is ready to be swapped in, the robot is not/);
    assert.match(explain.stdout, /waits for: the maintenance window \(\d\d:\d\d-\d\d:\d\d\)/);
    assert.match(explain.stdout, /wakes: \d{4}-.*in \d+ (?:s|minutes|hours?)\)/);

    const seen = await waitUntil('the fleet view to show it', async () => {
      const answer = await fetch(`${broker.httpUrl}/robots/r1`);
      const [component] = ((await answer.json()) as Seen).components;
      return component?.waiting_for ? component : null;
    });
    assert.equal(seen.phase, 'waiting');
    const inMs = Date.parse(seen.wake_at ?? '') - Date.now();
    assert.ok(inMs > HOUR_MS - 120_000 && inMs <= HOUR_MS, `opens in ${inMs} ms`);
    const table = await site.drover('fleet', 'robots', '--broker', broker.url);
    assert.match(table, /the maintenance window/);

    await site.publish(broker.url, await site.bundle('1.0.1'), '--emergency', '--yes');
    await robot.runs('1.0.1');
  });

  it('refuses a window that cannot be parsed, and gives an example', async (t) => {
    const site = await Site.open(t);
    const robot = site.robot('r1', 'mqtt://127.0.0.1:1', ['--window', 'at night']);
    const { code } = await robot.child.exit;
    assert.equal(code, 2);
    assert.match(robot.child.stderr, /read --window: .*want for example "mon-fri 22:00-05:00"/);
  });
});

describe('a robot that its application holds ready', () => {
  it('does not swap when the application that holds it is killed, and says why', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await robot.hook('stop', 'echo "stop $DROVER_VERSION" >> "$DROVER_ROOT/calls"; sleep 2');
    await robot.hook('start', 'echo "start $DROVER_VERSION" >> "$DROVER_ROOT/calls"');
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');

    const killed = await holdIn(t, robot.root, 1);
    await site.publish(broker.url, await site.bundle('1.1.0'));
    await robot.until('stops', ({ phase }) => phase === 'swapping');
    killed.kill('SIGKILL');
    const waits = await robot.until('waits again', ({ phase, waiting_for: why }) => {
      return phase === 'waiting' && why?.includes('lapsed') === true;
    });
    assert.equal(waits.version, '1.0.0');
    assert.equal(waits.last_error?.code, 'READY_LEASE_LOST');
    const calls = await readFile(join(robot.root, 'calls'), 'utf8');
    assert.match(calls, /stop 1\.0\.0\nstart 1\.0\.0\n$/);
    const explain = startDrover(t, 'robot-client', ['explain', '--root', robot.root]);
    await explain.exit;
    assert.match(explain.stdout, /waits for: .*the ready lease of the application lapsed/);
    assert.match(explain.stdout, /swap to 1\.1\.0: .* lapsed \(READY_LEASE_LOST\)/);

    // Longer than the stop hook, which may well end this process.
    await holdIn(t, robot.root, 30);
    await robot.runs('1.1.0');
  });
});

describe('a robot that failed', () => {
  it('tries again at once when a person says drover-robot retry', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url, ['--ready-deadline', '1s']);
    await robot.hook('ready', 'echo lifting a pallet; exit 75');
    await site.publish(broker.url, await site.bundle('1.0.0'));
    const gaveUp = await robot.until('gives up for now', ({ last_error: error }) => {
      return error?.code === 'READY_DEADLINE';
    });
    assert.match(gaveUp.last_error?.message ?? '', /not ready within 1s; .*lifting a pallet/);
    await robot.hook('ready', 'exit 0');
    const retry = startDrover(t, 'robot-client', ['retry', '--root', robot.root]);
    await retry.exit;
    assert.equal(retry.ended?.code, 0, retry.describe());
    await robot.runs('1.0.0');
    const again = startDrover(t, 'robot-client', ['retry', '--root', robot.root]);
    await again.exit;
    assert.equal(again.ended?.code, 0, again.describe());
    assert.match(again.stdout, /nothing that failed waits .* the root was looked at again/);
  });
});
