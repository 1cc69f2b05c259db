/** A hook leaves nothing that piles up, whatever its children do to get away. */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { HookName } from '../../../robot-client/install/hooks.ts';
import { runHookToEnd } from '../../../robot-client/modules/hook-run.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const SHORT_MS = 1_000;

class Place {
  readonly folder: string;
  readonly #name: HookName;

  private constructor(folder: string, name: HookName) {
    [this.folder, this.#name] = [folder, name];
  }

  /** `left` in the script starts a program that notes its number and stays. */
  static async open(t: TestContext, name: HookName, script: string): Promise<Place> {
    const folder = await tempFolder(t);
    const place = new Place(folder, name);
    const write = async (path: string, text: string): Promise<void> => {
      await writeFile(path, `#!/bin/sh\n${text}\n`);
      await chmod(path, 0o755);
    };
    await mkdir(join(folder, 'hooks'));
    await write(join(folder, 'stays'), `echo $$ >>'${folder}/numbers'; exec sleep 300`);
    await write(join(folder, 'hooks', name), script.replaceAll('left', `${folder}/stays`));
    t.after(async () => {
      for (const number of await place.alive()) process.kill(number, 'SIGKILL');
    });
    return place;
  }

  run(timeoutMs: number, signal?: AbortSignal) {
    const env = { DROVER_ROOT: this.folder };
    const folder = join(this.folder, 'hooks');
    return runHookToEnd({ folder, name: this.#name, timeoutMs, env, signal });
  }

  async started(): Promise<number[]> {
    const text = await readFile(join(this.folder, 'numbers'), 'utf8').catch(() => '');
    return text.trim().split('\n').filter(Boolean).map(Number);
  }

  async alive(): Promise<number[]> {
    const found: number[] = [];
    for (const number of await this.started()) {
      const stat = await readFile(`/proc/${number}/stat`, 'utf8').catch(() => ') Z');
      if (!/\) [ZX]/.test(stat)) found.push(number);
    }
    return found;
  }
}

const HANGS = 'left & timeout 300 left & setsid --fork left; sleep 300';

describe('a hook that hangs', () => {
  for (const name of ['ready', 'stop'] as const) {
    it(`leaves only a daemon at its time-out, in whatever group its children are: ${name}`, async (t) => {
      const place = await Place.open(t, name, HANGS);
      const { kind } = await place.run(SHORT_MS);
      assert.equal(kind, 'timedOut');
      assert.equal((await place.started()).length, 3, 'all ran');
      assert.equal((await place.alive()).length, 1, 'the one with a session of its own');
    });
  }

  it('leaves only a daemon when it is aborted', async (t) => {
    const place = await Place.open(t, 'health', HANGS);
    const stop = new AbortController();
    const running = place.run(60_000, stop.signal);
    await waitUntil('its children', async () => (await place.started()).length === 3);
    stop.abort(new Error('the hooks are needed'));
    await assert.rejects(running, /the hooks are needed/);
    assert.equal((await place.alive()).length, 1, 'the one with a session of its own');
  });

  it('that is start loses its group alone: an application may have a session of its own', async (t) => {
    const place = await Place.open(t, 'start', 'left & setsid --fork left; sleep 300');
    assert.equal((await place.run(SHORT_MS)).kind, 'timedOut');
    await waitUntil('the end of the group', async () => (await place.alive()).length === 1);
  });
});

describe('the processes that a hook leaves when it ends by itself', () => {
  it('live on while they are few, and then the first, which may be a daemon, and the newest', async (t) => {
    const place = await Place.open(t, 'ready', 'left >/dev/null 2>&1 &');
    const runs = LIMITS.hookRestMax + 2;
    for (let nth = 1; nth <= runs; nth += 1) {
      assert.equal((await place.run(60_000)).kind, 'ok');
      await waitUntil('its child', async () => (await place.started()).length === nth);
      if (nth <= LIMITS.hookRestMax) assert.equal((await place.alive()).length, nth);
    }
    const [first, ...others] = await place.started();
    assert.deepEqual(await place.alive(), [first, ...others.slice(1 - LIMITS.hookRestMax)]);
  });

  it('live on with a session of their own, or beside runs whose processes have ended', async (t) => {
    const script = '[ -e $0.ran ] || { left >/dev/null 2>&1 & setsid --fork left; }; >$0.ran';
    const place = await Place.open(t, 'ready', `${script}; sleep 0.05 >/dev/null 2>&1 &`);
    for (let nth = 1; nth <= LIMITS.hookRestMax + 2; nth += 1) await place.run(60_000);
    assert.equal((await place.alive()).length, 2);
  });
});
