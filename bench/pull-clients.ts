/**
 * Runs all robots of one `bench pull` in a process of their own. The first argument is the task as
 * JSON; all robots connect and pull, and the output is time, bytes, CPU and memory. `robot` uses
 * the code of a robot (shared/io/mqtt-wire.ts and shared/transfer/pull.ts); `lean` is the floor of
 * any client.
 */

import { sha256Hex } from '../shared/crypto/hash.ts';
import type { Sha256Hex } from '../shared/base/ids.ts';
import { openMqttWire } from '../shared/io/mqtt-wire.ts';
import { ChunkPull, type PullEffect } from '../shared/transfer/pull.ts';
import { chunkTopic } from '../shared/formats/topics.ts';
import type { Wire } from '../shared/base/ports.ts';
import { leanHttp, leanMqtt, type LeanConnection } from './lean-client.ts';

export interface PullTask {
  readonly client: 'robot' | 'lean' | 'http';
  readonly port: number;
  readonly robots: number;
  readonly chunkBytes: number;
  readonly hashes: readonly Sha256Hex[];
  /** Null: as a robot does it. */
  readonly fixed: { readonly window: number; readonly qos: 0 | 1 } | null;
}

export interface PullOutcome {
  readonly seconds: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly peakRssMiB: number;
}

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const ROBOT_WINDOW = 8;

async function robot(task: PullTask, at: number): Promise<LeanConnection> {
  let onChunk = async (_bytes: Uint8Array): Promise<void> => undefined;
  const wire = await new Promise<Wire>((resolve) => {
    const opened: Wire = openMqttWire(
      { url: `mqtt://127.0.0.1:${task.port}`, clientId: `bench-${at}` },
      { onMessage: (_topic, bytes) => onChunk(bytes), onUp: () => resolve(opened) },
      QUIET,
    );
  });
  const { fixed, hashes, chunkBytes } = task;
  const pull = (): Promise<number> =>
    new Promise((resolve, reject) => {
      let total = 0;
      const took = (bytes: Uint8Array): Sha256Hex => {
        total += bytes.byteLength;
        return sha256Hex(bytes);
      };
      const subscribe = (some: readonly Sha256Hex[], qos: 0 | 1): void =>
        void wire.subscribe(some.map(chunkTopic), qos).catch(reject);
      if (fixed) {
        const wanted = new Set(hashes);
        const rest = [...hashes];
        onChunk = async (bytes) => {
          wanted.delete(took(bytes));
          const next = rest.shift();
          if (next) subscribe([next], fixed.qos);
          if (wanted.size === 0) resolve(total);
        };
        for (const hash of rest.splice(0, fixed.window)) subscribe([hash], fixed.qos);
        return;
      }
      const engine = new ChunkPull({ missing: hashes, chunkBytes });
      const run = (effects: readonly PullEffect[]): void => {
        for (const effect of effects) {
          if (effect.kind === 'subscribe') subscribe(effect.hashes, 1);
          else if (effect.kind === 'unsubscribe')
            void wire.unsubscribe(effect.hashes.map(chunkTopic)).catch(reject);
          else if (effect.kind === 'done') resolve(total);
        }
      };
      onChunk = async (bytes) => run(engine.kept(took(bytes), bytes.byteLength, performance.now()));
      run(engine.up(performance.now()));
    });
  return { pull, end: () => void wire.close() };
}

function connection(task: PullTask, at: number): Promise<LeanConnection> {
  const { port, fixed, hashes } = task;
  if (task.client === 'http') return leanHttp(port, `/${hashes.length}.bin`);
  if (task.client === 'robot') return robot(task, at);
  const { window, qos } = fixed ?? { window: ROBOT_WINDOW, qos: 1 };
  const topics = hashes.map(chunkTopic);
  return leanMqtt({ port, id: `bench-${at}`, topics, window, qos });
}

const task = JSON.parse(process.argv[2] ?? '') as PullTask;
const all = await Promise.all(Array.from({ length: task.robots }, (_, at) => connection(task, at)));
const startedAt = performance.now();
const cpuBefore = process.cpuUsage();
const bytes = await Promise.all(all.map((one) => one.pull()));
const cpu = process.cpuUsage(cpuBefore);
const outcome: PullOutcome = {
  seconds: (performance.now() - startedAt) / 1000,
  bytes: bytes.reduce((sum, one) => sum + one, 0),
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
  peakRssMiB: process.resourceUsage().maxRSS / 1024,
};
console.log(JSON.stringify(outcome));
process.exit(0);
