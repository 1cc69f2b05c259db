/** An engine that stops retaining while a broker is attached: in-process, with the real links. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { judgeKept } from '../../../broker/attached/engine-needs.ts';
import { RetainedWatch } from '../../../broker/attached/retained-watch.ts';
import { engineProfile } from '../../../broker/mqtt/engine-profile.ts';
import type { Problem } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { connectWire } from '../../../shared/io/mqtt-wire.ts';
import { startLameEngine, type Lame } from '../../helpers/lame-engine.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const TOPIC = 'fleet/updates';
const SLOW = { timeoutMs: 60_000 };

/** A watch over one message on an engine whose faults a test changes as it goes. */
async function stage(t: TestContext) {
  const lame: { -readonly [Name in keyof Lame]?: Lame[Name] } = {};
  const { url } = await startLameEngine(t, lame);
  const clientId = `w-${randomBytes(4).toString('hex')}`;
  const log = makeLog('test', 'silent');
  const wire = await connectWire(
    { url, clientId: `${clientId}-own` },
    { onMessage: () => {} },
    log,
  );
  t.after(() => wire.close());
  const put = (text: string): Promise<void> =>
    wire.send(TOPIC, Buffer.from(text), { retain: true, qos: 1 });
  await put('ours');
  const told: (Problem | null)[] = [];
  const lost: string[] = [];
  const watch = new RetainedWatch({
    ...{ address: { url }, profile: engineProfile('mosquitto'), clientId, log },
    expected: () => [TOPIC],
    lost: (topics) => {
      lost.push(...topics);
      put('ours').catch(() => {}); // an engine that takes none ends the connection
    },
    tell: (problem) => told.push(problem),
  });
  t.after(() => watch.close());
  const until = (what: string, holds: () => boolean) =>
    waitUntil(what, holds, { ...SLOW, look: () => JSON.stringify({ told, lost }) });
  return { lame, put, told, lost, watch, until };
}

describe('a look at what an engine retains', { concurrency: 4 }, () => {
  it('says nothing of one that keeps it', async (t) => {
    const { told, lost, watch, until } = await stage(t);
    watch.soon();
    await until('a look', () => told.length > 0);
    assert.deepEqual([told, lost], [[null], []]);
  });

  it('has what was emptied put back, and calls that no fault of the engine', async (t) => {
    const { put, told, lost, watch, until } = await stage(t);
    await put('');
    watch.soon({ isTried: true });
    await until('two looks', () => told.length > 1);
    assert.deepEqual([told.slice(0, 2), lost], [[null, null], [TOPIC]]);
  });

  for (const [what, fault] of [
    ['hands nothing out', { retains: false }],
    ['ends the connection of who sends a retained message', { takesRetained: false }],
  ] as const) {
    it(`finds one that ${what} unfit, and fit when that is over`, async (t) => {
      const { lame, told, watch, until } = await stage(t);
      Object.assign(lame, fault);
      watch.soon();
      await until('it is unfit', () => told.at(-1)?.code === 'ENGINE_UNFIT');
      for (const name of Object.keys(fault)) delete lame[name as keyof Lame];
      await until('it is fit', () => told.at(-1) === null);
    });
  }

  it('finds one unfit that keeps others and not what was put back', () => {
    const kept = { missing: [TOPIC], takes: true };
    assert.equal(judgeKept(kept, new Set()), null);
    const problem = judgeKept(kept, new Set([TOPIC]));
    assert.equal(problem?.code, 'ENGINE_UNFIT');
    assert.match(problem.message, /acknowledged fleet\/updates and does not keep it/);
    assert.equal(judgeKept({ missing: [], takes: true }, new Set([TOPIC])), null);
  });
});
