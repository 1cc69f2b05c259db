import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, test } from 'node:test';
import { runHook, type HookName, type HookResult } from '../../../robot-client/install/hooks.ts';

/** Scripts are not compiled: found above wherever this test was built to. */
function exampleHooks(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== '/'; at = dirname(at)) {
    const folder = join(at, 'examples/hooks');
    if (fs.existsSync(join(folder, 'ready'))) return folder;
  }
  return assert.fail('examples/hooks is gone');
}

const root = fs.mkdtempSync(join(tmpdir(), 'drover-example-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));
const hooks = exampleHooks();

/**
 * A machine without systemd: `systemctl` writes down its arguments and answers as the test says.
 */
function place(says: { state?: string; restarts?: number; exit?: number } = {}) {
  const folder = fs.mkdtempSync(join(root, 'robot-'));
  const { state = 'active', restarts = 0, exit = 0 } = says;
  fs.writeFileSync(
    join(folder, 'systemctl'),
    `#!/bin/sh
echo "$*" >> ${folder}/asked
case "$*" in
  *ActiveState*) echo ${state} ;;
  *NRestarts*) echo ${restarts} ;;
  *Result*) echo exit-code ;;
  *) exit ${exit} ;;
esac
`,
    { mode: 0o755 },
  );
  const battery = join(folder, 'power/battery');
  fs.mkdirSync(battery, { recursive: true });
  fs.writeFileSync(
    join(folder, 'hooks.conf'),
    `BUSY_FILE=${folder}/busy\nPOWER_SUPPLIES=${folder}/power\n`,
  );
  const run = async (name: HookName): Promise<HookResult> => {
    const path = process.env['PATH'];
    process.env['PATH'] = `${folder}:${path}`;
    try {
      const env = {
        DROVER_COMPONENT: 'app',
        DROVER_VERSION: '1.4.2',
        DROVER_TARGET_VERSION: '1.4.3',
        DROVER_HOOKS_CONF: join(folder, 'hooks.conf'),
      };
      return await runHook({ folder: hooks, name, timeoutMs: 10_000, env });
    } finally {
      process.env['PATH'] = path;
    }
  };
  const asked = () => fs.readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n');
  return { folder, battery, run, asked };
}

test('the example ready hook waits for a mission to end and for the dock', async () => {
  const { folder, battery, run } = place();
  assert.equal((await run('ready')).kind, 'ok');
  fs.writeFileSync(join(folder, 'busy'), '');
  const busy = await run('ready');
  assert.equal(busy.kind, 'busy');
  fs.rmSync(join(folder, 'busy'));
  fs.writeFileSync(join(battery, 'capacity'), '12\n');
  fs.writeFileSync(join(battery, 'status'), 'Discharging\n');
  assert.deepEqual(await run('ready'), { kind: 'busy', output: 'battery at 12 %, not charging\n' });
  fs.writeFileSync(join(battery, 'status'), 'Charging\n');
  assert.equal((await run('ready')).kind, 'ok');
});

test('the example stop and start hooks move the unit of their component', async () => {
  const { run, asked } = place();
  assert.equal((await run('stop')).kind, 'ok');
  assert.equal((await run('start')).kind, 'ok');
  assert.deepEqual(asked(), [
    'stop robot-app.service',
    'reset-failed robot-app.service',
    'restart robot-app.service',
  ]);
  const failing = place({ exit: 5 });
  for (const name of ['stop', 'start'] as const) {
    const result = await failing.run(name);
    assert.ok(result.kind === 'failed' && result.exitCode === 5, name);
  }
});

test('the example health hook tells well, not yet and never apart', async () => {
  assert.equal((await place().run('health')).kind, 'ok');
  assert.deepEqual(await place({ state: 'activating' }).run('health'), {
    kind: 'busy',
    output: 'robot-app.service is activating\n',
  });
  for (const bad of [{ state: 'failed' }, { restarts: 2 }]) {
    const result = await place(bad).run('health');
    assert.ok(result.kind === 'failed' && result.exitCode === 70);
  }
});

test('the example rolled-back hook succeeds with and without a log to write to', async () => {
  assert.equal((await place().run('rolled-back')).kind, 'ok');
});
