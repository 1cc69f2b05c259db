/** One run of a verb, with a real program, and all that it starts. */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { ModuleStrategy } from '../../../robot-client/update/module-strategy.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const LONG_MS = 20_000;
/** Time for a shell to start a program and write its number. */
const SHORT_MS = 1_500;

class Place {
  readonly root: string;
  readonly modules: string;

  constructor(folder: string) {
    [this.root, this.modules] = [join(folder, 'root'), join(folder, 'modules.d')];
  }

  /** @param script of the module; `$OUT` in it is a folder of the test */
  static async open(t: TestContext, script: string): Promise<Place> {
    const folder = await tempFolder(t);
    const place = new Place(folder);
    await mkdir(join(place.root, 'state'), { recursive: true });
    await mkdir(place.modules);
    await writeFile(join(place.modules, 'arm'), `#!/bin/sh\nOUT=${folder}\n${script}\n`);
    await chmod(join(place.modules, 'arm'), 0o755);
    return place;
  }

  run(verb: 'switch' | 'version', timeoutMs = LONG_MS, signal?: AbortSignal) {
    const env = { DROVER_VERB: verb, DROVER_ROOT: this.root };
    const run = { module: 'arm', verb, root: this.root, timeoutMs, env, signal };
    return new ModuleFolder(this.modules).run(run);
  }

  async read(name: string): Promise<string> {
    return (await readFile(join(this.root, '..', name), 'utf8').catch(() => '')).trim();
  }

  /** The process that wrote its number into `child`. */
  async isChildRunning(): Promise<boolean> {
    const number = await this.read('child');
    if (number === '') return false;
    const stat = await readFile(`/proc/${number}/stat`, 'utf8').catch(() => ') Z');
    return !/\) [ZX]/.test(stat);
  }
}

/** Ways in which a verb starts the program `$OUT/left`, and goes on. */
const APART: Readonly<Record<string, string>> = {
  'the background': '"$OUT/left" &',
  'a process group of its own': 'timeout 300 "$OUT/left" &',
  'a session of its own': 'setsid --fork "$OUT/left"',
  'a group in a session of its own': 'setsid --fork timeout 300 "$OUT/left"',
  'a group of its own without environment': 'env -i PATH="$PATH" timeout 300 "$OUT/left" &',
};
const left = (script: string): string => `printf '#!/bin/sh\\n${script}\\n' >"$OUT/left"
chmod +x "$OUT/left"`;
const HANGS = left(`echo $$ >'"$OUT"'/child; exec sleep 300`);

describe('the end of a verb', { concurrency: true }, () => {
  for (const [where, start] of Object.entries(APART)) {
    it(`comes when what it left in ${where} has ended`, async (t) => {
      const script = left(`sleep 0.2; echo done >'"$OUT"'/late`);
      const place = await Place.open(t, `${script}\n${start}`);
      const { result } = await place.run('switch');
      assert.equal(result.kind, 'ok');
      assert.equal(await place.read('late'), 'done');
    });

    it(`is forced for what it left in ${where}`, async (t) => {
      const place = await Place.open(t, `${HANGS}\n${start}\nsleep 300`);
      const { result } = await place.run('switch', SHORT_MS);
      assert.equal(result.kind, 'timedOut');
      assert.notEqual(await place.read('child'), '', 'it ran');
      assert.equal(await place.isChildRunning(), false);
    });
  }

  it('is a time-out when what it left does not end by itself', async (t) => {
    const place = await Place.open(t, `${HANGS}\nsetsid --fork "$OUT/left"`);
    const { result } = await place.run('switch', SHORT_MS);
    assert.equal(result.kind, 'timedOut');
    assert.match(result.output, /what it started in the background did not/);
    assert.equal(await place.isChildRunning(), false);
  });

  it('does not wait for a service that left the run', async (t) => {
    const place = await Place.open(t, `${HANGS}\nsetsid --fork env -u DROVER_RUN "$OUT/left"`);
    const { result } = await place.run('switch');
    assert.equal(result.kind, 'ok');
    await waitUntil('the service', () => place.isChildRunning());
    process.kill(Number(await place.read('child')), 'SIGKILL');
  });

  it('is forced when the agent stops', async (t) => {
    const place = await Place.open(t, `${HANGS}\nsetsid --fork "$OUT/left"\nsleep 300`);
    const stop = new AbortController();
    const running = place.run('switch', LONG_MS, stop.signal);
    await waitUntil('what it left', () => place.isChildRunning());
    stop.abort(new Error('agent stops'));
    await assert.rejects(running, /agent stops/);
    assert.equal(await place.isChildRunning(), false);
  });

  for (const [where, start] of Object.entries(APART).slice(1, -1)) {
    it(`is forced by the next agent for what a killed one left in ${where}`, async (t) => {
      const script = `[ "$1" = version ] && exit 0\n${HANGS}\n${start}\nsleep 300`;
      const place = await Place.open(t, script);
      const first = place.run('switch');
      await waitUntil('what it left', () => place.isChildRunning());
      // Another agent, which does not know of the first run but by its note.
      assert.equal((await place.run('version')).result.kind, 'ok');
      assert.equal(await place.isChildRunning(), false);
      assert.equal((await first).result.kind, 'failed');
    });
  }
});

describe('the answer of version', () => {
  const said = async (t: TestContext, script: string) => {
    const { root, modules } = await Place.open(t, script);
    const on = { component: 'arm', layout: layoutOf(root), disk: realDisk };
    const strategy = new ModuleStrategy('arm', { ...on, modules: new ModuleFolder(modules) });
    return await strategy.said({ version: '1.1.0', previousVersion: null });
  };

  const NONE: Readonly<Record<string, readonly [script: string, why: RegExp]>> = {
    'does not end': ['yes', /it wrote more than 1024 bytes to stdout, and was killed/],
    'has control characters': ["printf '\\0331.1.0'", /printed \\u\{1b\}1\.1\.0, which is no/],
    'has two lines': ['echo 1.1.0; echo 1.2.0', /printed 1\.1\.0\\u\{a\}1\.2\.0, which is no/],
    'is too long': ['printf %070d 1', /printed 0{64}…, which is no version/],
  };
  for (const [which, [script, why]] of Object.entries(NONE)) {
    it(`is unknown for one that ${which}`, async (t) => {
      const answer = await said(t, script);
      assert.equal(answer.kind, 'unknown');
      assert.match(answer.why, why);
    });
  }

  it('is nothing for an empty line', async (t) => {
    assert.deepEqual(await said(t, 'echo'), { kind: 'version', version: null });
  });
});
