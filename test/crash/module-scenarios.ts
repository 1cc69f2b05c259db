/** Updates by a module whose every operation is cut, those of the module itself among them. */

import { encodeMachineState, freshState } from '../../robot-client/update/state.ts';
import { BOARD_STRATEGY, boardWith } from './model-board.ts';
import { file, folder, link, type FileImage, type FolderImage } from './disk-image.ts';
import { PATCHED, recipeOf, treeOf } from './robot.ts';
import { scenariosOfEach, type Scenario } from './scenarios.ts';

const FACTORY = folder({ robot: folder({}), board: boardWith(null) });

/** As an installation leaves it, with the board on that version. */
function installed(version: string, recipe?: FileImage): FolderImage {
  const state = folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) });
  const app = folder({
    ...{ releases: folder({ [version]: treeOf(version) }), active: link(`releases/${version}`) },
    ...{ state, bases: folder(recipe ? { [version]: recipe } : {}), staging: folder({}) },
    strategies: folder({ [version]: file(`${BOARD_STRATEGY}\n`, 0o600) }),
  });
  return folder({ robot: folder({ app }), board: boardWith(version) });
}

export const MODULE_SCENARIOS: readonly Scenario[] = [
  ...scenariosOfEach(' by a module', { empty: FACTORY, installed: installed('1.0.0') }),
  {
    name: 'update by a module',
    start: installed('1.0.0'),
    mayRun: ['1.0.0', '1.1.0'],
    last: '1.1.0',
    run: (robot) => robot.open('1.1.0'),
  },
  {
    name: 'update by a delta and a module',
    start: installed(PATCHED.from, await recipeOf(PATCHED.from)),
    mayRun: [PATCHED.from, PATCHED.to],
    last: PATCHED.to,
    run: (robot) => robot.open(PATCHED.to),
  },
];
