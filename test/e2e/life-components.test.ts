/** Updates and rollbacks of the second component of a robot, beside a first one. */

import { startBrokerChild } from './broker-child.ts';
import { describeUpdates } from './life.ts';

describeUpdates('drover-broker, for the second of two components', startBrokerChild, [
  'app',
  'nav',
]);
