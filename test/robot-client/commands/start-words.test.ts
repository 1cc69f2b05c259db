/** Options of the agent that are refused or warned about, each with the rule behind it. */

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
