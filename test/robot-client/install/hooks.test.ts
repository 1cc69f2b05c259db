import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, test } from 'node:test';
import {
  describeHook,
  runHook,
  type HookName,
  type HookResult,
} from '../../../robot-client/install/hooks.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'drover-hooks-'));
const daemons: number[] = [];
after(() => {
  for (const pid of daemons) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  fs.rmSync(root, { recursive: true, force: true });
});
let folders = 0;

function hookFolder(name: HookName, script: string, mode = 0o755): string {
  const folder = join(root, String((folders += 1)));
  fs.mkdirSync(folder);
  fs.writeFileSync(join(folder, name), script, { mode });
  return folder;
}

/** Runs a shell script as a hook; `$OUT` in it is a folder of its own to write to. */
async function runScript(
  script: string,
  more: { name?: HookName; timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<{ result: HookResult; folder: string }> {
  const name = more.name ?? 'start';
  const folder = hookFolder(name, `#!/bin/sh\nOUT=$(dirname "$0")\n${script}\n`);
  const { timeoutMs = 10_000, signal } = more;
  return { folder, result: await runHook({ folder, name, timeoutMs, env: {}, signal }) };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie without a parent that reaps it (no init in a container) has ended as well.
    return !/^State:\tZ/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false; // no such process
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`never came true: ${what}`);
}

test('a hook that is absent is not a failure', async () => {
  const run = { name: 'ready', timeoutMs: 1_000, env: {} } as const;
  assert.deepEqual(await runHook({ ...run, folder: root }), { kind: 'absent' });
  assert.deepEqual(await runHook({ ...run, folder: join(root, 'nowhere') }), { kind: 'absent' });
});

test('exit 0 is ok, 75 is busy where waiting makes sense, all else is a failure', async () => {
  const run = async (name: HookName, exit: number) =>
    (await runScript(`echo word; exit ${exit}`, { name })).result;
  assert.equal((await run('ready', 0)).kind, 'ok');
  assert.deepEqual(await run('ready', 75), { kind: 'busy', output: 'word\n' });
  assert.deepEqual(await run('health', 75), { kind: 'busy', output: 'word\n' });
  const failure = { kind: 'failed', signal: null, output: 'word\n' };
  assert.deepEqual(await run('stop', 75), { ...failure, exitCode: 75 });
  assert.deepEqual(await run('rolled-back', 1), { ...failure, exitCode: 1 });
});

test('a hook that dies of a signal fails with its name', async () => {
  const { result } = await runScript('kill -TERM $$');
  assert.deepEqual(result, { kind: 'failed', exitCode: null, signal: 'SIGTERM', output: '' });
});

test('a hook that cannot be run fails with a sentence that says why', async () => {
  const run = (folder: string) => runHook({ folder, name: 'health', timeoutMs: 1_000, env: {} });
  const says = async (folder: string, words: RegExp) => {
    const result = await run(folder);
    assert.equal(result.kind, 'failed');
    assert.match(result.kind === 'failed' ? result.output : '', words);
  };
  await says(hookFolder('health', '#!/bin/sh\n', 0o644), /not executable: run chmod \+x/);
  const withFolder = join(root, 'with-folder');
  fs.mkdirSync(join(withFolder, 'health'), { recursive: true });
  await says(withFolder, /not a file/);
  const withLink = join(root, 'with-link');
  fs.mkdirSync(withLink);
  fs.symlinkSync('gone', join(withLink, 'health'));
  await says(withLink, /link to nothing/);
  for (const [line, shown] of [
    ['#!/no/such/shell', '#!/no/such/shell'],
    ['#! /bin/sh\r', '#! /bin/sh\\u{d}'],
  ] as const) {
    const result = await run(hookFolder('health', `${line}\nexit 0\n`));
    const want = `hook health could not be started: its first line names no program here: ${shown}`;
    assert.equal(result.kind, 'failed');
    assert.equal(describeHook(result), want, 'without an exit code, which there is none of');
  }
});

test('no hook is absent where its folder is a file or a link to nothing', async () => {
  const places = join(root, 'no-folders');
  fs.mkdirSync(places);
  fs.writeFileSync(join(places, 'file'), '');
  fs.symlinkSync('gone', join(places, 'link'));
  for (const name of ['file', 'link', 'file/below']) {
    const folder = join(places, name);
    const result = await runHook({ folder, name: 'ready', timeoutMs: 1_000, env: {} });
    assert.equal(result.kind, 'failed', name);
    assert.match(describeHook(result), /is a file, or a link to nothing/);
  }
});

test('the environment holds PATH, HOME, LANG and the DROVER names, and nothing else', async () => {
  process.env['MQTT_PASSWORD'] = 'secret';
  const folder = hookFolder('start', '#!/bin/sh\nenv > "$(dirname "$0")/env"; pwd; cat; exit 3\n');
  const env = { DROVER_VERSION: '1.2.3 $(x)', LD_PRELOAD: 'evil.so' };
  const result = await runHook({ folder, name: 'start', timeoutMs: 5_000, env });
  delete process.env['MQTT_PASSWORD'];
  // cat ends at once: there is no input to wait for.
  assert.deepEqual(result, { kind: 'failed', exitCode: 3, signal: null, output: '/\n' });
  const lines = fs.readFileSync(join(folder, 'env'), 'utf8').trim().split('\n');
  const names = lines.map((line) => line.split('=')[0] ?? '').sort();
  const byShell = ['OLDPWD', 'PWD', 'SHLVL', '_'];
  assert.deepEqual(
    names.filter((name) => !byShell.includes(name)),
    ['DROVER_VERSION', 'HOME', 'LANG', 'PATH'],
  );
  assert.ok(lines.includes('DROVER_VERSION=1.2.3 $(x)'));
});

test('only the last words of a hook that shouts are kept', async () => {
  const { result } = await runScript(
    'head -c 3000000 /dev/zero | tr "\\0" x; echo; echo last words >&2; exit 1',
  );
  assert.equal(result.kind, 'failed');
  const output = result.kind === 'failed' ? result.output : '';
  assert.ok(Buffer.byteLength(output) <= LIMITS.hookOutputBytesMax);
  assert.equal(output, 'last words\n', 'of a line that is cut nothing is left');
});

test('the quoted output of a hook has no secret, also where it is longer than the part that is kept', async () => {
  const many = (digits: number): string => `printf 'PASSWORD=%0${digits}d\\nlast\\n' 7; exit 1`;
  const told = async (digits: number): Promise<string> =>
    describeHook((await runScript(many(digits))).result);
  assert.equal(await told(5_000), 'exit 1 (PASSWORD=[redacted] / last)');
  assert.equal(await told(LIMITS.hookOutputBytesMax + LIMITS.hookOverlapBytes), 'exit 1 (last)');
  const output = 'arm is hot\r\n\n  token: abcdef\nat joint 3\n';
  const failed = { kind: 'failed', exitCode: 70, signal: null } as const;
  assert.equal(
    describeHook({ ...failed, output }),
    'exit 70 (arm is hot / token: [redacted] / at joint 3)',
  );
  const noisy = `${'all is fine\n'.repeat(90)}camera is gone\n`;
  assert.equal(
    describeHook({ ...failed, output: noisy }),
    `exit 70 (…${'all is fine / '.repeat(5)}camera is gone)`,
  );
  const long = describeHook({
    ...failed,
    output: `api_key=${'k'.repeat(250)}\n${'x'.repeat(399)}`,
  });
  assert.match(long, /^exit 70 \(…x{320}\)$/);
  assert.doesNotMatch(long, /kk/);
});

test('a hook that hangs is killed with all its children', async () => {
  const { result, folder } = await runScript(
    'sleep 1000 & echo $! > "$OUT/pid"; (trap "" TERM HUP INT; sleep 1000) & echo hung; wait',
    { timeoutMs: 400 },
  );
  assert.deepEqual(result, { kind: 'timedOut', output: 'hung\n' });
  const pid = Number(fs.readFileSync(join(folder, 'pid'), 'utf8'));
  assert.ok(pid > 0);
  await until('the grandchild is gone', () => !isAlive(pid));
});

test('a daemon that start leaves behind lives on, may go on writing, and delays nothing', async () => {
  const { result, folder } = await runScript(
    '(while :; do echo tick; date +%s%N > "$OUT/beat"; sleep 0.05; done) & echo $! > "$OUT/pid"',
    { timeoutMs: 60_000 },
  );
  assert.equal(result.kind, 'ok');
  const pid = Number(fs.readFileSync(join(folder, 'pid'), 'utf8'));
  daemons.push(pid);
  const beat = () =>
    fs.existsSync(join(folder, 'beat')) ? fs.readFileSync(join(folder, 'beat'), 'utf8') : '';
  for (let beats = 0; beats < 3; beats += 1) {
    const before = beat();
    await until('the daemon goes on', () => beat() !== before && beat() !== '');
  }
  assert.ok(isAlive(pid));
});

test('an abort kills the hook and rejects with the reason', async () => {
  const stopping = new AbortController();
  const reason = new Error('shutting down');
  const running = runScript('echo $$ > "$OUT/pid"; sleep 1000', { signal: stopping.signal });
  const pidFile = () => join(root, String(folders), 'pid');
  const pid = () => (fs.existsSync(pidFile()) ? Number(fs.readFileSync(pidFile(), 'utf8')) : 0);
  await until('the hook runs', () => pid() > 0);
  stopping.abort(reason);
  await assert.rejects(running, (error) => error === reason);
  await until('the hook is gone', () => !isAlive(pid()));
  await assert.rejects(runScript('exit 0', { signal: stopping.signal }), (e) => e === reason);
});
