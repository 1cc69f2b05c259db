/** A version that was confirmed is not taken back because its state is lost and the disk is full. */

import assert from 'node:assert/strict';
import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { noteConfirmed, wasConfirmedHere } from '../../../robot-client/install/marks.ts';
import { diskError } from '../../../robot-client/install/disk-error.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import {
  layoutOf,
  releaseFolder,
  sealFile,
  type Layout,
} from '../../../robot-client/install/layout.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import type { Problem } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { SlotWatch } from '../../../robot-client/update/slot-watch.ts';
import { systemError } from '../../helpers/system-error.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';
import { faultyDisk, isChange, type DiskOperation } from '../faulty-disk.ts';
import { makeSealedRelease } from './sealed-release.ts';

const NEW = '1.1.0';
const ERRNOS = ['ENOSPC', 'EDQUOT', 'EROFS'] as const;
type Errno = (typeof ERRNOS)[number];

/** A full disk takes no new bytes; links and names may still go. A read-only one takes nothing. */
function refusing(errno: Errno): Disk {
  const isRefused = (operation: DiskOperation): boolean =>
    errno === 'EROFS' ? isChange(operation) : ['create', 'mkdir', 'write'].includes(operation.name);
  return faultyDisk((operation) => {
    if (!isRefused(operation)) return;
    const { name, path } = operation;
    throw diskError(name, path, systemError(errno, name, path));
  });
}

const boot = (root: string, disk: Disk) =>
  recoverComponent({
    ...{ component: 'app', root, disk, hooksFolder: join(root, 'no-hooks') },
    ...{ bootsMax: 3, adoptVersion: '0.0.0' },
  });

const markOf = (layout: Layout): string => join(layout.seals, '.confirmed');

describe('an update that was confirmed', () => {
  for (const errno of ERRNOS) {
    it(`stays when its state is lost and the disk says ${errno} at the next boots`, async (t) => {
      const bench = await Bench.open(t);
      bench.announce(await fleet.makeBundle({ version: NEW }), NEW);
      await bench.runs(NEW);
      await bench.component.close();
      const layout = layoutOf(bench.root);
      await rm(layout.machineFile);
      for (const nth of [1, 2, 3, 4]) {
        const { version, actions, problems } = await boot(bench.root, refusing(errno));
        assert.equal(version, NEW, `boot ${nth}: ${actions.join('\n')}`);
        assert.match(actions.join('\n'), /1\.1\.0 stays, .* confirmed here/);
        assert.notDeepEqual(problems, [], 'the disk is told');
      }
      const after = await boot(bench.root, realDisk);
      assert.deepEqual([after.version, after.phase], [NEW, 'probation']);
    });
  }

  it('is marked again by the next agent where the mark is gone, and written once', async (t) => {
    const bench = await Bench.open(t);
    bench.announce(await fleet.makeBundle({ version: NEW }), NEW);
    await bench.runs(NEW);
    const layout = layoutOf(bench.root);
    await rm(markOf(layout), { force: true });
    let writes = 0;
    bench.gate = ({ name, path }) => {
      if (name === 'create' && path.includes('.confirmed')) writes += 1;
    };
    for (let nth = 0; nth < 3; nth += 1) {
      await bench.cutPower();
      const isMarked = () => wasConfirmedHere(realDisk, layout, NEW);
      await waitUntil('the mark to be there', isMarked);
    }
    await bench.component.close();
    assert.equal(writes, 1);
  });

  it('is said in the log, once for each cause, when the mark cannot be written', async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'drover-test-'));
    t.after(() => rm(root, { recursive: true }));
    const layout = layoutOf(root);
    await makeSealedRelease(layout, NEW);
    const [log, logged] = [makeLog('test', 'silent'), [] as string[]];
    log.warn = ({ problem }: { problem: Problem }) => void logged.push(problem.code);
    const watch = new SlotWatch({ disk: realDisk, layout, log });
    const clean = async (disk: Disk): Promise<void> => {
      const unmarked = await noteConfirmed(disk, layout, NEW);
      watch.cleaned({ left: [], damage: null, sealedAsFound: [], unmarked });
    };
    await mkdir(markOf(layout));
    await clean(realDisk);
    await clean(realDisk);
    await rm(markOf(layout), { recursive: true });
    await clean(refusing('EROFS'));
    await clean(realDisk);
    assert.deepEqual([logged.length, logged[1]], [2, 'DISK_READ_ONLY']);
    assert.ok(await wasConfirmedHere(realDisk, layout, NEW));
  });
});

describe('a version on probation', () => {
  it('goes back when its state is lost and its boot cannot be counted: it was never confirmed', async (t) => {
    const bench = await Bench.open(t);
    await bench.hook('health', 'exit 1');
    bench.announce(await fleet.makeBundle({ version: NEW }), NEW);
    const onTrial = new Promise<void>((resolve) => {
      bench.onPhase = (phase) => phase === 'probation' && resolve();
    });
    await onTrial;
    await bench.component.close();
    await rm(layoutOf(bench.root).machineFile);
    assert.equal((await boot(bench.root, refusing('ENOSPC'))).version, OLD);
  });
});

interface World {
  readonly mark: 'of NEW' | 'of OLD' | 'of other bytes' | 'none' | 'cut' | 'junk';
  readonly cutAt: number;
  readonly harm: 'none' | 'seal gone' | 'seal torn' | 'file gone' | 'file short' | 'mode';
  readonly state: 'gone' | 'empty' | 'junk' | 'folder gone';
  readonly errno: Errno;
  readonly boots: number;
}

const worlds: fc.Arbitrary<World> = fc.record({
  mark: fc.constantFrom('of NEW', 'of NEW', 'of OLD', 'of other bytes', 'none', 'cut', 'junk'),
  cutAt: fc.nat(999),
  harm: fc.constantFrom(
    'none',
    'none',
    'seal gone',
    'seal torn',
    'file gone',
    'file short',
    'mode',
  ),
  state: fc.constantFrom('gone', 'empty', 'junk', 'folder gone'),
  errno: fc.constantFrom(...ERRNOS),
  boots: fc.integer({ min: 1, max: 4 }),
});

async function build(layout: Layout, { mark, cutAt, harm, state }: World): Promise<void> {
  for (const version of [OLD, NEW]) await makeSealedRelease(layout, version);
  await symlink(`releases/${NEW}`, layout.active);
  await symlink(`releases/${OLD}`, layout.rollback);
  const tree = releaseFolder(layout, NEW);
  if (mark === 'of OLD') await noteConfirmed(realDisk, layout, OLD);
  else if (mark !== 'none') await noteConfirmed(realDisk, layout, NEW);
  if (mark === 'of other bytes') {
    await writeFile(join(tree, 'more'), 'of another build');
    await writeSeal(realDisk, layout, { version: NEW, tree });
  }
  const text = mark === 'cut' ? await readFile(markOf(layout)) : Buffer.alloc(0);
  if (mark === 'cut') await truncate(markOf(layout), Math.floor((text.length * cutAt) / 1000));
  if (mark === 'junk') await writeFile(markOf(layout), '{"version":7}');
  const run = join(tree, 'bin/run');
  if (harm === 'seal gone') await rm(sealFile(layout, NEW));
  if (harm === 'seal torn') await truncate(sealFile(layout, NEW), 30);
  if (harm === 'file gone') await rm(run);
  if (harm === 'file short') await truncate(run, 3);
  if (harm === 'mode') await chmod(run, 0o000);
  if (state === 'folder gone') return;
  await mkdir(layout.state);
  if (state !== 'gone') await writeFile(layout.machineFile, state === 'junk' ? '{"schema":7}' : '');
}

describe('a boot without a state on a disk that refuses', () => {
  it('leaves only what was not confirmed or is not whole, in any generated root', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drover-marks-'));
    const property = fc.asyncProperty(worlds, async (world) => {
      const layout = layoutOf(await mkdtemp(join(folder, 'w')));
      await build(layout, world);
      const isConfirmed = world.mark === 'of NEW' && world.harm === 'none';
      let last: string | null = NEW;
      for (let nth = 0; nth < world.boots; nth += 1) {
        const { version } = await boot(layout.root, refusing(world.errno));
        assert.ok(version === NEW || version === OLD, 'something boots');
        if (isConfirmed) assert.equal(version, NEW, 'what was confirmed stays');
        else if (world.errno !== 'EROFS') assert.equal(version, OLD, 'what was not goes back');
        if (last === OLD) assert.equal(version, OLD, 'it does not go round in circles');
        last = version;
      }
    });
    try {
      await fc.assert(property, { numRuns: 25 });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
