import { describeCuts } from '../crash/describe-cuts.ts';
import { SCENARIOS } from '../crash/scenarios.ts';

describeCuts('a power cut, a kill, or a cut in mid-recovery after any operation', SCENARIOS, {
  oneIn: 1,
});
