/** A garbage collector on real stores in a folder; the test moves its count of running time. */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FolderChunkStore } from '../../../broker/chunks/chunk-store.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { announcedChunks } from '../../../broker/garbage/collect.ts';
import { GarbageCollector } from '../../../broker/garbage/collector.ts';
import { GarbageBook } from '../../../broker/garbage/marks.ts';
import { UPDATES_TOPIC } from '../../../shared/formats/topics.ts';
import type { TrustRoot } from '../../../shared/formats/trust.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { makeFleet, type SignedBundle } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

/** Hours of running that a chunk is kept. */
export const KEEP = 24 * 3_600_000;
const log = makeLog('test', 'silent');

export class GarbageBench {
  readonly signer = makeFleet();
  readonly folder: string;
  uptime = 0;
  control!: ControlStore;
  store!: FolderChunkStore;
  collector!: GarbageCollector;
  #close: () => Promise<void> = () => Promise.resolve();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(t: TestContext): Promise<GarbageBench> {
    const bench = new GarbageBench(await tempFolder(t));
    await bench.start();
    t.after(() => bench.stop());
    return bench;
  }

  async start(trust: TrustRoot = this.signer.trust): Promise<void> {
    const control = await ControlStore.open(join(this.folder, 'control'));
    const book = await GarbageBook.open(join(this.folder, 'garbage'), ['store']);
    const options = { folder: join(this.folder, 'chunks'), bytesMax: 1e9, reserveBytes: 0 };
    const store = await FolderChunkStore.open(options);
    this.collector = await GarbageCollector.open({
      place: {
        name: 'store',
        list: () => store.list(),
        remove: (...args) => store.remove(...args),
      },
      needed: announcedChunks(control, trust, (one) => store.get(one)),
      marks: book.marksOf('store'),
      ...{ keepMs: KEEP, log },
      uptimeMs: () => this.uptime,
      saveUptime: () => book.saveUptime(),
      isHeldBack: () => false,
      isPaused: () => false,
    });
    this.control = control;
    this.store = store;
    this.#close = async () => {
      await this.collector.close();
      await book.close();
      await control.close();
    };
  }

  async stop(): Promise<void> {
    await this.#close();
  }

  async announce(seq: number, ...bundles: SignedBundle[]): Promise<void> {
    const rollouts = bundles.map((one, at) => this.signer.makeRollout(`r${at}`, one));
    const payload = this.signer.announce(seq, rollouts);
    await this.control.put({ topic: UPDATES_TOPIC, payload, qos: 1 });
  }

  async upload({ chunks }: SignedBundle): Promise<void> {
    for (const [one, bytes] of chunks) await this.store.put(one, bytes);
  }

  async present({ chunks }: SignedBundle): Promise<number> {
    const found = await Promise.all([...chunks.keys()].map((one) => this.store.has(one)));
    return found.filter(Boolean).length;
  }

  async bundle(version: string): Promise<SignedBundle> {
    const payload = randomBytes(100_000);
    return await this.signer.makeBundle({ version, payload, chunkBytes: 16_384 });
  }
}
