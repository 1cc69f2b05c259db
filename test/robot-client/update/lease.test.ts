/** A real component whose application holds the robot ready by a lease, and loses it. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import type { EffectContext } from '../../../robot-client/update/effect-context.ts';
import { hookOf } from '../../../robot-client/update/hook-calls.ts';
import { ALWAYS_OPEN, type InterlockRules } from '../../../robot-client/local/interlock.ts';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { reportComponent } from '../../../robot-client/fleet/report.ts';
import type { ComponentOptions } from '../../../robot-client/component-options.ts';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { Ready } from '../../../robot-client/local/ready-word.ts';
import { BOARD_STRATEGY, callsOf, writeBoard } from '../../helpers/board-module.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';

const NEW = '1.1.0';
const LONG = { ready: true, reason: '', holdMs: 60_000 };
/** Lapses while a hook runs. */
const SHORT = { ready: true, reason: '', holdMs: 1 };
/** No hook of these tests takes so long, on a busy machine either. */
const HOOK_MS = 20_000;
const NO = { ready: false, reason: 'the pipette is full' };
const YES = { ready: true, reason: '' };

/** Each hook notes its name and version; `stop` lasts until the test has spoken. */
async function open(
  t: TestContext,
  rules: Partial<InterlockRules> = {},
  more: Partial<ComponentOptions> = {},
): Promise<Bench> {
  const interlock = { ...ALWAYS_OPEN, readyIntervalMs: 10, ...rules };
  const bench = await Bench.open(t, {
    interlock,
    healthIntervalMs: 5,
    hookTimeoutMs: HOOK_MS,
    ...more,
  });
  const note = (name: string): string => `echo "${name} $DROVER_VERSION" >> "$DROVER_ROOT/calls"`;
  await bench.hook(
    'stop',
    `${note('stop')}; while [ -e "$DROVER_ROOT/wait" ]; do sleep 0.02; done`,
  );
  await bench.hook('start', note('start'));
  return bench;
}

async function announce(bench: Bench, version = NEW, strategy?: string): Promise<void> {
  const manifest = strategy === undefined ? {} : { apply_strategy: strategy };
  bench.announce(await fleet.makeBundle({ version, manifest }), version);
}

const calls = async (bench: Bench): Promise<string> =>
  (await readFile(join(bench.root, 'calls'), 'utf8').catch(() => '')).trim().replaceAll('\n', ', ');

/** Lets the next stop hook wait for `sayInStop`. */
const pauseStop = (bench: Bench): Promise<void> => writeFile(join(bench.root, 'wait'), '');

/** Says that in the middle of the hook when it runs for the given time. */
async function sayInStop(bench: Bench, said: Ready, nth = 1): Promise<void> {
  const stops = async (): Promise<number> => (await calls(bench)).split('stop').length - 1;
  await waitUntil('the stop hook', async () => (await stops()) >= nth);
  await bench.component.ready(said);
  await rm(join(bench.root, 'wait'));
}

/** Says that when the swap begins, and the stop hook does not run yet. */
function sayBeforeStop(bench: Bench, said: Ready): void {
  bench.onPhase = (entered) => {
    if (entered !== 'swapping') return;
    bench.onPhase = () => {};
    bench.component.ready(said).catch(() => {}); // the wait of the test fails then
  };
}

const waits = (bench: Bench, words: RegExp): Promise<unknown> =>
  waitUntil(
    `a wait for ${String(words)}`,
    () => words.test(bench.component.view.live.waitingFor ?? ''),
    { look: () => bench.describe() },
  );

describe('an update whose application holds the robot ready', { concurrency: 4 }, () => {
  it('is installed while the lease runs, although the stop hook ends what renews it', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    assert.match(
      explainComponent(bench.component.view, Date.now()).join('\n'),
      /held ready by the application \(\d+ s left\)/,
    );
    await announce(bench);
    await bench.runs(NEW);
    assert.equal(await calls(bench), `stop ${OLD}, start ${NEW}`);
    assert.deepEqual(bench.codes, []);
  });

  for (const [why, said, words] of [
    ['lapses', SHORT, /the ready lease of the application lapsed/],
    ['is withdrawn', NO, /the pipette is full/],
  ] as const) {
    it(`waits again when the lease ${why} in the stop hook, with the old version running`, async (t) => {
      const bench = await open(t);
      await bench.component.ready(LONG);
      await pauseStop(bench);
      await announce(bench);
      await sayInStop(bench, said);
      await waits(bench, words);
      const { view } = bench.component;
      assert.deepEqual([view.version, view.state.phase], [OLD, 'waiting']);
      assert.equal(await calls(bench), `stop ${OLD}, start ${OLD}`);
      assert.deepEqual(bench.codes, ['READY_LEASE_LOST']);
      assert.equal(reportComponent(view).last_error?.code, 'READY_LEASE_LOST');
      assert.match(explainComponent(view, Date.now()).join('\n'), /\(READY_LEASE_LOST\)/);

      await bench.component.ready(LONG);
      await bench.runs(NEW);
      assert.equal(bench.component.view.state.lastProblem, null);
    });
  }

  it('stops nothing when the lease is lost before the stop hook', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    sayBeforeStop(bench, NO);
    await announce(bench);
    await waits(bench, /the pipette is full/);
    assert.deepEqual([bench.codes, await calls(bench)], [['READY_LEASE_LOST'], '']);
    await bench.component.ready(LONG);
    await bench.runs(NEW);
  });

  it('goes on when the holder says a plain yes in the stop hook', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    await pauseStop(bench);
    await announce(bench);
    await sayInStop(bench, YES);
    await bench.runs(NEW);
    assert.deepEqual(bench.codes, []);
  });

  it('is given up for a while when each stop loses the lease', async (t) => {
    const bench = await open(t);
    await bench.component.ready(NO);
    await announce(bench);
    for (let nth = 1; nth <= LIMITS.leaseStopsMax; nth += 1) {
      await pauseStop(bench);
      await bench.component.ready(LONG);
      await sayInStop(bench, SHORT, nth);
      if (nth < LIMITS.leaseStopsMax) await waits(bench, /lapsed/);
    }
    await waitUntil('the end of the attempt', () => bench.component.view.state.retry !== null, {
      look: () => bench.describe(),
    });
    const { state, version } = bench.component.view;
    assert.deepEqual([version, state.blocked], [OLD, []]);
    assert.deepEqual(
      [state.lastUpdate?.outcome, state.lastUpdate?.code],
      ['rolled_back', 'READY_LEASE_LOST'],
    );
    assert.match(await calls(bench), new RegExp(`start ${OLD}$`));
  });

  it('is stopped by any of several callers', async (t) => {
    const bench = await open(t);
    await bench.component.ready({ ...LONG, holder: 'arm' });
    await bench.component.ready({ ...LONG, holder: 'base' });
    await pauseStop(bench);
    await announce(bench);
    await sayInStop(bench, { ...SHORT, holder: 'base' });
    await waits(bench, /the ready lease of base lapsed/);
    await bench.component.ready({ ...LONG, holder: 'arm' });
    assert.equal(bench.component.view.version, OLD);
    await bench.component.ready({ ...YES, holder: 'base' });
    await bench.runs(NEW);
  });

  it('is never switched by a module when the lease is lost in the stop hook', async (t) => {
    const modules = join(await tempFolder(t), 'modules.d');
    await writeBoard(modules, {});
    const bench = await open(t, {}, { modules: new ModuleFolder(modules) });
    await bench.component.ready(LONG);
    await pauseStop(bench);
    await announce(bench, NEW, BOARD_STRATEGY);
    await sayInStop(bench, NO);
    await waits(bench, /the pipette is full/);
    assert.doesNotMatch((await callsOf(bench.root)).join(' '), /switch|revert/);
    await bench.component.ready(LONG);
    await bench.runs(NEW);
  });
});

describe('an agent that was killed', () => {
  it('in the stop hook does not switch, starts the old version, and asks again', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    let cut: Promise<void> = Promise.resolve();
    bench.onPhase = (phase) => {
      if (phase !== 'swapping') return;
      bench.onPhase = () => {};
      cut = bench.cutPower();
      cut.catch(() => {}); // it is awaited below
    };
    await announce(bench);
    await waits(bench, /did not renew it since the agent started/);
    await cut;
    const { view } = bench.component;
    assert.deepEqual([view.version, view.state.phase], [OLD, 'waiting']);
    assert.match(await calls(bench), new RegExp(`start ${OLD}$`));
    await bench.component.ready(LONG);
    await bench.runs(NEW);
  });

  it('in the stop hook has the old version started again after `recover` by hand', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    await pauseStop(bench);
    await announce(bench);
    await waitUntil('the stop hook', async () => (await calls(bench)).includes('stop'));
    await bench.component.close();
    const found = await recoverComponent({
      ...{ component: 'app', root: bench.root, disk: realDisk, hooksFolder: bench.hooks },
      ...{ bootsMax: 3, adoptVersion: '0.0.0', isBoot: false },
    });
    assert.deepEqual([found.phase, found.version], ['waiting', OLD]);
    assert.equal(await calls(bench), `stop ${OLD}`, 'nothing was started yet');
    await rm(join(bench.root, 'wait'));
    await bench.cutPower();
    await waitUntil('the start', async () => (await calls(bench)).endsWith(`start ${OLD}`));
  });

  it('leaves no stop hook that ends what was started again', async (t) => {
    const root = await tempFolder(t);
    await mkdir(join(root, 'state'));
    const hooksFolder = join(root, 'hooks');
    await mkdir(hooksFolder);
    await writeFile(join(hooksFolder, 'start'), '#!/bin/sh\necho start >>"$DROVER_ROOT/calls"\n');
    await chmod(join(hooksFolder, 'start'), 0o755);
    const env = { ...process.env, DROVER_ROOT: root, DROVER_TARGET_VERSION: NEW };
    const left = spawn('sleep', ['60'], { detached: true, stdio: 'ignore', env });
    t.after(() => left.kill('SIGKILL'));
    await once(left, 'spawn');
    await writeFile(join(root, 'state/stop'), `${left.pid}\n`);
    const ended = once(left, 'exit');
    const on = { component: 'app', layout: layoutOf(root), hooksFolder };
    const job = { version: NEW, previousVersion: OLD };
    const { signal } = new AbortController();
    const started = await hookOf(job, { ...on, signal } as unknown as EffectContext, 'start', OLD);
    assert.equal(started.kind, 'ok');
    assert.deepEqual(await ended, [null, 'SIGKILL']);
  });

  it('while it waited does not take an old lease for a new one', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    await bench.component.ready(NO);
    await announce(bench);
    await waits(bench, /the pipette is full/);
    await bench.cutPower();
    await waits(bench, /did not renew it since the agent started/);
    await bench.component.ready(YES);
    await bench.runs(NEW);
  });
});

describe('a lease that is lost in probation', { concurrency: 4 }, () => {
  /** A probation that only a confirmation of the application ends. */
  const onTrial = async (t: TestContext, rules: Partial<InterlockRules>): Promise<Bench> => {
    const bench = await open(t, rules);
    await bench.hook('health', '[ -e "$DROVER_ROOT/well" ] || exit 75');
    await bench.component.ready(LONG);
    await announce(bench);
    await waitUntil('probation', () => bench.component.view.state.phase === 'probation', {
      look: () => bench.describe(),
    });
    return bench;
  };

  it('changes nothing by default', async (t) => {
    const bench = await onTrial(t, {});
    await bench.component.ready(NO);
    await bench.hook('health', 'exit 0');
    await bench.runs(NEW);
    assert.deepEqual(bench.codes, []);
  });

  it('takes the version back at once where the site says so, and blocks nothing', async (t) => {
    const bench = await onTrial(t, { leaseLostAfterSwitch: 'back' });
    await bench.component.ready({ ready: false, reason: 'a door opened', holder: 'other' });
    assert.equal(bench.component.view.state.phase, 'probation');
    await bench.component.ready(NO);
    await bench.runs(OLD);
    const { blocked, retry, lastUpdate } = bench.component.view.state;
    assert.deepEqual([blocked, retry === null], [[], false]);
    assert.equal(lastUpdate?.code, 'READY_LEASE_LOST');
    assert.deepEqual(bench.codes, ['READY_LEASE_LOST']);
  });

  it('is lost with a restart of the agent, where the site says so', async (t) => {
    const bench = await onTrial(t, { leaseLostAfterSwitch: 'back' });
    await bench.cutPower();
    await bench.runs(OLD);
    assert.ok(bench.codes.includes('READY_LEASE_LOST'), bench.describe());
  });
});

describe('an application that does not use leases', () => {
  it('cannot stop a swap that has begun, as before', async (t) => {
    const bench = await open(t);
    await bench.component.ready(YES);
    await pauseStop(bench);
    await announce(bench);
    await sayInStop(bench, NO);
    await bench.runs(NEW);
    assert.deepEqual(bench.codes, []);
  });

  it('any more is not waited for once its version was confirmed', async (t) => {
    const bench = await open(t);
    await bench.component.ready(LONG);
    await announce(bench);
    await bench.runs(NEW);
    await bench.cutPower();
    await announce(bench, '1.2.0');
    await bench.runs('1.2.0');
  });
});

describe('a recall', () => {
  it('starts the version again when the lease is lost in the stop hook', async (t) => {
    const bench = await open(t);
    await announce(bench);
    await bench.runs(NEW);
    await bench.component.ready(LONG);
    await pauseStop(bench);
    bench.recall(NEW);
    await sayInStop(bench, SHORT, 2);
    await waits(bench, /the ready lease of the application lapsed/);
    assert.match(bench.waits.join('\n'), /lapsed \(READY_LEASE_LOST\)/);
    assert.equal(bench.component.view.version, NEW);
    assert.match(await calls(bench), new RegExp(`stop ${NEW}, start ${NEW}$`));
    await bench.component.ready(LONG);
    await bench.runs(OLD);
  });
});
