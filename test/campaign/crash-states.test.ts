import { describeCuts } from '../crash/describe-cuts.ts';
import { BOARD_STRATEGY } from '../crash/model-board.ts';
import { MODULE_SCENARIOS } from '../crash/module-scenarios.ts';
import { SCENARIOS } from '../crash/scenarios.ts';

describeCuts('a power cut, a kill, or a cut in mid-recovery after any operation', SCENARIOS, {
  oneIn: 1,
});

describeCuts('the same where a module applies the releases', MODULE_SCENARIOS, {
  ...{ oneIn: 1, strategy: BOARD_STRATEGY },
});
