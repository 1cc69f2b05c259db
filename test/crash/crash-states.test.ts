import { describeCuts } from './describe-cuts.ts';
import { SCENARIOS } from './scenarios.ts';

describeCuts('a power cut after any operation', SCENARIOS, (one) => one.isLong === true);
