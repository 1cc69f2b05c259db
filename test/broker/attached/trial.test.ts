/** Engines are tried out before anything relies on them: whole ones, and ones that lack one thing. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { judgeTrial, tryEngine, type EngineNeed } from '../../../broker/attached/trial.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { connectWire } from '../../../shared/io/mqtt-wire.ts';
import { startLameEngine, type Lame } from '../../helpers/lame-engine.ts';
import { startMosquitto } from '../../helpers/mosquitto.ts';
import { startNats } from '../../helpers/nats.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

/** Less than in the field, where an engine may be far away. */
const ANSWER_MS = 2_500;
const log = makeLog('test', 'silent');
const triedAt = (url: string) =>
  tryEngine({ address: { url }, clientId: 'drover-broker-1', log, answerMs: ANSWER_MS });

async function lackOf(t: TestContext, lame: Lame): Promise<readonly EngineNeed[] | null> {
  return await triedAt((await startLameEngine(t, lame)).url);
}

/** Our topics on which the engine retains a message now. */
async function retainedAt(url: string): Promise<string[]> {
  const found: string[] = [];
  const onMessage = (topic: string, payload: Uint8Array): void => {
    if (payload.byteLength > 0) found.push(topic);
  };
  const wire = await connectWire({ url, clientId: 'after' }, { onMessage }, log);
  await wire.subscribe(['fleet/#'], 1);
  await wire.send('fleet/trust/end', new Uint8Array([1]), { retain: false, qos: 1 });
  await waitUntil('the end', async () => found.includes('fleet/trust/end'));
  await wire.close();
  return found.filter((topic) => topic !== 'fleet/trust/end');
}

describe('an engine that is tried out', () => {
  for (const [what, lame, lacks] of [
    ['does all of it', {}, []],
    ['retains nothing', { retains: false }, ['retained']],
    ['ends who sends something retained', { takesRetained: false }, ['retained']],
    ['hands nothing retained to wildcards', { retainsForWildcards: false }, ['wildcards']],
    ['keeps what was cleared', { clears: false }, ['cleared']],
    ['keeps no session', { keepsSessions: false }, ['sessions']],
    ['changes the order', { keepsOrder: false }, ['order']],
    ['takes no large packet', { payloadBytesMax: 100_000 }, ['size']],
  ] as const) {
    it(`is told by what it lacks: ${what}`, async (t) => {
      const found = await lackOf(t, lame);
      const isOf = (need: EngineNeed): boolean => found?.includes(need) === true;
      assert.deepEqual(lacks.filter(isOf), lacks);
      // An order that is changed changes which word was the last one, too.
      if (what !== 'changes the order') assert.deepEqual(found, lacks);
    });
  }

  it('is not judged where its access list drops what it is tried with', async (t) => {
    const denies = (topic: string): boolean => topic.startsWith('fleet/trust/');
    assert.equal(await lackOf(t, { denies }), null);
  });

  it('is refused for what would steer robots wrongly, and told of the rest', () => {
    for (const need of ['retained', 'wildcards', 'cleared'] as const)
      assert.throws(() => judgeTrial(['order', need]), { code: 'ENGINE_UNFIT' });
    assert.equal(judgeTrial(['order', 'sessions', 'size']).length, 3);
    assert.deepEqual(judgeTrial([]), []);
  });

  it('may be a stock mosquitto, and has nothing of the trial afterwards', async (t) => {
    const engine = await startMosquitto(t);
    if (!engine) return;
    assert.deepEqual(await triedAt(engine.url), []);
    assert.deepEqual(await retainedAt(engine.url), []);
  });

  it('may be a NATS server, and has nothing of the trial afterwards', async (t) => {
    const engine = await startNats(t);
    if (!engine) return;
    assert.deepEqual(await triedAt(engine.url), []);
    assert.deepEqual(await retainedAt(engine.url), []);
  });
});
