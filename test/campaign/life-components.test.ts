/** The rest of the life of a bundle for the last of two and of three components, and its recall. */

import { startBrokerChild } from '../e2e/broker-child.ts';
import { describeRest } from '../e2e/life.ts';
import { describeRecall } from '../e2e/recall.ts';

const TWO = ['app', 'nav'];
const THREE = [...TWO, 'arm'];

describeRest('drover-broker, for the second of two components', startBrokerChild, TWO);
describeRest('drover-broker, for the third of three components', startBrokerChild, THREE);
describeRecall(TWO);
describeRecall(THREE);
