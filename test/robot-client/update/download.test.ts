import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { indexFile, payloadFile } from '../../../robot-client/install/layout.ts';
import { ChunkLink } from '../../../robot-client/fleet/chunk-link.ts';
import { makeJob, type Job } from '../../../robot-client/update/state.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import {
  downloadPayload,
  type PullLink,
  type PullListener,
} from '../../../robot-client/update/download.ts';
import { verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { encodeChunkIndex } from '../../../shared/transfer/chunk-index.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../../shared/base/ids.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import type { Wire } from '../../../shared/base/ports.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { announce, makeRollout, makeWorld, NOW } from '../world.ts';

const CHUNK_BYTES = 16_384;
const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-download-'));
  folders.push(folder);
  return folder;
}

const world = makeWorld();

/** A job for these bytes, and every chunk (index too) by its address. */
function publish(payload: Uint8Array): { job: Job; chunks: Map<Sha256Hex, Uint8Array> } {
  const chunks = new Map<Sha256Hex, Uint8Array>();
  const hashes: Sha256Hex[] = [];
  for (let at = 0; at < payload.byteLength; at += CHUNK_BYTES) {
    const chunk = payload.subarray(at, at + CHUNK_BYTES);
    hashes.push(sha256Hex(chunk));
    chunks.set(sha256Hex(chunk), chunk);
  }
  const index = encodeChunkIndex(hashes);
  chunks.set(sha256Hex(index), index);
  const payload_sha256 = sha256Hex(payload);
  const artifact = {
    kind: 'full' as const,
    sha256: payload_sha256,
    size: payload.byteLength,
    chunk_size: CHUNK_BYTES,
    chunk_index: sha256Hex(index),
  };
  const fields = makeRollout(world, { version: '1.1.0', payload_sha256 });
  const [rollout] = announce(world, [{ ...fields, artifacts: [artifact] }]).rollouts;
  assert.ok(rollout);
  // The world signs the hash of its own made-up payload; here the manifest names the real one.
  const signed = makeRollout(world, { version: '1.1.0' });
  const bundle = verifyBundle({
    manifestBytes: Buffer.from(signed.manifest, 'base64'),
    signatures: [Buffer.from(signed.signature, 'base64')],
    trust: world.trust,
  });
  return { job: makeJob({ rollout, artifact, bundle, seq: 7, now: NOW }), chunks };
}

/** A carrier in memory that counts what is asked of it, and can lie, repeat and go away. */
class Carrier implements PullLink {
  readonly asked = new Map<Sha256Hex, number>();
  readonly #chunks: ReadonlyMap<Sha256Hex, Uint8Array>;
  readonly #behave: (hash: Sha256Hex, bytes: Uint8Array) => Uint8Array[];
  #listener: PullListener | null = null;
  #delivering: Promise<void> = Promise.resolve();
  isUp = true;

  constructor(
    chunks: ReadonlyMap<Sha256Hex, Uint8Array>,
    behave: (hash: Sha256Hex, bytes: Uint8Array) => Uint8Array[] = (_hash, bytes) => [bytes],
  ) {
    this.#chunks = chunks;
    this.#behave = behave;
  }

  attach(listener: PullListener): () => void {
    this.#listener = listener;
    return () => (this.#listener = null);
  }

  /** The link goes and comes back: what was asked for is lost. */
  flap(): void {
    this.#listener?.onDown();
    this.#listener?.onUp();
  }

  subscribeChunks(hashes: readonly Sha256Hex[]): void {
    for (const hash of hashes) {
      this.asked.set(hash, (this.asked.get(hash) ?? 0) + 1);
      const bytes = this.#chunks.get(hash);
      for (const sent of bytes ? this.#behave(hash, bytes) : []) {
        this.#delivering = this.#delivering.then(async () => {
          await this.#listener?.onChunk(sha256Hex(sent), sent);
        });
      }
    }
  }

  unsubscribeChunks(): void {}
  wantChunks(): void {}
}

function download(job: Job, link: PullLink, folder: string, signal = new AbortController().signal) {
  const onProgress = (): void => {};
  const disk = realDisk;
  return downloadPayload({ job, folder, disk, link, signal, onProgress, bytesPerSecondMax: null });
}

describe('download', () => {
  it('writes exactly the payload, whatever its length, with copies and strangers in the stream', async () => {
    const sizes = fc.integer({ min: 1, max: 6 * CHUNK_BYTES });
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), async (size, isNoisy) => {
        const payload = randomBytes(size);
        const { job, chunks } = publish(payload);
        const carrier = new Carrier(chunks, (_hash, bytes) =>
          isNoisy ? [randomBytes(10), bytes, bytes] : [bytes],
        );
        const folder = await freshFolder();
        await download(job, carrier, folder);
        assert.deepEqual(await readFile(payloadFile(folder)), payload);
      }),
      { numRuns: 25 },
    );
  });

  it('asks once for a chunk that stands in many places', async () => {
    const payload = new Uint8Array(CHUNK_BYTES * 5);
    const { job, chunks } = publish(payload);
    const carrier = new Carrier(chunks);
    const folder = await freshFolder();
    await download(job, carrier, folder);
    assert.equal(carrier.asked.size, 2);
    assert.ok([...carrier.asked.values()].every((times) => times === 1));
    assert.deepEqual(new Uint8Array(await readFile(payloadFile(folder))), payload);
  });

  it('goes on after a stop without asking again for anything that was kept', async () => {
    const payload = randomBytes(CHUNK_BYTES * 20 + 5);
    const { job, chunks } = publish(payload);
    const folder = await freshFolder();
    const stop = new AbortController();
    let kept = 0;
    const first = new Carrier(chunks);
    const onProgress = ({ chunksFetched }: { chunksFetched: number }): void => {
      kept = chunksFetched;
      if (kept >= 10) stop.abort(new Error('power cut'));
    };
    const input = { job, folder, disk: realDisk, link: first, bytesPerSecondMax: null, onProgress };
    await assert.rejects(downloadPayload({ ...input, signal: stop.signal }), /power cut/);
    const second = new Carrier(chunks);
    await download(job, second, folder);
    assert.deepEqual(await readFile(payloadFile(folder)), payload);
    assert.equal(second.asked.size, chunks.size - 1 - kept, 'only what was missing is asked for');
  });

  it('fetches again just the chunk whose bytes the disk lost', async () => {
    const payload = randomBytes(CHUNK_BYTES * 8);
    const { job, chunks } = publish(payload);
    const folder = await freshFolder();
    await download(job, new Carrier(chunks), folder);
    const file = await open(payloadFile(folder), 'r+');
    await file.write(
      Buffer.from([0xff ^ (payload[3 * CHUNK_BYTES] as number)]),
      0,
      1,
      3 * CHUNK_BYTES,
    );
    await file.close();
    const second = new Carrier(chunks);
    await download(job, second, folder);
    assert.deepEqual(
      [...second.asked.keys()],
      [sha256Hex(payload.subarray(3 * CHUNK_BYTES, 4 * CHUNK_BYTES))],
    );
    assert.deepEqual(await readFile(payloadFile(folder)), payload);
  });

  for (const [what, harm] of [
    ['a payload that is longer than its own', (folder) => truncate(payloadFile(folder), 2 ** 30)],
    ['an index of a gigabyte', (folder) => truncate(indexFile(folder), 2 ** 30)],
    ['an index of zeroes', (folder) => writeFile(indexFile(folder), new Uint8Array(64))],
  ] as const satisfies [string, (folder: string) => Promise<void>][]) {
    it(`fetches again over ${what}`, async () => {
      const payload = randomBytes(CHUNK_BYTES * 3 + 7);
      const { job, chunks } = publish(payload);
      const folder = await freshFolder();
      await download(job, new Carrier(chunks), folder);
      await harm(folder);
      await download(job, new Carrier(chunks), folder);
      assert.deepEqual(await readFile(payloadFile(folder)), payload);
    });
  }

  it('survives a link that flaps on every answer', async () => {
    const payload = randomBytes(CHUNK_BYTES * 12);
    const { job, chunks } = publish(payload);
    const folder = await freshFolder();
    let turn = 0;
    const carrier: Carrier = new Carrier(chunks, (_hash, bytes) => {
      turn += 1;
      if (turn % 3 === 0) setImmediate(() => carrier.flap());
      return turn % 3 === 0 ? [] : [bytes];
    });
    await download(job, carrier, folder);
    assert.deepEqual(await readFile(payloadFile(folder)), payload);
  });

  it('begins before the agent has a link, and goes on when there is one', async () => {
    const payload = randomBytes(CHUNK_BYTES * 3);
    const { job, chunks } = publish(payload);
    const folder = await freshFolder();
    let wire: Wire | null = null;
    const link = new ChunkLink(parseRobotId('r1'), () => wire, makeLog('test', 'silent'));
    let isWaiting = false;
    const attach = link.attach.bind(link);
    link.attach = (listener) => {
      isWaiting = true;
      return attach(listener);
    };
    const done = download(job, link, folder);
    await waitUntil('the download to wait for a link', () => isWaiting);
    wire = {
      isUp: true,
      subscribe: async (topics: readonly string[]) => {
        for (const topic of topics) {
          const bytes = chunks.get(topic.split('/')[1] as Sha256Hex);
          if (bytes) setImmediate(() => void link.deliver(bytes));
        }
      },
      unsubscribe: async () => {},
    } as unknown as Wire;
    link.up();
    await done;
    assert.deepEqual(await readFile(payloadFile(folder)), payload);
  });

  it('refuses an index that does not fit the announced size', async () => {
    const { job, chunks } = publish(randomBytes(CHUNK_BYTES * 3));
    const longer = { ...job, payloadBytes: job.payloadBytes + CHUNK_BYTES };
    await assert.rejects(download(longer, new Carrier(chunks), await freshFolder()), {
      code: 'CHUNK_INDEX_INVALID',
    });
  });

  it('refuses an index whose chunk would spill over its neighbour', async () => {
    const payload = randomBytes(CHUNK_BYTES * 2);
    const { job, chunks } = publish(payload);
    const large = randomBytes(CHUNK_BYTES + 1);
    const index = encodeChunkIndex([sha256Hex(large), sha256Hex(payload.subarray(CHUNK_BYTES))]);
    const forged = new Map([...chunks, [sha256Hex(large), large], [sha256Hex(index), index]]);
    const lying = { ...job, chunkIndex: sha256Hex(index) };
    await assert.rejects(download(lying, new Carrier(forged), await freshFolder()), {
      code: 'CHUNK_INDEX_INVALID',
    });
  });
});
