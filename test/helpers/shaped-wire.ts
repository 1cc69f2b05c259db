/**
 * A slow, long or lossy wire between two network namespaces, with real TCP stacks at its ends:
 * `test/helpers/shaped-wire.py` carries the packets and counts them. For what a proxy of TCP cannot
 * show, since it acknowledges at once what is still on its way. Needs root on Linux.
 */

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { findPeer } from './peer.ts';
import { repositoryFile } from './repository.ts';
import type { Scope } from './scope.ts';

export interface WireSettings {
  readonly bitsPerSecond: number;
  readonly rttMs: number;
  /** Probability that a packet is lost, each way. */
  readonly loss: number;
  /** Bytes that may wait in front of the slow sender; by default about rate times round trip. */
  readonly queueBytes?: number;
  readonly seed?: number;
  /** `cubic` by default: what robots and appliances have. */
  readonly congestionControl?: 'cubic' | 'bbr' | 'reno';
}

/**
 * Traffic that came out at the other end since `mark`. Times are of one clock, which starts
 * anywhere.
 */
export interface WayCounters {
  readonly packets: number;
  /** With the headers of TCP and IP. */
  readonly bytes: number;
  readonly lost: number;
  readonly overflowed: number;
  readonly longest_queue: number;
  /** The instants of sending the first packet and of receiving the last full one. */
  readonly first_ms: number | null;
  readonly last_large_ms: number | null;
}

export interface WireCounters {
  /** From the far side, where servers are, to the near one, where robots are. */
  readonly down: WayCounters;
  readonly up: WayCounters;
}

const QUEUE_BYTES_MIN = 32 * 1024;

export class ShapedWire {
  /** The address of servers. */
  static readonly FAR_ADDRESS = '10.77.0.1';
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #name: string;
  #said = '';

  constructor(settings: WireSettings) {
    const { bitsPerSecond, rttMs, loss, seed = 1, congestionControl = 'cubic' } = settings;
    const product = Math.round((bitsPerSecond / 8) * (rttMs / 1000));
    const queueBytes = settings.queueBytes ?? Math.max(QUEUE_BYTES_MIN, product);
    // A device has this name and one letter more, of at most 15.
    this.#name = `dw${process.pid.toString(36)}${Math.random().toString(36).slice(2, 8)}`;
    const shape = [bitsPerSecond, rttMs, loss, queueBytes, seed].map(String);
    const script = repositoryFile('test/helpers/shaped-wire.py');
    this.#process = spawn('/usr/bin/python3', [script, this.#name, ...shape, congestionControl]);
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
    this.#process.stdin.on('error', () => {}); // it has ended: the next answer says so
    const lines = createInterface({ input: this.#process.stdout });
    this.#answers = lines[Symbol.asyncIterator]();
  }

  async open(): Promise<void> {
    await this.#answer();
  }

  /** The command in front of a program that runs on this side. */
  on(side: 'far' | 'near'): { under: readonly string[] } {
    return { under: ['nsenter', `--net=/run/netns/${this.#name}-${side}`] };
  }

  /** Resets the counters. */
  async mark(): Promise<void> {
    this.#process.stdin.write('mark\n');
    await this.#answer();
  }

  async read(): Promise<WireCounters> {
    this.#process.stdin.write('read\n');
    return JSON.parse(await this.#answer()) as WireCounters;
  }

  /** Both sides are gone when it resolves. */
  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.stdin.end();
    await gone;
  }

  async #answer(): Promise<string> {
    const { value, done } = await this.#answers.next();
    if (done !== true) return value;
    throw new Error(`the wire ended: ${this.#said}`);
  }
}

export async function openShapedWire(scope: Scope, settings: WireSettings): Promise<ShapedWire> {
  const wire = new ShapedWire(settings);
  scope.after(() => wire.close());
  await wire.open();
  return wire;
}

/** False when the test was skipped. @throws Error where nothing may be skipped */
export function canShapeWires(t: TestContext): boolean {
  const lacks = [
    ...['ip', 'nsenter'].filter((command) => findPeer(command) === null),
    ...['/dev/net/tun', '/usr/bin/python3'].filter((path) => !existsSync(path)),
    ...(process.getuid?.() === 0 ? [] : ['the rights of root']),
  ];
  if (lacks.length === 0) return true;
  const why = `a shaped wire needs ${lacks.join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(why);
  t.skip(why);
  return false;
}
