import { startNats } from '../helpers/nats.ts';
import { describeUpdates } from './life.ts';

describeUpdates('one nats-server with its MQTT gateway', startNats);
