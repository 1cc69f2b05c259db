import { startNats } from '../helpers/nats.ts';
import { describeGarbage } from '../e2e/garbage-attached.ts';

const notUsed = (): Promise<void> => Promise.resolve();

describeGarbage('one nats-server', async (t) => {
  const running = await startNats(t);
  return running && { url: running.url, profile: 'nats', stop: notUsed, start: notUsed };
});
