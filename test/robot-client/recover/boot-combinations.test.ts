/**
 * `recover` over roots that went wrong in several ways at once: releases that lost files, links that
 * are gone or a person's, states of every phase or none. The judge knows what was written and reads
 * the disk by its own means.
 */

import assert from 'node:assert/strict';
import {
  chmod,
  mkdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { relinked, stateAfterLoss } from '../../../robot-client/update/lost-state.ts';
import {
  encodeMachineState,
  freshState,
  parseMachineState,
} from '../../../robot-client/update/state.ts';
import { NO_SLOTS } from '../../../robot-client/install/slots.ts';
import { DroverError, nullIfRefused } from '../../../shared/base/errors.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { faultyDisk } from '../faulty-disk.ts';

const VERSIONS = ['1.0.0', '1.1.0', '1.2.0'] as const;
type Version = (typeof VERSIONS)[number];
const [OLDEST, OLD, NEW] = VERSIONS;
const PROGRAM = 'bin/run';
const NEWER = JSON.stringify({ ...freshState(), schema: 999 });
const NOTES = 'of a person';
const LIBRARY = 'lib/data';

const LOSSES = ['none', 'gone', 'empty', 'cut', 'mode', 'library', 'release'] as const;
type Loss = (typeof LOSSES)[number];
/** A state that is not ours to change: of a newer drover-robot, or of another user. */
const CLOSED = ['newer', 'forbidden'] as const;
/** `chosen`: by a technician, and cut before the link was made or after it. */
const PHASES = [
  ...(['idle', 'probation', 'swapping', 'rolling_back', 'lost', 'chosen'] as const),
  ...CLOSED,
] as const;

interface World {
  readonly losses: Readonly<Record<Version, Loss>>;
  readonly active: Version | 'absent';
  readonly rollback: Version | 'absent' | 'dangling' | 'loop' | 'folder' | 'outside';
  readonly phase: (typeof PHASES)[number];
  /** A person's folder where `active` is made. */
  readonly isOccupied: boolean;
  readonly isBoot: boolean;
}

const loss = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Loss>('none') },
  { weight: 4, arbitrary: fc.constantFrom<Loss>(...LOSSES) },
);
const world: fc.Arbitrary<World> = fc.record({
  losses: fc.record({ [OLDEST]: loss, [OLD]: loss, [NEW]: loss }) as fc.Arbitrary<World['losses']>,
  active: fc.constantFrom<World['active']>(NEW, NEW, OLD, 'absent'),
  rollback: fc.constantFrom<World['rollback']>(
    ...([OLD, OLD, OLDEST, 'absent', 'dangling', 'loop', 'folder', 'outside'] as const),
  ),
  phase: fc.constantFrom(...PHASES),
  isOccupied: fc.boolean(),
  isBoot: fc.boolean(),
});

const isClosed = ({ phase }: World): boolean => CLOSED.some((one) => one === phase);

const program = (version: Version): string => `#!/bin/sh\necho ${version}\n`;

async function lose(tree: string, what: Loss): Promise<void> {
  if (what === 'gone') await rm(join(tree, PROGRAM));
  if (what === 'empty') await truncate(join(tree, PROGRAM), 0);
  if (what === 'cut') await truncate(join(tree, PROGRAM), 5);
  if (what === 'mode') await chmod(join(tree, PROGRAM), 0o600);
  if (what === 'library') await rm(join(tree, LIBRARY));
  if (what === 'release') await rm(tree, { recursive: true });
}

async function make(layout: Layout, made: World): Promise<void> {
  for (const version of VERSIONS) {
    const tree = releaseFolder(layout, version);
    await mkdir(join(tree, 'bin'), { recursive: true });
    await mkdir(join(tree, 'lib'));
    await writeFile(join(tree, PROGRAM), program(version), { mode: 0o755 });
    await writeFile(join(tree, LIBRARY), 'data');
    await writeSeal(realDisk, layout, { version, tree });
    await lose(tree, made.losses[version]);
  }
  if (made.active !== 'absent') await symlink(`releases/${made.active}`, layout.active);
  await makeRollback(layout, made.rollback);
  await mkdir(layout.state);
  if (made.isOccupied) {
    await mkdir(`${layout.active}.new`);
    await writeFile(`${layout.active}.new/notes`, NOTES);
  }
  const state = stateIn(made.phase);
  if (isClosed(made)) await writeFile(layout.machineFile, NEWER);
  else if (state) await writeFile(layout.machineFile, encodeMachineState(state));
}

async function makeRollback(layout: Layout, rollback: World['rollback']): Promise<void> {
  if (rollback === 'absent') return;
  if (rollback === 'folder') {
    await mkdir(layout.rollback);
    return;
  }
  const special = { dangling: 'elsewhere/1.0', loop: 'rollback', outside: '/usr' };
  const target = special[rollback as keyof typeof special] ?? `releases/${rollback}`;
  await symlink(target, layout.rollback);
}

/** An update from the old to the new version, in that phase; null for a state that is none of ours. */
function stateIn(phase: World['phase']) {
  if (phase === 'lost' || phase === 'newer' || phase === 'forbidden') return null;
  if (phase === 'idle') return { ...freshState(), lastActive: NEW };
  if (phase === 'chosen') {
    return relinked(freshState(), { version: OLD, previous: null, left: null }, 1);
  }
  const slot = (version: Version) => ({
    ...({ kind: 'release', version, isOurs: true, isOutside: false, way: [] } as const),
    end: { path: version, id: version },
  });
  const both = { ...NO_SLOTS, active: slot(NEW), rollback: slot(OLD) };
  return { ...stateAfterLoss(both, null, 1), phase } as const;
}

/** The version that boots, when every byte of it is as it was written; else null. */
async function bootsWhole(layout: Layout): Promise<Version | null> {
  try {
    const version = basename(await realpath(layout.active)) as Version;
    const path = join(layout.active, PROGRAM);
    const isRunnable = ((await stat(path)).mode & 0o111) !== 0;
    const isWhole =
      (await readFile(path, 'utf8')) === program(version) &&
      (await readFile(join(layout.active, LIBRARY), 'utf8')) === 'data';
    return isWhole && isRunnable ? version : null;
  } catch {
    return null;
  }
}

/**
 * Releases that may boot instead: not newer than what ran, and not what was never confirmed.
 * Without a state and a link, nothing newer than what `rollback` leads to is known to have run.
 */
function candidates(made: World): Version[] {
  const { losses, active, rollback, phase } = made;
  if (isClosed(made)) return VERSIONS.filter((version) => losses[version] === 'none');
  const isUnknown = phase === 'lost' && active === 'absent';
  const atRest = active === OLD ? OLD : NEW;
  const back = VERSIONS.find((version) => version === rollback) ?? NEW;
  const top = isUnknown ? back : phase === 'idle' ? atRest : OLD;
  return VERSIONS.filter((version) => version <= top && losses[version] === 'none');
}

/** The disk as this user may read it. */
function diskOf({ phase }: World, { machineFile }: Layout): Disk {
  if (phase !== 'forbidden') return realDisk;
  return faultyDisk(({ name, path }) => {
    if (name !== 'readFile' || path !== machineFile) return;
    throw new DroverError('PERMISSION_DENIED', `read ${path}: EACCES`);
  });
}

/** Of what is on probation, when it can be read. */
async function bootsCounted({ machineFile }: Layout): Promise<number> {
  const bytes = await readFile(machineFile).catch(() => null);
  const state = nullIfRefused(() => bytes && parseMachineState(bytes));
  return state?.job?.boots ?? 0;
}

/** Files that are not Drover's, or not for it to change, are as they were made. */
async function assertUntouched(layout: Layout, made: World): Promise<void> {
  if (isClosed(made)) assert.equal(await readFile(layout.machineFile, 'utf8'), NEWER);
  if (!made.isOccupied) return;
  assert.equal(await readFile(`${layout.active}.new/notes`, 'utf8'), NOTES);
}

describe('a boot of a root that went wrong in several ways', () => {
  it('ends on a whole release when there is one that may run, and reports each time when not', async () => {
    let healed = 0;
    await fc.assert(
      fc.asyncProperty(world, async (made) => {
        // A root without releases and links is one in which nothing was ever installed.
        fc.pre(made.active !== 'absent' || VERSIONS.some((one) => made.losses[one] !== 'release'));
        await withTempFolder(async (folder) => {
          const layout = layoutOf(join(folder, 'app'));
          await make(layout, made);
          const wasWhole = (await bootsWhole(layout)) !== null;
          const { isBoot } = made;
          for (let boot = 1; boot <= 2; boot += 1) {
            const { problems, actions } = await recoverComponent({
              ...{ component: 'app', root: layout.root, disk: diskOf(made, layout), bootsMax: 3 },
              ...{ hooksFolder: join(folder, 'hooks'), adoptVersion: '0.0.0', isBoot },
            });
            await assertUntouched(layout, made);
            if (!isBoot) assert.equal(await bootsCounted(layout), 0, actions.join('; '));
            if (await bootsWhole(layout)) continue;
            const said = actions.join('; ');
            const mayAsk = !isClosed(made) && made.phase !== 'chosen';
            const asks = mayAsk && problems.some(({ code }) => code === 'RELEASE_LOST');
            assert.ok(problems.length > 0, `boot ${boot} said nothing: ${said}`);
            assert.ok(asks || candidates(made).length === 0, `boot ${boot} left it so: ${said}`);
            assert.ok(!wasWhole, `boot ${boot} left a whole release: ${said}`);
          }
          if (!wasWhole && (await bootsWhole(layout))) healed += 1;
        });
      }),
      { numRuns: 40, includeErrorInReport: true },
    );
    assert.ok(healed > 3, `${healed} roots were healed: too few to say anything`);
  });
});
