import { describeLife } from '../e2e/life.ts';
import { startNats } from '../helpers/nats.ts';

describeLife('one nats-server with its MQTT gateway', startNats);
