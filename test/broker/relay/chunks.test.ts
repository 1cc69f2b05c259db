/**
 * The chunks that a relay requests for its site, and their order, on a link and a clock of the
 * test.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SiteChunks } from '../../../broker/relay/chunks.ts';
import { peekAnnouncement, type Rollout } from '../../../shared/formats/announcement.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { parseWant } from '../../../shared/formats/messages.ts';
import type { Wire, WritableChunkStore } from '../../../shared/base/ports.ts';
import { parseTopic } from '../../../shared/formats/topics.ts';
import { makeFleet, type SignedBundle } from '../../helpers/fleet.ts';

const fleet = makeFleet();
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

async function bundleOf(version: string, chunks: number): Promise<SignedBundle> {
  const size = LIMITS.chunkBytesMin * chunks;
  const payload = new Uint8Array(size).map((_, at) => (at * 7 + (at >> 14) + version.length) % 251);
  return await fleet.makeBundle({ version, payload });
}

const rolloutsOf = (bundles: Record<string, SignedBundle>): readonly Rollout[] => {
  const rollouts = Object.entries(bundles).map(([id, one]) => fleet.makeRollout(id, one));
  return peekAnnouncement(fleet.announce(1, rollouts)).rollouts;
};

/** One turn of the event loop: what was begun in promises is done. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 60; turn += 1) await Promise.resolve();
};

class World {
  readonly store = new Map<Sha256Hex, Uint8Array>();
  readonly asked: Sha256Hex[] = [];
  readonly ended: Sha256Hex[] = [];
  readonly wants: Sha256Hex[] = [];
  readonly stored: Sha256Hex[] = [];
  announced: readonly Rollout[] = [];
  refuses: DroverError | null = null;
  readonly site: SiteChunks;

  constructor(t: TestContext, bytesPerSecondMax: number | null = null) {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
    const wire: Wire = {
      isUp: true,
      subscribe: async (filters) => void this.asked.push(...filters.map(hashOf)),
      unsubscribe: async (filters) => void this.ended.push(...filters.map(hashOf)),
      send: async (_topic, payload) =>
        void this.wants.push(...parseWant(payload).chunks.map(asHash)),
      close: async () => undefined,
    };
    const chunks: WritableChunkStore = {
      has: async (hash) => this.store.has(hash),
      get: async (hash) => this.store.get(hash) ?? null,
      put: async (hash, bytes) => {
        if (this.refuses) throw this.refuses;
        this.store.set(hash, bytes.slice());
      },
    };
    this.site = new SiteChunks({
      ...{ name: 'site-a', chunks, bytesPerSecondMax, log: quiet },
      wire: () => wire,
      now: Date.now, // of the test's own, as all timers
      rollouts: () => this.announced,
      onStored: (hash) => void this.stored.push(hash),
    });
    t.after(() => this.site.close());
  }

  async announce(bundles: Record<string, SignedBundle>): Promise<void> {
    this.announced = rolloutsOf(bundles);
    this.site.announced();
    await settle();
  }

  /** Answers all that is asked, until nothing more is. */
  async answer(bundle: SignedBundle, except: readonly Sha256Hex[] = []): Promise<void> {
    for (let at = 0; at < this.asked.length; at += 1) {
      const hash = this.asked[at] as Sha256Hex;
      const bytes = bundle.chunks.get(hash);
      if (bytes && !except.includes(hash)) await this.site.deliver(bytes);
      await settle();
    }
  }
}

const asHash = (text: string): Sha256Hex => text as Sha256Hex;
function hashOf(filter: string): Sha256Hex {
  const topic = parseTopic(filter);
  assert.ok(topic?.kind === 'chunk');
  return topic.hash;
}
const once = (hashes: readonly Sha256Hex[]): void => {
  assert.deepEqual(hashes.length, new Set(hashes).size, 'a chunk was asked for twice');
};

describe('the chunks of a site', () => {
  it('come each once, the index first, and never when they are here already', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 6);
    const [here] = bundle.chunks.keys();
    world.store.set(asHash(here as string), bundle.chunks.get(here as Sha256Hex) as Uint8Array);
    world.site.up();
    await world.announce({ x: bundle });
    assert.deepEqual(world.asked, [bundle.artifact.chunk_index]);
    await world.answer(bundle);
    once(world.asked);
    assert.equal(world.asked.includes(here as Sha256Hex), false);
    assert.equal(world.store.size, bundle.chunks.size);
    assert.equal(world.stored.length, bundle.chunks.size - 1);
    assert.deepEqual(world.site.views, [
      { id: 'x', chunks: bundle.chunks.size, missing: 0, unavailable: 0, known: true },
    ]);
    // Another announcement of the same bundle asks for nothing, on the next link as well.
    const before = world.asked.length;
    await world.announce({ x: bundle, y: bundle });
    world.site.down();
    world.site.up();
    assert.equal(world.asked.length, before);
  });

  it('are found in the store after a start: only what is missing is asked for', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 6);
    const all = [...bundle.chunks];
    for (const [hash, bytes] of all.slice(2)) world.store.set(hash, bytes);
    await world.announce({ x: bundle }); // known from before, and no link yet
    assert.deepEqual(world.asked, []);
    world.site.up();
    await world.answer(bundle);
    assert.deepEqual(new Set(world.asked), new Set(all.slice(0, 2).map(([hash]) => hash)));
  });

  it('that a robot waits for come before others', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 40);
    const index = asHash(bundle.artifact.chunk_index);
    world.store.set(index, bundle.chunks.get(index) as Uint8Array);
    await world.announce({ x: bundle });
    const last = [...bundle.chunks.keys()].at(-2) as Sha256Hex;
    world.site.up();
    assert.equal(world.asked.includes(last), false);
    world.site.asked(last);
    await world.site.deliver(bundle.chunks.get(world.asked[0] as Sha256Hex) as Uint8Array);
    assert.ok(world.asked.slice(0, 5).includes(last), 'it waits behind the others');
    await world.answer(bundle);
    once(world.asked);
    assert.equal(world.store.size, bundle.chunks.size);
  });

  it('that are altered, or that are not announced, are not stored', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 2);
    world.site.up();
    await world.announce({ x: bundle });
    await world.site.deliver(new Uint8Array([1, 2, 3]));
    const index = bundle.chunks.get(asHash(bundle.artifact.chunk_index)) as Uint8Array;
    await world.site.deliver(index.map((byte) => byte ^ 1));
    world.site.wanted([sha256Hex(new Uint8Array([9]))]);
    await settle();
    assert.equal(world.store.size, 0);
    assert.deepEqual(world.asked, [bundle.artifact.chunk_index]);
  });

  it('that the upstream lacks are wanted from it, do not hold up others, and come later', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 20);
    const lacking = [...bundle.chunks.keys()].slice(0, 8); // as many as are asked for at once
    world.site.up();
    await world.announce({ x: bundle });
    await world.answer(bundle, lacking);
    for (let second = 0; second < 120 && world.store.size < 13; second += 1) {
      t.mock.timers.tick(1_000);
      await settle();
      await world.answer(bundle, lacking);
    }
    assert.equal(world.store.size, bundle.chunks.size - lacking.length);
    assert.ok(world.wants.length > 0, 'it was never wanted');
    t.mock.timers.tick(LIMITS.relayRetryMs * 2);
    await settle();
    await world.answer(bundle);
    assert.equal(world.store.size, bundle.chunks.size);
    assert.equal(world.site.missing, 0);
  });

  it('rest while the store is full, and go on when it has room', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 4);
    world.refuses = new DroverError('STORE_FULL', 'no room');
    world.site.up();
    await world.announce({ x: bundle });
    await world.answer(bundle);
    assert.equal(world.site.problem?.code, 'STORE_FULL');
    assert.deepEqual(world.ended, [bundle.artifact.chunk_index], 'it is still asked for');
    world.refuses = null;
    t.mock.timers.tick(LIMITS.relayRetryMs);
    await settle();
    await world.answer(bundle);
    assert.equal(world.store.size, bundle.chunks.size);
    assert.equal(world.site.problem, null);
  });

  it('come no faster than they may', async (t) => {
    const perSecond = LIMITS.chunkBytesMin * 2;
    const world = new World(t, perSecond);
    const bundle = await bundleOf('1.0.0', 20);
    world.site.up();
    await world.announce({ x: bundle });
    const seconds = 5;
    for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
      await world.answer(bundle);
      t.mock.timers.tick(100);
      await settle();
    }
    const bytes = [...world.store.values()].reduce((sum, one) => sum + one.byteLength, 0);
    assert.ok(bytes <= perSecond * (seconds + 2), `${bytes} bytes in ${seconds} s`);
    assert.ok(bytes >= perSecond * (seconds - 2), `${bytes} bytes in ${seconds} s`);
  });

  it('that rotted on the disk are pulled again when a robot wants them', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 3);
    world.site.up();
    await world.announce({ x: bundle });
    await world.answer(bundle);
    const [lost] = bundle.chunks.keys();
    world.store.delete(lost as Sha256Hex);
    world.asked.length = 0;
    world.site.wanted([lost as Sha256Hex]);
    await settle();
    assert.deepEqual(world.asked, [lost]);
    await world.answer(bundle);
    assert.equal(world.store.size, bundle.chunks.size);
  });

  it('that were carried to the site are not pulled as well', async (t) => {
    const world = new World(t);
    const bundle = await bundleOf('1.0.0', 3);
    await world.announce({ x: bundle });
    for (const [hash, bytes] of bundle.chunks) {
      world.store.set(hash, bytes);
      world.site.stored(hash);
    }
    await settle();
    world.site.up();
    assert.deepEqual(world.asked, []);
    assert.equal(world.site.missing, 0);
  });
});
