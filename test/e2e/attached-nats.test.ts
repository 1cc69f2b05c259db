import { startNats } from '../helpers/nats.ts';
import { describeAttached } from './attached.ts';

describeAttached('one nats-server with its MQTT gateway', async (t) => {
  let running = await startNats(t);
  if (!running) return null;
  const { url, port, folder } = running;
  return {
    url,
    profile: 'nats',
    stop: async () => {
      await running?.child.stop();
    },
    start: async () => {
      running = await startNats(t, { port, folder });
    },
  };
});
