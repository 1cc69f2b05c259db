import { startMosquitto } from '../helpers/mosquitto.ts';
import { describeUpdates } from './life.ts';

describeUpdates('mosquitto with our mosquitto.conf', (t) => startMosquitto(t));
