import { startMosquitto } from '../helpers/mosquitto.ts';
import { describeRest } from './life.ts';

describeRest('mosquitto with our mosquitto.conf', (t) => startMosquitto(t));
