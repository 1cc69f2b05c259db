/** `publish` against a stock mosquitto: everything stored before anything is announced. */

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { openAnnouncement, type Announcement } from '../../../shared/formats/announcement.ts';
import { parseChunkIndex } from '../../../shared/transfer/chunk-index.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { connectWire, type MqttWire } from '../../../shared/io/mqtt-wire.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { chunkTopic, progressTopic, UPDATES_TOPIC } from '../../../shared/formats/topics.ts';
import type { RolloutId, Sha256Hex } from '../../../shared/base/ids.ts';
import { startDrover, type Child } from '../../helpers/child.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { startMosquitto } from '../../helpers/mosquitto.ts';
import { realTar } from '../../helpers/tar.ts';
import { startTcpProxy } from '../../helpers/tcp-proxy.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { makeBundleFolder, writeFleetFiles } from '../bundle-maker.ts';
import { bundleSignatureNow } from '../../helpers/sign-now.ts';

const fleet = makeFleet();
const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };
const RETAINED = { retain: true, qos: 1 } as const;
const MiB = 1024 * 1024;

interface Result {
  readonly chunks: number;
  readonly sent_chunks: number;
  readonly healed_chunks: number;
  readonly rollout: string;
  readonly seq: number;
  readonly kept: string[];
  readonly superseded: string[];
}

class World {
  readonly folder: string;
  readonly url: string;
  readonly port: number;
  readonly #t: TestContext;

  constructor(t: TestContext, folder: string, port: number) {
    this.#t = t;
    this.folder = folder;
    this.port = port;
    this.url = `mqtt://127.0.0.1:${port}`;
  }

  start(bundle: string, line = '', url = this.url): Child {
    const fixed = `--broker ${url} --trust trust.json --key rollout.key --json`;
    const words = `publish ${bundle} ${fixed} ${line}`.trim().split(' ');
    return startDrover(this.#t, 'publisher', words, { cwd: this.folder });
  }

  async publish(bundle: string, line = '', url = this.url): Promise<Result> {
    const child = this.start(bundle, line, url);
    assert.equal((await child.exit).code, 0, child.describe());
    return JSON.parse(child.stdout) as Result;
  }

  async refusal(bundle: string, line: string): Promise<string> {
    const child = this.start(bundle, line);
    assert.equal((await child.exit).code, 3, child.describe());
    return (JSON.parse(child.stdout) as { error: { code: string } }).error.code;
  }

  async wire(onMessage: (topic: string, payload: Uint8Array) => void): Promise<MqttWire> {
    const clientId = `test-${Math.random().toString(36).slice(2)}`;
    const wire = await connectWire({ url: this.url, clientId }, { onMessage }, QUIET);
    this.#t.after(() => wire.close());
    return wire;
  }

  /** The retained message of a topic; null when there is none. */
  async retained(topic: string): Promise<Uint8Array | null> {
    return (await this.retainedOf([topic])).get(topic) ?? null;
  }

  async retainedOf(topics: readonly string[]): Promise<Map<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>();
    const end = `test/end/${Math.random().toString(36).slice(2)}`;
    let over = false;
    const wire = await this.wire((on, payload) => {
      if (on === end) over = true;
      else found.set(on, new Uint8Array(payload));
    });
    await wire.send(end, utf8('.'), RETAINED);
    for (const topic of topics) await wire.subscribe([topic], 1);
    await wire.subscribe([end], 1); // mosquitto answers subscriptions in order
    await waitUntil('the retained messages', () => over);
    await wire.close();
    return found;
  }

  async announced(): Promise<Announcement> {
    const bytes = await this.retained(UPDATES_TOPIC);
    assert.ok(bytes, 'an announcement is retained');
    return openAnnouncement(bytes, fleet.trust);
  }

  /** Fetches the payload as a robot would: from the announcement down. */
  async download(rolloutId: string): Promise<Uint8Array> {
    const rollout = (await this.announced()).rollouts.find((one) => one.id === rolloutId);
    const [artifact] = rollout?.artifacts ?? [];
    assert.ok(artifact);
    const fetch = async (hashes: readonly Sha256Hex[]): Promise<Uint8Array[]> => {
      const found = await this.retainedOf([...new Set(hashes)].map(chunkTopic));
      return hashes.map((hash) => {
        const bytes = found.get(chunkTopic(hash));
        assert.ok(bytes && sha256Hex(bytes) === hash, `chunk ${hash} is stored`);
        return bytes;
      });
    };
    const [indexBytes] = await fetch([artifact.chunk_index]);
    const index = parseChunkIndex(indexBytes as Uint8Array, artifact);
    return Buffer.concat(await fetch(index.chunks));
  }
}

/** Null when mosquitto is missing and the test was skipped. */
async function makeWorld(t: TestContext): Promise<World | null> {
  const mosquitto = await startMosquitto(t);
  if (mosquitto === null) return null;
  const folder = await tempFolder(t);
  await writeFleetFiles(folder);
  return new World(t, folder, mosquitto.port);
}

async function bytesOf(bundle: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(join(bundle, 'payload.tar.gz')));
}

async function chunkHashes(bundle: string, chunkBytes: number): Promise<Sha256Hex[]> {
  const payload = await bytesOf(bundle);
  const hashes: Sha256Hex[] = [];
  for (let at = 0; at < payload.byteLength; at += chunkBytes) {
    hashes.push(sha256Hex(payload.subarray(at, at + chunkBytes)));
  }
  return hashes;
}

// Mostly waiting for a broker to be quiet, so several at once.
describe('publish over a stock mosquitto', { concurrency: 3 }, () => {
  test('a published bundle can be fetched with the announcement alone', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.4.2', MiB);
    const dry = await world.publish(bundle, '--dry-run');
    assert.equal(dry.sent_chunks, 0);
    assert.equal(await world.retained(UPDATES_TOPIC), null, 'a dry run announces nothing');

    const result = await world.publish(bundle, '--chunk-size 64k --waves 100 --health-timeout 90s');
    assert.match(result.rollout, /^app-1-4-2-[0-9a-z]{4}$/);
    assert.equal(result.sent_chunks, result.chunks + 1, 'all chunks and their index');
    const announced = await world.announced();
    assert.equal(announced.seq, result.seq);
    assert.equal(announced.rollouts[0]?.health_timeout_s, 90);
    assert.equal(announced.rollouts[0]?.salt, 'test');
    assert.deepEqual(
      Buffer.from(await world.download(result.rollout)),
      Buffer.from(await bytesOf(bundle)),
    );
  });

  test('a bundle with six fields and a plain tar is published, from a .drover file too', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.0.0');
    const payload = realTar(join(world.folder, 'app-1.0.0'));
    const payloadSha256 = sha256Hex(payload);
    const manifest = utf8(
      JSON.stringify({
        version: '1.0.0',
        min_current_version: '0.9.0',
        target_arch: 'aarch64',
        payload_sha256: payloadSha256,
        rollback_version: '0.9.0',
        apply_strategy: 'atomic_swap',
      }),
    );
    await writeFile(join(bundle, 'payload.tar.gz'), payload);
    await writeFile(join(bundle, 'manifest.json'), manifest);
    const signature = bundleSignatureNow(manifest, payloadSha256, fleet.seeds.release);
    await writeFile(join(bundle, 'signature.sig'), signature);
    const pack = startDrover(t, 'publisher', [
      'pack',
      bundle,
      '--out',
      join(world.folder, 'a.drover'),
    ]);
    assert.equal((await pack.exit).code, 0, pack.describe());

    const result = await world.publish('a.drover', '--waves 100');
    assert.deepEqual(Buffer.from(await world.download(result.rollout)), payload);
  });

  test('a cut link in mid-upload is taken up again, and only what is missing is sent', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.0.0', 4 * MiB);
    const proxy = await startTcpProxy(t, world.port);
    proxy.cutAfter(150); // CONNACK, a few SUBACKs, and then about 30 of the 64 PUBACKs
    const url = `mqtt://127.0.0.1:${proxy.port}`;
    const result = await world.publish(bundle, '--chunk-size 64k --waves 100', url);
    assert.ok(result.chunks > 60);
    // A chunk counts as sent at its PUBACK, so each counts once although the link broke.
    assert.equal(result.sent_chunks, result.chunks + 1);
    assert.equal(result.healed_chunks, 0);
    assert.deepEqual(
      Buffer.from(await world.download(result.rollout)),
      Buffer.from(await bytesOf(bundle)),
    );
  });

  test('a publisher killed in mid-upload goes on where it was', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.0.0', 8 * MiB);
    const line = '--chunk-size 16k --waves 100';
    const first = world.start(bundle, line);
    const journal = join(bundle, '.drover-upload.json');
    await waitUntil('the journal', () => readFile(journal), { look: () => first.describe() });
    first.kill('SIGKILL');
    await first.exit;
    assert.equal(await world.retained(UPDATES_TOPIC), null, 'nothing was announced');

    const result = await world.publish(bundle, line);
    assert.ok(result.sent_chunks <= result.chunks + 1 - 64, `sent ${result.sent_chunks} again`);
    assert.deepEqual(
      Buffer.from(await world.download(result.rollout)),
      Buffer.from(await bytesOf(bundle)),
    );
    const again = await world.publish(bundle, `${line} --upload-only`);
    assert.equal(again.sent_chunks, 0);
  });

  test('a broker that lost chunks is noticed by the read-back and healed', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.0.0', MiB);
    const line = '--chunk-size 64k --waves 100';
    const { rollout, chunks } = await world.publish(bundle, line);
    const hashes = await chunkHashes(bundle, 64 * 1024);
    const wire = await world.wire(() => {});
    await wire.send(chunkTopic(hashes[3] as Sha256Hex), new Uint8Array(0), RETAINED);
    await wire.send(chunkTopic(hashes[9] as Sha256Hex), utf8('poison'), RETAINED);
    const one = await world.publish(bundle, `${line} --upload-only`);
    assert.equal(one.healed_chunks, 2);
    await world.download(rollout);

    for (const hash of hashes) await wire.send(chunkTopic(hash), new Uint8Array(0), RETAINED);
    const all = await world.publish(bundle, `${line} --upload-only`);
    assert.ok(all.healed_chunks >= chunks, `healed ${all.healed_chunks} of ${chunks}`);
    assert.deepEqual(
      Buffer.from(await world.download(rollout)),
      Buffer.from(await bytesOf(bundle)),
    );
  });

  test('a broker that keeps nothing gets no announcement [P-5.7]', async (t) => {
    const mosquitto = await startMosquitto(t, {
      config: async (port) =>
        `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 600000\nretain_available false\npersistence false\n`,
    });
    if (!mosquitto) return;
    const folder = await tempFolder(t);
    await writeFleetFiles(folder);
    const world = new World(t, folder, mosquitto.port);
    const bundle = await makeBundleFolder(folder, '1.0.0', 1_000);
    const child = world.start(bundle, '--waves 100');
    assert.equal((await child.exit).code, 4, child.describe());
    assert.match(child.stderr, /UPLOAD_INCOMPLETE/);
  });

  test('the next version supersedes, and an overlapping rollout is refused until a person decides', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const one = await makeBundleFolder(world.folder, '1.0.0');
    const two = await makeBundleFolder(world.folder, '2.0.0');
    const three = await makeBundleFolder(world.folder, '3.0.0');
    const first = await world.publish(one, '--waves 100');
    const second = await world.publish(two);
    assert.deepEqual(second.superseded, [first.rollout]);
    assert.ok(second.seq > first.seq);

    assert.equal(await world.refusal(three, ''), 'ROLLOUT_OVERLAP');
    const wire = await world.wire(() => {});
    const id = second.rollout as RolloutId;
    const forged = makeFleet('other').progress({ rollout: id, seq: 1, status: 'complete' });
    await wire.send(progressTopic(id), forged, RETAINED);
    assert.equal(await world.refusal(three, ''), 'ROLLOUT_OVERLAP', 'progress of another fleet');
    const complete = fleet.progress({ rollout: id, seq: 1, status: 'complete' });
    await wire.send(progressTopic(id), complete, RETAINED);
    const third = await world.publish(three);
    assert.deepEqual(third.superseded, [second.rollout]);

    assert.equal(await world.refusal(one, '--waves 100'), 'ROLLOUT_OVERLAP');
    const beside = await world.publish(one, '--waves 100 --alongside');
    assert.deepEqual(beside.kept, [third.rollout]);
    const { rollouts } = await world.announced();
    assert.deepEqual(
      rollouts.map((rollout) => rollout.id),
      [third.rollout, beside.rollout],
    );
  });

  test('an announcement that does not verify is replaced only when that is asked for', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.0.0');
    const wire = await world.wire(() => {});
    await wire.send(UPDATES_TOPIC, utf8('{"not":"ours"}'), RETAINED);
    assert.equal(await world.refusal(bundle, '--waves 100'), 'ENVELOPE_MALFORMED');
    await world.publish(bundle, '--waves 100 --replace-invalid');
    assert.equal((await world.announced()).rollouts.length, 1);
  });

  test('an upload journal that is damaged, or a folder that cannot be written, costs time only', async (t) => {
    const world = await makeWorld(t);
    if (!world) return;
    const bundle = await makeBundleFolder(world.folder, '1.0.0');
    const journal = join(bundle, '.drover-upload.json');
    for (const text of [
      '',
      '{"uploads":7}',
      '{"uploads":[{"__proto__":1}]}',
      'x'.repeat(3_000_000),
    ]) {
      await writeFile(journal, text);
      const { sent_chunks: sent } = await world.publish(bundle, '--upload-only');
      assert.equal(sent, 2);
      await rm(journal);
    }
  });
});
