/** Updates by a module: the real component with a real executable that looks after a "board". */

import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { reportComponent } from '../../../robot-client/fleet/report.ts';
import type { SignedBundle } from '../../helpers/fleet.ts';
import {
  BOARD,
  BOARD_STRATEGY,
  callsOf,
  flashOf,
  writeBoard,
  type Faults,
} from '../../helpers/board-module.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';

const NEW = '1.1.0';
const MODULE_TIMEOUT_MS = 5_000;

async function benchWith(t: TestContext, faults: Faults | null, timeoutMs = MODULE_TIMEOUT_MS) {
  const folder = await tempFolder(t);
  const modules = join(folder, 'modules.d');
  if (faults) await writeBoard(modules, faults);
  const bench = await Bench.open(t, {
    modules: new ModuleFolder(modules),
    moduleTimeoutMs: timeoutMs,
    healthIntervalMs: 5,
  });
  return { bench, modules };
}

const bundleOf = (version: string, strategy = BOARD_STRATEGY): Promise<SignedBundle> =>
  fleet.makeBundle({ version, manifest: { apply_strategy: strategy } });

async function offered(bench: Bench, version: string, strategy = BOARD_STRATEGY): Promise<void> {
  bench.announce(await bundleOf(version, strategy), version);
}

/** The component is at rest on that version, and the board runs what `active` names. */
async function rests(bench: Bench, version: string): Promise<void> {
  await waitUntil(`the component to rest on ${version}`, () => {
    const { state, version: active, live } = bench.component.view;
    return state.phase === 'idle' && active === version && !live.module;
  });
}

const blockOf = (bench: Bench): string | undefined =>
  bench.component.view.state.blocked.find((one) => one.version === NEW)?.code;

/** The process whose number a fault wrote into the file `child`. */
async function isChildRunning(bench: Bench): Promise<boolean> {
  const child = await readFile(join(bench.root, 'modules', BOARD, 'child'), 'utf8');
  const stat = await readFile(`/proc/${child.trim()}/stat`, 'utf8').catch(() => ') Z');
  return !/\) [ZX]/.test(stat);
}

describe('an update by a module', () => {
  for (const verb of ['switch', 'verify']) {
    it(`is not confirmed when its ${verb} writes into the release`, async (t) => {
      const writes = `echo more >>"$(ls "$DROVER_PAYLOAD_DIR"/VERSION*)"`;
      const only = `[ "$DROVER_VERSION" != ${NEW} ] || ${writes}`;
      const { bench } = await benchWith(t, { [`${verb} last`]: only });
      await offered(bench, NEW);
      await waitUntil('the way back', () => bench.component.view.state.lastUpdate !== null);
      await rests(bench, OLD);
      const { lastProblem, lastUpdate } = bench.component.view.state;
      assert.equal(lastUpdate?.outcome, 'rolled_back');
      assert.equal(lastProblem?.code, 'RELEASE_DAMAGED', lastProblem?.message);
      assert.equal(blockOf(bench), undefined, 'the module is to blame, and not the version');
    });
  }

  it('runs a verb in each phase, and active follows the module', async (t) => {
    const { bench } = await benchWith(t, {});
    await offered(bench, NEW);
    await rests(bench, NEW);
    assert.equal(await flashOf(bench.root), NEW);
    await waitUntil('the question at rest', async () =>
      (await callsOf(bench.root)).at(-1)?.startsWith('version'),
    );
    const calls = await callsOf(bench.root);
    const verbs = calls.map((one) => one.split(' ')[0]);
    const once = verbs.filter((one, at) => one !== verbs[at - 1]);
    assert.deepEqual(once.slice(0, 7), [
      ...['probe', 'stage', 'switch', 'version', 'verify', 'confirm', 'version'],
    ]);
    assert.equal(calls[0], `probe ${NEW} ${OLD}`);
    assert.ok(calls.includes(`switch ${NEW} ${OLD}`));
    assert.equal(reportComponent(bench.component.view).strategy, BOARD_STRATEGY);
    const said = explainComponent(bench.component.view, Date.now()).join('\n');
    assert.match(said, /1\.1\.0 is applied by module\/board/);
  });

  it('is refused before a byte is downloaded on a robot without the module, and taken later', async (t) => {
    const { bench, modules } = await benchWith(t, null);
    await offered(bench, NEW);
    await waitUntil('the refusal', () => bench.codes.includes('MODULE_MISSING'));
    assert.equal(bench.carrier.sent, 0);
    assert.equal(bench.component.view.version, OLD);
    assert.equal(reportComponent(bench.component.view).last_error?.code, 'MODULE_MISSING');
    await writeBoard(modules);
    await waitUntil('the retry to wait', () => bench.component.view.state.retry !== null);
    await bench.component.retry();
    await rests(bench, NEW);
  });

  it('is refused with the words of probe', async (t) => {
    const { bench } = await benchWith(t, { 'probe first': 'echo no board on the bus; exit 3' });
    await offered(bench, NEW);
    await waitUntil('the refusal', () => bench.codes.includes('MODULE_UNFIT'));
    assert.equal(bench.carrier.sent, 0);
    const { last_error: failure } = reportComponent(bench.component.view);
    assert.match(failure?.message ?? '', /probe 1\.1\.0 by module board: exit 3 \(no board/);
  });

  it('is tried again later when the module says that it is busy', async (t) => {
    const { bench, modules } = await benchWith(t, { 'stage first': 'exit 75' });
    await offered(bench, NEW);
    await waitUntil('the refusal', () => bench.codes.includes('MODULE_BUSY'));
    assert.equal(blockOf(bench), undefined);
    await writeBoard(modules);
    await waitUntil('the retry to wait', () => bench.component.view.state.retry !== null);
    await bench.component.retry();
    await rests(bench, NEW);
  });
});

describe('a module that does not do it', () => {
  it('is asked to go back when switch fails, and the version is blocked', async (t) => {
    const { bench } = await benchWith(t, { 'switch mid': 'echo short circuit >&2; exit 1' });
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    assert.equal(blockOf(bench), 'MODULE_FAILED');
    await rests(bench, OLD);
    assert.equal(await flashOf(bench.root), OLD);
    assert.ok((await callsOf(bench.root)).includes(`revert ${NEW} ${OLD}`));
  });

  it('is asked to go back when its own switch is killed', async (t) => {
    const { bench } = await benchWith(t, { 'switch mid': 'kill -9 $$' });
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    await rests(bench, OLD);
    assert.equal(await flashOf(bench.root), OLD);
  });

  it('is not believed when it says that something else runs', async (t) => {
    const { bench } = await benchWith(t, { 'version first': 'echo 9.9.9; exit 0' });
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    assert.equal(blockOf(bench), 'MODULE_DIFFERS');
    assert.equal(bench.component.view.version, OLD);
  });

  it('is killed with its children when it is late', async (t) => {
    const { bench, modules } = await benchWith(
      t,
      { 'switch mid': 'sleep 300 & echo $! >"$DROVER_MODULE_DIR/child"; wait' },
      300,
    );
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    assert.equal(blockOf(bench), 'MODULE_TIMED_OUT');
    await waitUntil('its child to be gone', async () => !(await isChildRunning(bench)));
    await writeBoard(modules);
    await rests(bench, OLD);
  });

  it('has ended when what it left in the background has ended', async (t) => {
    const burn = '(sleep 0.3; echo late >>"$DROVER_MODULE_DIR/calls") &';
    const { bench } = await benchWith(t, { 'switch last': burn });
    await offered(bench, NEW);
    await rests(bench, NEW);
    const calls = await callsOf(bench.root);
    const late = calls.indexOf('late');
    assert.match(calls[late - 1] ?? '', /^switch /, 'nothing was called meanwhile');
  });

  it('is late when what it left in the background does not end, and that is killed', async (t) => {
    const left = 'sleep 300 & echo $! >"$DROVER_MODULE_DIR/child"';
    const { bench, modules } = await benchWith(t, { 'switch last': left }, 500);
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    assert.equal(blockOf(bench), 'MODULE_TIMED_OUT');
    await waitUntil('its child to be gone', async () => !(await isChildRunning(bench)));
    await writeBoard(modules);
    await rests(bench, OLD);
  });

  it('takes the version back that verify finds wrong', async (t) => {
    const { bench } = await benchWith(t, { 'verify mid': 'echo overheats; exit 70' });
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    assert.equal(blockOf(bench), 'HEALTH_FAILED');
    await rests(bench, OLD);
    assert.equal(await flashOf(bench.root), OLD);
  });

  it('takes the version back that cannot be confirmed', async (t) => {
    const { bench } = await benchWith(t, { 'confirm first': 'exit 1' });
    await offered(bench, NEW);
    await waitUntil('the block', () => blockOf(bench));
    assert.equal(blockOf(bench), 'MODULE_FAILED');
    await rests(bench, OLD);
  });
});

describe('a release that a module applied', () => {
  it('goes back after it was confirmed when its rollout is taken back', async (t) => {
    const { bench } = await benchWith(t, {});
    await offered(bench, NEW);
    await rests(bench, NEW);
    bench.recall(NEW);
    await rests(bench, OLD);
    assert.equal(await flashOf(bench.root), OLD);
  });

  it('is reported with its module also after a rollback, when the state knows it no more', async (t) => {
    const { bench } = await benchWith(t, {});
    for (const version of [NEW, '1.2.0']) {
      await offered(bench, version);
      await rests(bench, version);
    }
    bench.recall('1.2.0');
    await rests(bench, NEW);
    const { view } = bench.component;
    assert.equal(reportComponent(view).strategy, `module/${BOARD}`);
    const lines = explainComponent(view, 0);
    assert.ok(lines.some((line) => line.includes(`${NEW} is applied by module/${BOARD}`)));
  });

  it('is not left to another strategy', async (t) => {
    const { bench } = await benchWith(t, {});
    await offered(bench, NEW);
    await rests(bench, NEW);
    await offered(bench, '1.2.0', 'atomic_swap');
    await waitUntil('the refusal', () => bench.codes.includes('STRATEGY_CHANGED'));
    assert.equal(bench.component.view.version, NEW);
  });

  it('is brought to what active names at a start, also when the state is lost', async (t) => {
    const { bench } = await benchWith(t, {});
    await offered(bench, NEW);
    await rests(bench, NEW);
    await writeFile(join(bench.root, 'modules', BOARD, 'flash'), OLD);
    await bench.cutPower();
    await waitUntil('the board to run it again', async () => (await flashOf(bench.root)) === NEW);
    assert.ok(bench.codes.includes('MODULE_DIFFERS'));
    await rests(bench, NEW);

    await bench.component.close();
    await rm(join(bench.root, 'state', 'machine.json'));
    await writeFile(join(bench.root, 'modules', BOARD, 'flash'), '');
    await bench.cutPower();
    await waitUntil('the board to run it again', async () => (await flashOf(bench.root)) === NEW);
    await rests(bench, NEW);
  });

  it('is unknown, and not nothing, while the module cannot tell', async (t) => {
    const { bench, modules } = await benchWith(t, {});
    await offered(bench, NEW);
    await rests(bench, NEW);
    await writeBoard(modules, { 'version first': 'echo bus is off; exit 1' });
    await bench.cutPower();
    const code = (): unknown => reportComponent(bench.component.view).last_error?.code;
    await waitUntil('the report', () => code() === 'MODULE_UNKNOWN');
    assert.equal(await flashOf(bench.root), NEW); // nothing is switched on a guess
    const told = reportComponent(bench.component.view);
    assert.deepEqual([told.version, told.version_doubt], [NEW, 'MODULE_UNKNOWN']);
    const said = explainComponent(bench.component.view, Date.now()).join('\n');
    assert.match(said, /what runs: .*bus is off/);
    assert.match(said, /: it is not known what runs \(active names 1\.1\.0\)/);
    await writeBoard(modules);
    await bench.cutPower();
    await rests(bench, NEW);
    const doubt = (): unknown => reportComponent(bench.component.view).version_doubt;
    await waitUntil('the doubt to be over', () => doubt() === undefined);
  });
});

describe('a power cut on the way', () => {
  const phases = [
    'checking',
    'staging',
    'waiting',
    'swapping',
    'probation',
    'rolling_back',
  ] as const;
  for (const phase of phases) {
    it(`in phase ${phase} leaves module and active on one version`, async (t) => {
      const isBad = phase === 'rolling_back';
      const { bench } = await benchWith(t, isBad ? { 'verify mid': 'exit 70' } : {});
      let isCut = false;
      bench.onPhase = (now) => {
        if (now !== phase || isCut) return;
        isCut = true;
        setImmediate(() => void bench.cutPower());
      };
      await offered(bench, NEW);
      await waitUntil('the cut', () => isCut);
      await rests(bench, isBad ? OLD : NEW);
      assert.equal(await flashOf(bench.root), isBad ? OLD : NEW);
    });
  }

  it('is finished by recover where that has the module, and left to the agent where it has not', async (t) => {
    const { bench, modules } = await benchWith(t, { 'switch first': 'sleep 60' });
    await offered(bench, NEW);
    await waitUntil('the switch', async () =>
      (await callsOf(bench.root)).some((one) => one.startsWith('switch')),
    );
    await bench.component.close(); // in the middle of it
    const recover = (more: object) =>
      recoverComponent({
        ...{ component: 'app', root: bench.root, disk: realDisk, hooksFolder: bench.hooks },
        ...{ bootsMax: 3, adoptVersion: '0.0.0', ...more },
      });
    const without = await recover({});
    assert.deepEqual([without.phase, without.version], ['swapping', OLD]);
    assert.deepEqual(
      without.problems.map(({ code }) => code),
      ['MODULE_MISSING'],
    );
    await writeBoard(modules);
    const has = await recover({ modules: new ModuleFolder(modules) });
    assert.deepEqual([has.phase, has.version, has.problems], ['probation', NEW, []]);
    assert.equal(await flashOf(bench.root), NEW);
    await bench.cutPower();
    await rests(bench, NEW);
  });

  it('ends what a killed agent left running before the module is called again', async (t) => {
    const folder = await tempFolder(t);
    const modules = join(folder, 'modules.d');
    await writeBoard(modules, { 'switch mid': 'sleep 300' });
    const root = join(folder, 'root');
    await mkdir(join(root, 'state'), { recursive: true });
    await mkdir(join(root, 'modules', BOARD), { recursive: true });
    await mkdir(join(root, 'releases', NEW), { recursive: true });
    const env = {
      ...{ DROVER_VERB: 'switch', DROVER_ROOT: root, DROVER_VERSION: NEW },
      ...{ DROVER_PREVIOUS_VERSION: '', DROVER_PREVIOUS_DIR: '' },
      DROVER_MODULE_DIR: join(root, 'modules', BOARD),
      DROVER_PAYLOAD_DIR: join(root, 'releases', NEW),
    };
    const run = { module: BOARD, root, timeoutMs: 60_000, env };
    const first = new ModuleFolder(modules).run({ ...run, verb: 'switch' });
    await waitUntil('the first run', async () => (await callsOf(root))[0] !== '');
    // Another agent, which does not know of the first one but by its note.
    const second = await new ModuleFolder(modules).run({ ...run, verb: 'version' });
    assert.equal(second.result.kind, 'ok');
    const { result } = await first;
    assert.equal(result.kind === 'failed' && result.signal, 'SIGKILL');
  });
});
