import { describeCuts } from './describe-cuts.ts';
import { SCENARIOS } from './scenarios.ts';

/** The campaign takes every state. */
const ONE_IN = 60;

describeCuts('a power cut after any operation', SCENARIOS, {
  oneIn: ONE_IN,
  isUpdateOnly: (one) => one.isLong === true,
});
