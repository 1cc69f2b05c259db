import { startNats } from '../helpers/nats.ts';
import { describeLife } from './life.ts';

describeLife('one nats-server with its MQTT gateway', startNats);
