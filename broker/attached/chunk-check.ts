/**
 * Checks whether an external engine holds every chunk of the announced bundles, and publishes lost
 * ones again. It reads each chunk once by its address, with the same pull that robots use. A copy
 * stays in --data as long as there is room, and is sent to robots that lack the chunk. A chunk that
 * neither the engine nor --data has is reported as CHUNKS_LOST: only a publisher has it.
 */

import { toProblem } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, WritableChunkStore } from '../../shared/base/ports.ts';
import type { Rollout } from '../../shared/formats/announcement.ts';
import { chunksOfIndex, indexesOf } from '../../shared/formats/bundle-chunks.ts';
import { readBack, type ReadBackLink } from '../../shared/io/read-back.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { publishChunk } from './engine-chunks.ts';
import { afterCheck, UNCHECKED, type CheckOutcome, type StoreState } from './store-state.ts';

export interface StoreCheckOptions {
  /** Called from `run` on. */
  link(): ReadBackLink;
  readonly chunks: WritableChunkStore;
  readonly profile: EngineProfile;
  readonly log: Log;
  /** Returns the announced rollouts, verified. */
  rollouts(): readonly Rollout[];
  /** Called when a chunk was read on the engine, or published there. */
  onHeld(hash: Sha256Hex): void;
}

type Kept = Pick<CheckOutcome, 'restored' | 'lost' | 'refusesThem'>;
const NOTHING_LOST: Kept = { restored: 0, lost: [], refusesThem: false };
type OnChunk = (hash: Sha256Hex, bytes: Uint8Array) => void;

export class StoreCheck {
  readonly #options: StoreCheckOptions;
  readonly #states = new Map<string, StoreState>();
  #running: { readonly link: ReadBackLink; stop(): void } | null = null;
  /** Counts connections: a chunk that was read on an earlier connection may be gone. */
  #generation = 0;
  #isChecking = false;
  #isClosed = false;
  #isFull = false;

  constructor(options: StoreCheckOptions) {
    this.#options = options;
  }

  /**
   * Checks the announced rollouts, now and after each change. Before the first call, changes are
   * only recorded.
   */
  run(): void {
    const link = this.#options.link();
    const unlisten = link.listen({
      onMessage: () => Promise.resolve(),
      onUp: () => this.#linkUp(),
      onDown: () => undefined,
    });
    const timer = setInterval(() => this.#lookAgain(), LIMITS.storeCheckMs);
    timer.unref();
    const stop = (): void => {
      unlisten();
      clearInterval(timer);
    };
    this.#running = { link, stop };
    this.announced();
  }

  stateOf(rollout: string): StoreState {
    return this.#states.get(rollout) ?? UNCHECKED;
  }

  states(): StoreState[] {
    return [...this.#states.values()];
  }

  /** Call when the announcements have changed. */
  announced(): void {
    const ids = new Set<string>(this.#options.rollouts().map(({ id }) => id));
    for (const id of this.#states.keys()) if (!ids.has(id)) this.#states.delete(id);
    for (const id of ids) if (!this.#states.has(id)) this.#states.set(id, UNCHECKED);
    this.#isFull = false;
    this.#lookAgain(); // a publisher has just uploaded the chunks that it found missing
  }

  /**
   * Call when a robot requests a chunk of which there is no copy: it is lost, or was never
   * announced.
   */
  suspect(): void {
    const beforeMs = Date.now() - LIMITS.storeCheckMs;
    for (const [id, state] of this.#states) {
      // One check answers all requests of the last `storeCheckMs`: any client may send requests.
      const isOld = state.checkedAtMs !== null && state.checkedAtMs < beforeMs;
      if (state.status === 'complete' && isOld) {
        this.#states.set(id, { ...state, status: 'unchecked' });
      }
    }
    this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#running?.stop();
  }

  #linkUp(): void {
    if (!this.#options.profile.keepsAcknowledged) this.#generation += 1;
    this.#lookAgain(!this.#options.profile.keepsAcknowledged);
  }

  /**
   * Checks rollouts with lost chunks again, which may be published by now. After a new connection
   * it checks all rollouts, because chunks may be gone.
   */
  #lookAgain(all = false): void {
    for (const [id, state] of this.#states) {
      const isDue = state.status === 'lost' || (all && state.status === 'complete');
      if (isDue) this.#states.set(id, { ...state, status: 'unchecked' });
    }
    this.#run();
  }

  #run(): void {
    if (this.#isChecking || !this.#running) return;
    this.#isChecking = true;
    const run = this.#checkAll(this.#running.link).finally(() => (this.#isChecking = false));
    inBackground(this.#options.log, 'check stored chunks', run);
  }

  async #checkAll(link: ReadBackLink): Promise<void> {
    for (;;) {
      const due = [...this.#states].find(([, { status }]) => status === 'unchecked');
      if (!due || this.#isClosed || !link.wire.isUp) return;
      const [id, before] = due;
      const rollout = this.#options.rollouts().find((one) => one.id === id);
      if (!rollout) return void this.#states.delete(id);
      this.#states.set(id, { ...before, status: 'checking' });
      if (!(await this.#check(rollout, before))) return;
    }
  }

  /** @returns false when the check did not finish: the next connection or the timer repeats it */
  async #check(rollout: Rollout, before: StoreState): Promise<boolean> {
    const { log } = this.#options;
    const { id } = rollout;
    const generation = this.#generation;
    try {
      const outcome = await this.#outcomeOf(rollout);
      if (!this.#states.has(id)) return true; // it was withdrawn meanwhile
      if (generation !== this.#generation) {
        this.#states.set(id, { ...before, status: 'unchecked' });
        return true;
      }
      const state = afterCheck(before, id, outcome, Date.now());
      this.#states.set(id, state);
      const facts = { rollout: id, chunks: state.chunks, restored: outcome.restored };
      if (state.problem) log.error({ ...facts, problem: state.problem }, 'chunks are lost');
      else log.info(facts, 'the engine holds every chunk');
      return true;
    } catch (error) {
      if (this.#isClosed) return false;
      if (this.#states.has(id)) this.#states.set(id, { ...before, status: 'unchecked' });
      log.warn(
        { rollout: id, problem: toProblem(error) },
        'could not check which chunks the engine holds',
      );
      return false;
    }
  }

  async #outcomeOf(rollout: Rollout): Promise<CheckOutcome> {
    const chunkBytes = Math.max(...rollout.artifacts.map((one) => one.chunk_size));
    const indexes = indexesOf(rollout);
    const hashes = new Set<Sha256Hex>();
    const first = await this.#ensure([...indexes], LIMITS.chunkBytesMax, (hash, bytes) => {
      for (const chunk of chunksOfIndex(rollout, hash, bytes)) hashes.add(chunk);
    });
    for (const index of indexes) hashes.delete(index);
    const rest =
      hashes.size === 0 ? NOTHING_LOST : await this.#ensure([...hashes], chunkBytes, () => {});
    return {
      chunks: indexes.size + hashes.size,
      restored: first.restored + rest.restored,
      lost: [...first.lost, ...rest.lost],
      refusesThem: first.refusesThem || rest.refusesThem,
    };
  }

  /**
   * Reads all chunks, publishes those again that are missing there and stored here, and reads
   * these.
   */
  async #ensure(hashes: readonly Sha256Hex[], chunkBytes: number, onChunk: OnChunk): Promise<Kept> {
    const missing = await this.#read(hashes, chunkBytes, onChunk);
    const lost: Sha256Hex[] = [];
    const sent: Sha256Hex[] = [];
    for (const hash of missing) {
      const bytes = await this.#options.chunks.get(hash);
      if (!bytes) {
        lost.push(hash);
        continue;
      }
      await this.#putBack(hash, bytes);
      onChunk(hash, bytes);
      sent.push(hash);
    }
    const still = sent.length === 0 ? [] : await this.#read(sent, chunkBytes, () => {});
    return {
      restored: sent.length - still.length,
      lost: [...lost, ...still],
      refusesThem: still.length > 0,
    };
  }

  async #read(
    hashes: readonly Sha256Hex[],
    chunkBytes: number,
    onChunk: OnChunk,
  ): Promise<Sha256Hex[]> {
    const { link, profile } = this.#options;
    return await readBack(link(), {
      hashes,
      chunkBytes,
      qos: profile.pullQos,
      windowMax: profile.windowChunksMax,
      bytesPerSecondMax: LIMITS.storeCheckBytesPerSecond,
      patienceMs: LIMITS.storeCheckPatienceMs,
      onPresent: async (hash, bytes) => {
        onChunk(hash, bytes);
        this.#options.onHeld(hash);
        await this.#keep(hash, bytes);
      },
    });
  }

  async #putBack(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    await publishChunk(this.#options.link().wire, hash, bytes);
    this.#options.onHeld(hash);
  }

  /** Stores a copy. The copy is optional: without room for it the check continues. */
  async #keep(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    const { chunks, log } = this.#options;
    if (this.#isFull || (await chunks.has(hash))) return;
    try {
      await chunks.put(hash, bytes);
    } catch (error) {
      this.#isFull = true;
      const problem = toProblem(error);
      log.warn({ problem }, 'no room for copies: chunks that the engine loses are gone');
    }
  }
}
