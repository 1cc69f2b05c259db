import { startMosquitto } from '../helpers/mosquitto.ts';
import { describeAttached } from './attached.ts';

describeAttached('mosquitto with our mosquitto.conf', async (t) => {
  let running = await startMosquitto(t);
  if (!running) return null;
  const { url, port, folder } = running;
  return {
    url,
    profile: 'mosquitto',
    stop: async () => {
      await running?.child.stop();
    },
    start: async () => {
      running = await startMosquitto(t, { port, folder });
    },
  };
});
