/**
 * A module meets an interrupted or failed repair, a disk from another machine, damaged bytes, or a
 * missing program. The application is never left stopped.
 */

import assert from 'node:assert/strict';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { robotId } from '../../broker/reports.ts';
import { BOARD, BOARD_STRATEGY, callsOf, flashOf, writeBoard } from '../../helpers/board-module.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';

const NEW = '1.1.0';
const ELSE = '0.9.9';

class Robot {
  readonly modules: string;
  readonly bench: Bench;
  readonly facts: { compatible: string[] };

  private constructor(bench: Bench, modules: string, facts: { compatible: string[] }) {
    this.bench = bench;
    this.modules = modules;
    this.facts = facts;
  }

  /** Its hooks note `start` and `stop`; a module took it to NEW, on a machine `acme,arm`. */
  static async open(t: TestContext): Promise<Robot> {
    const modules = join(await tempFolder(t), 'modules.d');
    await writeBoard(modules);
    const facts = { robot: robotId('r1'), arch: 'x86_64', tags: [], compatible: ['acme,arm'] };
    const bench = await Bench.open(t, {
      ...{ modules: new ModuleFolder(modules), moduleTimeoutMs: 5_000, healthIntervalMs: 5, facts },
    });
    for (const name of ['start', 'stop']) {
      await bench.hook(name, `echo ${name} >>"$DROVER_ROOT/hook-calls"`);
    }
    const robot = new Robot(bench, modules, facts);
    await robot.offer(NEW);
    await robot.rests(NEW);
    return robot;
  }

  async offer(version: string): Promise<void> {
    const manifest = { apply_strategy: BOARD_STRATEGY, compatible: ['acme,arm'] };
    this.bench.announce(await fleet.makeBundle({ version, manifest }), version);
  }

  async rests(version: string): Promise<void> {
    const look = (): string => this.bench.describe();
    const isThere = (): boolean => {
      const { state, version: active, live } = this.bench.component.view;
      return state.phase === 'idle' && active === version && !live.module;
    };
    await waitUntil(`the component to rest on ${version}`, isThere, { look });
  }

  /** Something else comes into the board, as when a person changes it. */
  async change(): Promise<void> {
    await this.bench.component.close();
    await writeFile(join(this.bench.root, 'modules', BOARD, 'flash'), ELSE);
  }

  async told(code: string): Promise<void> {
    const look = (): string => this.bench.describe();
    await waitUntil(code, () => this.bench.codes.includes(code), { look });
  }

  flash(): Promise<string> {
    return flashOf(this.bench.root);
  }

  /** Calls of the hooks; the application runs when the last one is `start`. */
  async hookCalls(): Promise<string[]> {
    const text = await readFile(join(this.bench.root, 'hook-calls'), 'utf8').catch(() => '');
    return text.trim().split('\n');
  }

  async switches(): Promise<number> {
    const calls = await callsOf(this.bench.root);
    return calls.filter((one) => one.startsWith('switch')).length;
  }

  /** The byte of a release changes, its size and its times do not: a disk that forgets. */
  async rot(version: string): Promise<void> {
    const file = join(this.bench.root, 'releases', version, 'VERSION.txt');
    await chmod(file, 0o644);
    await writeFile(file, 'X'.repeat((await readFile(file)).length));
  }
}

describe('a repair at rest', () => {
  it('starts the application again when the switch fails', async (t) => {
    const robot = await Robot.open(t);
    await robot.change();
    await writeBoard(robot.modules, { 'switch first': 'echo bus off; exit 1' });
    await robot.bench.cutPower();
    await robot.told('MODULE_FAILED');
    await waitUntil('the start', async () => (await robot.hookCalls()).at(-1) === 'start');
    assert.ok((await robot.hookCalls()).slice(2).includes('stop'), 'it was stopped for the repair');
  });

  it('that was cut is made good by the next agent, also when the module agrees by then', async (t) => {
    const robot = await Robot.open(t);
    await robot.change();
    await writeBoard(robot.modules, { 'switch first': 'sleep 60' });
    const before = await robot.switches();
    await robot.bench.cutPower();
    await waitUntil('the switch', async () => (await robot.switches()) > before);
    await robot.bench.component.close();
    assert.equal((await robot.hookCalls()).at(-1), 'stop');
    await writeBoard(robot.modules);
    await writeFile(join(robot.bench.root, 'modules', BOARD, 'flash'), NEW);
    await robot.bench.cutPower();
    await waitUntil('the start', async () => (await robot.hookCalls()).at(-1) === 'start');
    await robot.rests(NEW);
  });

  it('says that the application does not start, and tries it again', async (t) => {
    const robot = await Robot.open(t);
    await robot.change();
    await robot.bench.hook('start', 'exit 1');
    await robot.bench.cutPower();
    await robot.told('START_FAILED');
    await robot.bench.hook('start', 'echo start >>"$DROVER_ROOT/hook-calls"');
    await robot.bench.cutPower();
    await waitUntil('the start', async () => (await robot.hookCalls()).at(-1) === 'start');
    await robot.rests(NEW);
  });

  it('writes nothing on a machine that the release is not for', async (t) => {
    const robot = await Robot.open(t);
    await robot.change();
    robot.facts.compatible = ['other,board'];
    const before = [await robot.switches(), (await robot.hookCalls()).length];
    await robot.bench.cutPower();
    await robot.told('COMPATIBLE_WRONG');
    assert.equal(await robot.flash(), ELSE);
    assert.deepEqual([await robot.switches(), (await robot.hookCalls()).length], before);
    robot.facts.compatible = ['acme,arm'];
    await robot.bench.cutPower();
    await waitUntil('the repair', async () => (await robot.flash()) === NEW);
    await robot.rests(NEW);
  });

  it('hands over no byte that is another one than was signed', async (t) => {
    const robot = await Robot.open(t);
    await robot.change();
    await robot.rot(NEW);
    const before = (await robot.hookCalls()).length;
    await robot.bench.cutPower();
    await robot.told('RELEASE_DAMAGED');
    assert.equal(await robot.flash(), ELSE);
    assert.equal((await robot.hookCalls()).length, before, 'nothing was stopped');
  });
});

describe('an update by a module', () => {
  it('is given up before the application is stopped when the program is gone', async (t) => {
    const robot = await Robot.open(t);
    const { bench, modules } = robot;
    await bench.hook('ready', 'exit 75');
    await robot.offer('1.2.0');
    await waitUntil('it to wait', () => bench.component.view.state.phase === 'waiting');
    await rename(join(modules, BOARD), join(modules, '.away'));
    const before = (await robot.hookCalls()).length;
    await bench.hook('ready', 'exit 0');
    await bench.cutPower(); // asks at once
    await robot.told('MODULE_MISSING');
    assert.deepEqual(
      [bench.component.view.state.phase, bench.component.view.version],
      ['idle', NEW],
    );
    assert.equal((await robot.hookCalls()).length, before, 'nothing was stopped');
  });

  it('that was cut in its switch is not finished on another machine', async (t) => {
    const robot = await Robot.open(t);
    const { bench, modules } = robot;
    await writeBoard(modules, { 'switch first': 'sleep 60' });
    const before = await robot.switches();
    await robot.offer('1.2.0');
    await waitUntil('the switch', async () => (await robot.switches()) > before);
    await bench.component.close();
    await writeBoard(modules);
    robot.facts.compatible = ['other,board'];
    const flashed = await robot.flash();
    await bench.cutPower();
    await robot.told('ROLLBACK_FAILED');
    assert.equal(await robot.flash(), flashed);
    robot.facts.compatible = ['acme,arm'];
    await bench.cutPower();
    await robot.rests(NEW);
    assert.equal(await robot.flash(), NEW);
  });
});

describe('the way back of a module', () => {
  it('stops nothing while the program is gone, and is gone when it is there again', async (t) => {
    const robot = await Robot.open(t);
    const { bench, modules } = robot;
    await rename(join(modules, BOARD), join(modules, '.away'));
    const before = (await robot.hookCalls()).length;
    bench.recall(NEW);
    await robot.told('ROLLBACK_FAILED');
    assert.equal((await robot.hookCalls()).length, before, 'the application runs on');
    const { lastProblem } = bench.component.view.state;
    assert.match(lastProblem?.hint ?? '', /^MODULE_MISSING: put the executable/);
    await rename(join(modules, '.away'), join(modules, BOARD));
    await bench.cutPower();
    await robot.rests(OLD);
  });

  it('hands over no byte of the previous release that is another one than was signed', async (t) => {
    const robot = await Robot.open(t);
    await robot.offer('1.2.0');
    await robot.rests('1.2.0');
    await robot.rot(NEW);
    robot.bench.recall('1.2.0');
    await robot.told('RELEASE_DAMAGED');
    assert.equal(await robot.flash(), '1.2.0');
  });
});
