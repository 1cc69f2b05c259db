/** Garbage on an external engine and in our copies of its chunks, with an engine in memory. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Closers } from '../../../shared/io/closers.ts';
import {
  collectFromEngine,
  type CollectingFromEngine,
} from '../../../broker/attached/collect-from-engine.ts';
import { engineProfile, type EngineName } from '../../../broker/mqtt/engine-profile.ts';
import { FolderChunkStore } from '../../../broker/chunks/chunk-store.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import type { ReadBackLink } from '../../../shared/io/read-back.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { CHUNKS_ROOT, chunkTopic, UPDATES_TOPIC } from '../../../shared/formats/topics.ts';
import { makeFleet, type SignedBundle } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const turnOfLoop = () => new Promise((resolve) => setImmediate(resolve));

/** Retains, and gives to who subscribes. */
class MemoryEngine implements ReadBackLink {
  readonly retained = new Map<string, Uint8Array>();
  onCleared: (hash: Sha256Hex) => void = () => undefined;
  readonly #listeners = new Set<Parameters<ReadBackLink['listen']>[0]>();

  readonly wire: ReadBackLink['wire'] = {
    isUp: true,
    send: (topic, payload) => {
      if (payload.byteLength === 0) {
        this.retained.delete(topic);
        this.onCleared(topic.slice(CHUNKS_ROOT.length + 1) as Sha256Hex);
      } else this.retained.set(topic, payload);
      return Promise.resolve();
    },
    subscribe: (filters) => {
      for (const filter of filters) this.#give(filter).catch(assert.ifError);
      return Promise.resolve();
    },
    unsubscribe: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };

  listen(listener: Parameters<ReadBackLink['listen']>[0]): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waitUp(): Promise<void> {
    return Promise.resolve();
  }

  async #give(topic: string): Promise<void> {
    await turnOfLoop();
    const payload = this.retained.get(topic);
    if (!payload) return;
    for (const one of this.#listeners) await one.onMessage(topic, payload);
  }
}

interface Bench {
  readonly engine: MemoryEngine;
  readonly store: FolderChunkStore;
  readonly garbage: CollectingFromEngine;
  readonly bundle: SignedBundle;
  readonly said: string[];
  isSettled: boolean;
  announce(seq: number, ...bundles: SignedBundle[]): Promise<void>;
}

async function openBench(
  t: TestContext,
  options: { storeBytes?: number; profile?: EngineName; keepMs?: number } = {},
): Promise<Bench> {
  const { storeBytes = 1e9, profile = 'mosquitto', keepMs = 400 } = options;
  const signer = makeFleet();
  const dataFolder = await tempFolder(t);
  const control = await ControlStore.open(join(dataFolder, 'control'));
  const folder = join(dataFolder, 'chunks');
  const store = await FolderChunkStore.open({ folder, bytesMax: storeBytes, reserveBytes: 0 });
  const closers = new Closers();
  closers.with(control);
  const said: string[] = [];
  const log: Log = { ...makeLog('test', 'silent'), warn: (_, message) => void said.push(message) };
  const engine = new MemoryEngine();
  const state = { isSettled: true };
  const garbage = await collectFromEngine({
    ...{ dataFolder, control, store, log, keepMs, trust: signer.trust },
    profile: engineProfile(profile),
    closers,
    link: () => engine,
    isSettled: () => state.isSettled,
  });
  t.after(async () => {
    await garbage.close();
    await closers.close();
  });
  const payload = randomBytes(60_000);
  const bundle = await signer.makeBundle({ version: '1.0.0', payload, chunkBytes: 16_384 });
  for (const [hash, bytes] of bundle.chunks) engine.retained.set(chunkTopic(hash), bytes);
  const announce = async (seq: number, ...bundles: SignedBundle[]): Promise<void> => {
    const rollouts = bundles.map((one) => signer.makeRollout('r', one));
    const announcement = signer.announce(seq, rollouts);
    await control.put({ topic: UPDATES_TOPIC, payload: announcement, qos: 1 });
    garbage.announced();
  };
  return Object.assign(state, { engine, store, garbage, bundle, said, announce });
}

const pending = ({ garbage }: Bench, at: string): number =>
  garbage.views().find(({ place }) => place === at)?.pending_chunks ?? -1;

/** As the store check does with what is announced. */
async function check({ garbage, bundle }: Bench): Promise<void> {
  for (const [hash, bytes] of bundle.chunks) {
    garbage.held(hash);
    await garbage.chunks.put(hash, bytes);
  }
}

describe('garbage on an external engine', () => {
  it('is cleared there with its copy on our disk, which goes a keep time later', async (t) => {
    const bench = await openBench(t);
    const { engine, store, garbage, bundle } = bench;
    const cleared: Promise<boolean>[] = [];
    engine.onCleared = (hash) => cleared.push(store.has(hash));
    await bench.announce(1, bundle);
    await check(bench);
    garbage.run();
    await bench.announce(2);
    await waitUntil('the engine to be clear', () => engine.retained.size === 0);
    assert.equal(cleared.length, bundle.chunks.size);
    assert.ok((await Promise.all(cleared)).every(Boolean), 'each had its copy at that instant');
    await waitUntil('the copies to go', () => store.chunksStored === 0);
    assert.deepEqual(bench.said, []);
  });

  it('is not cleared before the engine has said what is announced', async (t) => {
    const bench = await openBench(t);
    await check(bench);
    await bench.announce(1);
    bench.isSettled = false;
    bench.garbage.run();
    await new Promise((resolve) => setTimeout(resolve, 900)); // longer than all of it would take
    assert.deepEqual([pending(bench, 'engine'), pending(bench, 'copies')], [0, 0]);
    bench.isSettled = true;
    await waitUntil('the engine to be clear', () => bench.engine.retained.size === 0);
  });

  it('stays there while there is no room for a copy of it', async (t) => {
    const bench = await openBench(t, { storeBytes: 10_000 });
    for (const hash of bench.bundle.chunks.keys()) bench.garbage.held(hash);
    await bench.announce(1);
    bench.garbage.run();
    await waitUntil('it to be told', () =>
      bench.said.includes('could not remove chunk, trying later'),
    );
    const big = [...bench.bundle.chunks].filter(([, { byteLength }]) => byteLength > 10_000);
    for (const [hash] of big) assert.ok(bench.engine.retained.has(chunkTopic(hash)));
  });

  it('that is wanted is not on its way out, and one that is announced again stays', async (t) => {
    const bench = await openBench(t, { keepMs: 60_000 });
    const { engine, garbage, bundle } = bench;
    await bench.announce(1, bundle);
    await check(bench);
    garbage.run();
    await bench.announce(2);
    const { size } = bundle.chunks;
    await waitUntil('all to wait on the engine', () => pending(bench, 'engine') === size);
    // A look that began before the wish may note the chunk once more: it is wished for again.
    await waitUntil('the wish to hold', async () => {
      await garbage.wanted([...bundle.chunks.keys()][0] as Sha256Hex);
      return pending(bench, 'engine') === size - 1;
    });
    await bench.announce(3, bundle);
    await waitUntil('none to wait', () => pending(bench, 'engine') === 0);
    await garbage.settled();
    assert.equal(engine.retained.size, size);
  });

  it('is left to an engine that removes it by itself; the copies go', async (t) => {
    const bench = await openBench(t, { profile: 'aedes' });
    await bench.announce(1, bench.bundle);
    await check(bench);
    bench.garbage.run();
    await bench.announce(2);
    await waitUntil('the copies to go', () => bench.store.chunksStored === 0);
    assert.equal(bench.engine.retained.size, bench.bundle.chunks.size);
    assert.deepEqual(
      bench.garbage.views().map(({ place }) => place),
      ['copies'],
    );
  });
});
