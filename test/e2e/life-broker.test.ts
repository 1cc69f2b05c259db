import { startBrokerChild } from './broker-child.ts';
import { describeLife } from './life.ts';

describeLife('drover-broker', (t) => startBrokerChild(t));
