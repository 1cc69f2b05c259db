/** The rest of the life of a bundle for the second of two components, and a recall of it. */

import { startBrokerChild } from '../e2e/broker-child.ts';
import { describeRest } from '../e2e/life.ts';
import { describeRecall } from '../e2e/recall.ts';

const TWO = ['app', 'nav'];

describeRest('drover-broker, for the second of two components', startBrokerChild, TWO);
describeRecall(TWO);
