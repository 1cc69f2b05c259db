import { startMosquitto } from '../helpers/mosquitto.ts';
import { describeGarbage } from '../e2e/garbage-attached.ts';

const notUsed = (): Promise<void> => Promise.resolve();

describeGarbage('a stock mosquitto', async (t) => {
  const running = await startMosquitto(t);
  return running && { url: running.url, profile: 'mosquitto', stop: notUsed, start: notUsed };
});
