import { startMosquitto } from '../helpers/mosquitto.ts';
import { describeLife } from './life.ts';

describeLife('mosquitto with our mosquitto.conf', (t) => startMosquitto(t));
