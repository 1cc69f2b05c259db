/** The rest of the life of a bundle for the second of two components, and a recall of it. */

import { startBrokerChild } from './broker-child.ts';
import { describeRest } from './life.ts';
import { describeRecall } from './recall.ts';

const TWO = ['app', 'nav'];

describeRest('drover-broker, for the second of two components', startBrokerChild, TWO);
describeRecall(TWO);
