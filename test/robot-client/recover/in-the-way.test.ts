/**
 * Something of another kind stands where Drover's own file or folder goes: the error names it, not
 * the disk.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder } from '../../../robot-client/install/layout.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { writeMachineState } from '../../../robot-client/update/state-file.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

async function installed(t: TestContext) {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  const tree = releaseFolder(layout, '1.0.0');
  await mkdir(tree, { recursive: true });
  await writeFile(join(tree, 'run'), 'run', { mode: 0o755 });
  await writeSeal(realDisk, layout, { version: '1.0.0', tree });
  await symlink('releases/1.0.0', layout.active);
  await mkdir(layout.state);
  await writeMachineState(realDisk, layout, freshState());
  const recover = () =>
    recoverComponent({
      ...{ component: 'app', root, disk: realDisk, hooksFolder: join(root, 'none') },
      ...{ bootsMax: 3, adoptVersion: '0.0.0' },
    });
  return { root, recover };
}

const folderAt = (path: string) => mkdir(join(path, 'of-a-person'), { recursive: true });
const fifoAt = (path: string) => Promise.resolve(execFileSync('mkfifo', [path]));
const fileAt = async (path: string): Promise<void> => {
  await rm(path, { recursive: true, force: true });
  await writeFile(path, 'of a person');
};

const ODD = [
  ['a folder at state/machine.json.new', 'state/machine.json.new', folderAt],
  ['a FIFO at state/machine.json.new', 'state/machine.json.new', fifoAt],
  ['a file at staging', 'staging', fileAt],
  ['a file at seals', 'seals', fileAt],
] as const;

describe('recover in a root where something stands in the way', () => {
  for (const [what, name, put] of ODD) {
    it(`names ${what} to be moved away, and leaves it`, async (t) => {
      const { root, recover } = await installed(t);
      await put(join(root, name));
      const { version, problems } = await recover();
      assert.equal(version, '1.0.0');
      const [problem] = problems;
      assert.equal(problem?.code, 'NOT_A_FILE', JSON.stringify(problems));
      assert.ok(problem.hint.includes(`move ${join(root, name)} away`), problem.hint);
      assert.ok(existsSync(join(root, name)));
      await rm(join(root, name), { recursive: true });
      assert.deepEqual((await recover()).problems, []);
    });
  }

  for (const mark of ['i', 'a']) {
    it(`names chattr for a state file with the mark ${mark}`, async (t) => {
      const { root, recover } = await installed(t);
      const file = join(root, 'state/machine.json');
      try {
        execFileSync('chattr', [`+${mark}`, file], { stdio: 'ignore' });
      } catch {
        return t.skip('no such marks here, or not the user to set them');
      }
      const { problems } = await recover().finally(() =>
        execFileSync('chattr', [`-${mark}`, file]),
      );
      assert.equal(problems[0]?.code, 'PERMISSION_DENIED', JSON.stringify(problems));
      assert.ok(problems[0].hint.includes(`lsattr -d ${file}`), problems[0].hint);
      assert.match(problems[0].hint, /chattr -i -a/);
    });
  }
});

describe('an update of a root where something stands in the way', () => {
  it('names a folder at the place of its record, and goes on when that was moved away', async (t) => {
    const bench = await Bench.open(t);
    const at = join(bench.root, 'bases/1.1.0');
    await folderAt(at);
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await waitUntil('a report', () => bench.codes.includes('NOT_A_FILE'), {
      look: () => bench.describe(),
    });
    const { lastProblem, blocked } = bench.component.view.state;
    assert.ok(lastProblem?.hint.includes(`move ${at} away`), lastProblem?.hint);
    assert.deepEqual(blocked, []);
    assert.deepEqual(await readdir(at), ['of-a-person']);
    await rm(at, { recursive: true });
    bench.clockOffMs += 3_600_000;
    bench.offer();
    await bench.runs('1.1.0');
  });

  it('names a file at kept, which holds up no release', async (t) => {
    const bench = await Bench.open(t);
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await bench.runs('1.1.0');
    await fileAt(join(bench.root, 'kept'));
    bench.announce(await fleet.makeBundle({ version: '1.2.0' }), '1.2.0');
    await bench.runs('1.2.0');
    assert.ok(
      bench.codes.every((code) => code === 'NOT_A_FILE'),
      bench.codes.join(' '),
    );
    const said = bench.component.view.live.refusal?.problem;
    if (said) assert.ok(said.hint.includes(`move ${join(bench.root, 'kept')} away`), said.hint);
  });
});
