/**
 * The updates whose every operation is cut: what is on the disk before, what is announced, and
 * which versions may be found running at any instant of it. Each is the real Component from start
 * to rest.
 */

import { folder, file, link, type FileImage, type FolderImage, type Image } from './disk-image.ts';
import { encodeMachineState, freshState } from '../../robot-client/update/state.ts';
import { ADOPTED, PATCHED, recipeOf, treeOf, type Robot } from './robot.ts';

export interface Scenario {
  readonly name: string;
  readonly start: FolderImage;
  /** Versions that may run after a cut; null where nothing may run. */
  readonly mayRun: readonly (string | null)[];
  /** Version that is announced last: what an interrupted update must still reach. */
  readonly last: string;
  /** Version that lost a file before: a boot leaves it for the whole one. */
  readonly damaged?: string;
  /** As `Disk.syncAllFrom` has it; more than a version has files when it is left out. */
  readonly syncAllFrom?: number;
  /** Version whose `start` hook fails, so that it is rolled back. */
  readonly sick?: string;
  /** Two updates, each a scenario of its own: cuts in mid-recovery are for the campaign. */
  readonly isLong?: boolean;
  run(robot: Robot): Promise<void>;
}

/** The files of a version wait for more of them, and then are synced one by one. */
export const SYNC_ALL_FROM = 9;

/** Announced when all is over: whatever happened, a robot must take the next version. */
export const NEXT = '1.9.0';
export const ANNOUNCED = ['1.0.0', '1.1.0', '1.2.0', PATCHED.to, NEXT] as const;

const disk = (app: Image | null): FolderImage =>
  folder({ robot: folder(app === null ? {} : { app }) });

/** As an installation leaves it: one release, or one more to go back to. */
function installed(active: string, rollback?: string, recipe?: FileImage): FolderImage {
  const versions = rollback === undefined ? [active] : [active, rollback];
  const links = {
    active: link(`releases/${active}`),
    ...(rollback !== undefined && { rollback: link(`releases/${rollback}`) }),
  };
  return withLinks(links, { versions, bases: recipe ? { [active]: recipe } : {} });
}

const throughRollback = (version: string): FolderImage =>
  withLinks(
    { active: link('rollback'), rollback: link(`releases/${version}`) },
    { versions: [version], bases: {} },
  );

function withLinks(
  links: Record<string, Image>,
  on: { versions: readonly string[]; bases: Record<string, Image> },
): FolderImage {
  const releases = folder(Object.fromEntries(on.versions.map((one) => [one, treeOf(one)])));
  // With a state: without one, a robot that can go back puts what runs on probation.
  const state = folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) });
  const bases = folder(on.bases);
  return disk(folder({ releases, bases, staging: folder({}), state, ...links }));
}

/** The active release lost a file; `rollback` leads to a whole one. Both have their recipes. */
async function damaged(active: string, rollback: string): Promise<FolderImage> {
  const [lost, whole] = [treeOf(active), treeOf(rollback)];
  const entries = new Map(lost.entries);
  entries.delete('VERSION.txt');
  const releases = folder({ [active]: { ...lost, entries }, [rollback]: whole });
  const bases = folder({
    [active]: await recipeOf(active),
    [rollback]: await recipeOf(rollback),
  });
  const state = folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) });
  const links = { active: link(`releases/${active}`), rollback: link(`releases/${rollback}`) };
  return disk(folder({ releases, bases, staging: folder({}), state, ...links }));
}

/**
 * Scenarios that each strategy has.
 * @param by completes their names: ` by a module`
 */
export const scenariosOfEach = (
  by: string,
  start: { readonly empty: FolderImage; readonly installed: FolderImage },
): readonly Scenario[] => {
  const first = {
    ...{ start: start.empty, mayRun: [null, '1.0.0'], last: '1.0.0' },
    run: (robot: Robot) => robot.open('1.0.0'),
  };
  const update = {
    ...{ start: start.installed, mayRun: ['1.0.0', '1.1.0'], last: '1.1.0' },
    run: (robot: Robot) => robot.open('1.1.0'),
  };
  return [
    { name: `first install${by}`, ...first },
    { name: `first install${by} that is rolled back`, ...first, sick: '1.0.0' },
    { name: `update${by} that is rolled back`, ...update, sick: '1.1.0' },
    {
      name: `update${by} that is recalled when it runs well`,
      ...update,
      run: async (robot) => {
        await robot.open('1.1.0');
        await robot.recall('1.1.0');
      },
    },
  ];
};

const OVER_DAMAGE = {
  start: await damaged('1.0.0', '0.9.0'),
  damaged: '1.0.0',
  mayRun: ['0.9.0', '1.0.0', '1.1.0'],
  last: '1.1.0',
  run: (robot: Robot) => robot.open('1.1.0'),
};

export const SCENARIOS: readonly Scenario[] = [
  // First: it comes by every fsync that only a later delta needs, so those are missed soon.
  {
    name: 'first install, and an update of it by a delta',
    isLong: true,
    start: disk(null),
    mayRun: [null, PATCHED.from, PATCHED.to],
    last: PATCHED.to,
    run: async (robot) => {
      await robot.open(PATCHED.from);
      await robot.update(PATCHED.to);
    },
  },
  {
    name: 'adoption of a plain active folder, and an update',
    start: disk(folder({ active: treeOf(ADOPTED), notes: file('not ours') })),
    mayRun: [ADOPTED, '1.1.0'],
    last: '1.1.0',
    run: (robot) => robot.open('1.1.0'),
  },
  ...scenariosOfEach('', { empty: disk(null), installed: installed('1.0.0') }),
  {
    name: 'update with an old release to collect',
    start: installed('1.0.0', '0.9.0'),
    mayRun: ['1.0.0', '1.1.0'],
    last: '1.1.0',
    run: (robot) => robot.open('1.1.0'),
  },
  {
    name: 'update whose files one syncfs makes durable',
    ...{ start: installed('1.0.0'), mayRun: ['1.0.0', '1.1.0'], last: '1.1.0' },
    syncAllFrom: 2,
    run: (robot) => robot.open('1.1.0'),
  },
  {
    name: 'update on a disk that has no syncfs',
    ...{ start: installed('1.0.0'), mayRun: ['1.0.0', '1.1.0'], last: '1.1.0' },
    syncAllFrom: Infinity,
    run: (robot) => robot.open('1.1.0'),
  },
  {
    name: 'update of a robot that a person took back with `active -> rollback`',
    start: throughRollback('1.0.0'),
    mayRun: ['1.0.0', '1.1.0'],
    last: '1.1.0',
    run: (robot) => robot.open('1.1.0'),
  },
  { name: 'update over a release that lost a file', ...OVER_DAMAGE },
  {
    name: 'update over a release that lost a file, rolled back to the whole one',
    ...OVER_DAMAGE,
    sick: '1.1.0',
  },
  {
    name: 'update by a delta',
    start: installed(PATCHED.from, undefined, await recipeOf(PATCHED.from)),
    mayRun: [PATCHED.from, PATCHED.to],
    last: PATCHED.to,
    run: (robot) => robot.open(PATCHED.to),
  },
  {
    name: 'two updates in a row',
    isLong: true,
    start: installed('1.0.0'),
    mayRun: ['1.0.0', '1.1.0', '1.2.0'],
    last: '1.2.0',
    run: async (robot) => {
      await robot.open('1.1.0');
      await robot.update('1.2.0');
    },
  },
];
