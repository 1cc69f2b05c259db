import { describeCuts } from './describe-cuts.ts';
import { BOARD_STRATEGY } from './model-board.ts';
import { MODULE_SCENARIOS } from './module-scenarios.ts';

/** Each robot asks its module at rest as well, so the walk takes longer than without. */
const ONE_IN = 36;
const STATES_MIN = 180;

describeCuts('a power cut after any operation of a module or the agent', MODULE_SCENARIOS, {
  ...{ oneIn: ONE_IN, statesMin: STATES_MIN, strategy: BOARD_STRATEGY },
});
