import { describeCuts } from '../crash/describe-cuts.ts';
import { SCENARIOS } from '../crash/scenarios.ts';

describeCuts(
  'a kill, or a power cut in mid-recovery, after any operation of a long scenario',
  SCENARIOS.filter((one) => one.isLong === true),
  () => false,
);
