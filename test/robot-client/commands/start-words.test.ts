/** Options of the agent that are refused or warned about, each with the rule behind it. */

import assert from 'node:assert/strict';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { warnOfHooks } from '../../../robot-client/commands/module-options.ts';
import { parseRoots } from '../../../robot-client/commands/options.ts';
import { parseDevices } from '../../../robot-client/commands/system-options.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

async function warnedOf(folder: string): Promise<string[]> {
  const said: string[] = [];
  const warn = (_facts: object, what: string): void => void said.push(what);
  await warnOfHooks(folder, { ...makeLog('test', 'silent'), warn });
  return said;
}

describe('the agent at its start', () => {
  it('says which rule --slot-device breaks', () => {
    const wrong: [string, RegExp][] = [
      ['A', /want NAME=PATH/],
      ['A=slot-a', /want an absolute path.*\(got "A=slot-a"\)/],
      ['A=/a,A=/b', /slot A is given twice/],
      ['A=/a,B=/a', /slots A and B have one device/],
    ];
    for (const [text, why] of wrong) assert.throws(() => parseDevices([text]), why);
    assert.equal(parseDevices(['A=/a,B=/b']).size, 2);
  });

  it('says how several roots are named', () => {
    const twice = /component is given twice \(got app\): name each component, --root NAME=DIR/;
    assert.throws(() => parseRoots(['/a', '/b']), twice);
    assert.throws(() => parseRoots(['a=/a', 'b=/a']), /the same root is given twice \(got \/a\)/);
  });

  it('finds one device for both slots however its path is spelled', async (t) => {
    const folder = await tempFolder(t);
    await writeFile(join(folder, 'slot'), '');
    await symlink('slot', join(folder, 'link'));
    await link(join(folder, 'slot'), join(folder, 'hard'));
    const path = join(folder, 'slot');
    for (const other of ['link', 'hard', './slot', '../' + basename(folder) + '/slot']) {
      const text = `A=${path},B=${folder}/${other}`;
      assert.throws(() => parseDevices([text]), /slots A and B have one device/, other);
    }
    assert.throws(() => parseDevices(['A=/dev/null,B=/dev/../dev/null']), /have one device/);
    assert.throws(() => parseDevices(['A=/no/slot,B=/no/./slot']), /have one device/);
  });

  it('names a hook or a module that is not run because of how its name is spelled', async (t) => {
    const folder = join(await tempFolder(t), 'hooks');
    await mkdir(folder);
    for (const name of ['start', 'Health', 'rolled_back.sh', 'Start', 'README']) {
      await writeFile(join(folder, name), '', { mode: 0o755 });
    }
    await writeFile(join(folder, 'stop.conf'), '', { mode: 0o644 });
    const named = new Set<unknown>();
    const warn = (facts: object): void => {
      for (const value of Object.values(facts)) named.add(value);
    };
    await warnOfHooks(folder, { ...makeLog('test', 'silent'), warn });
    assert.deepEqual(
      [...named].sort(),
      [`${folder}/Health`, `${folder}/rolled_back.sh`, 'health', 'rolled-back'].sort(),
    );
  });

  it('warns of a folder of hooks that was named and has none', async (t) => {
    const folder = join(await tempFolder(t), 'hooks');
    assert.match(
      (await warnedOf(folder)).join(),
      /no folder of --hooks: every version is confirmed/,
    );
    await mkdir(folder);
    await writeFile(join(folder, 'README'), '');
    assert.match((await warnedOf(folder)).join(), /no hook in the folder of --hooks/);
    await writeFile(join(folder, 'health'), '');
    assert.deepEqual(await warnedOf(folder), []);
    assert.deepEqual(await warnedOf('/etc/drover/hooks.d'), [], 'it was not named');
  });
});
