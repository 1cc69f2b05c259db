/**
 * Garbage on an external engine, as a contract: an engine is a URL and a profile. An independent
 * client reads what the engine retains; the broker's own figures prove nothing.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import type { RolloutFields } from '../../shared/formats/announcement.ts';
import { peekEnvelope } from '../../shared/formats/envelope.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { CHUNKS_ROOT, robotTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild, type ApiRollout } from './attached-child.ts';
import type { StartStockEngine } from './attached.ts';
import { announce, LATER, witness } from './garbage.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import { Site } from './site.ts';

interface Said {
  readonly rollouts: readonly RolloutFields[];
}

const isComplete = ({ store }: ApiRollout): boolean => store?.status === 'complete';

/** Sees live what is put on the engine and what is cleared there. */
class Stranger {
  readonly retained = new Set<string>();
  #announced: Uint8Array | null = null;
  readonly #wire: MqttWire;

  private constructor(wire: MqttWire) {
    this.#wire = wire;
  }

  static async open(t: TestContext, url: string): Promise<Stranger> {
    const clientId = `stranger-${randomBytes(4).toString('hex')}`;
    const holder: { stranger: Stranger | null } = { stranger: null };
    const onMessage = (topic: string, payload: Uint8Array): void => {
      if (topic === UPDATES_TOPIC && holder.stranger) {
        holder.stranger.#announced = payload.slice();
        return;
      }
      if (payload.byteLength === 0) holder.stranger?.retained.delete(topic);
      else holder.stranger?.retained.add(topic);
    };
    const wire = await connectWire({ url, clientId }, { onMessage }, makeLog('test', 'silent'));
    t.after(() => wire.close());
    const stranger = new Stranger(wire);
    holder.stranger = stranger;
    await wire.subscribe([`${CHUNKS_ROOT}/#`, UPDATES_TOPIC], 1);
    return stranger;
  }

  /** The chunks that a client gets which connects now. */
  static async fresh(t: TestContext, url: string, expected: number): Promise<ReadonlySet<string>> {
    const one = await Stranger.open(t, url);
    await waitUntil(`${expected} chunks`, () => one.retained.size >= expected);
    await one.#wire.unsubscribe([`${CHUNKS_ROOT}/#`]);
    return one.retained;
  }

  announced(): Uint8Array {
    assert.ok(this.#announced);
    return this.#announced;
  }

  async say(announcement: Uint8Array): Promise<void> {
    await this.#wire.send(UPDATES_TOPIC, announcement, { retain: true, qos: 1 });
  }

  async want(hash: string): Promise<void> {
    const robot = 'r7' as RobotId;
    const want = encodeMessage({ robot_id: robot, at: '2026-01-01T00:00:00Z', chunks: [hash] });
    await this.#wire.send(robotTopic(robot, 'want'), want, { retain: false, qos: 1 });
  }
}

/** The same rollouts under a higher number, as an operator would sign them again. */
async function announceAgain(site: Site, seq: number, ...said: Uint8Array[]): Promise<Uint8Array> {
  const lists = said.map((one) => JSON.parse(new TextDecoder().decode(peekEnvelope(one))) as Said);
  const rollouts = lists.flatMap((one) => one.rollouts);
  return await announce(site, seq, rollouts);
}

export function describeGarbage(name: string, start: StartStockEngine): void {
  describe(`garbage on ${name}`, () => {
    it('is cleared there, and comes back from a copy when it is wanted or announced', async (t) => {
      const engine = await start(t);
      if (!engine) return;
      const site = await Site.open(t);
      const stranger = await Stranger.open(t, engine.url);
      const old = await site.bundle('1.0.0', { noise: randomBytes(400_000) });
      await site.publish(engine.url, old, '--chunk-size', '64k', '--id', 'first');
      const outdated = new Set(stranger.retained);
      assert.ok(outdated.size >= 7, `${outdated.size} chunks`);
      const broker = await AttachedChild.start(t, site, {
        ...{ engine: engine.url, data: 'broker', leads: false },
        args: ['--engine-profile', engine.profile, '--keep-unannounced', '6s'],
      });
      await broker.until('first', 'is looked at', isComplete);
      const first = stranger.announced();
      const next = await site.bundle('1.1.0', { noise: randomBytes(100_000) });
      await site.publish(engine.url, next, '--supersede', 'first', '--id', 'second');
      const needed = new Set([...stranger.retained].filter((one) => !outdated.has(one)));
      const { garbage, removed } = witness(broker.url, () => broker.child.describe());
      await removed('engine', outdated.size);
      assert.deepEqual(stranger.retained, needed, 'what is announced stays');
      assert.equal((await garbage('copies')).removed_chunks, 0, 'a copy outlives it');
      assert.deepEqual(await Stranger.fresh(t, engine.url, needed.size), needed);

      const [wanted] = outdated as Set<string> & [string];
      await stranger.want(wanted.slice(CHUNKS_ROOT.length + 1));
      await waitUntil('it to be there again', () => stranger.retained.has(wanted));
      await stranger.say(await announceAgain(site, LATER, first, stranger.announced()));
      await broker.until('first', 'is put back', isComplete);
      assert.deepEqual(stranger.retained, new Set([...outdated, ...needed]));
      await site.robot('r1', engine.url).runs('1.1.0');
    });
  });
}
