/**
 * Keeps the last POST /ready of each caller, and what counts while it cannot reach the socket: an
 * agent whose usual socket is closed swaps nothing. When another socket is open, only those
 * components wait whose application has ever used POST /ready and has not found that socket yet; a
 * mark in the state folder remembers that they use it, and the names of those that hold by a lease.
 * After its socket was removed, an application has to report again.
 */

import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { DroverError, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { busyWhile, type Held } from '../fleet/report.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { writeWhole } from '../install/small-file.ts';
import {
  encodeReadyMark,
  holdersOfMark,
  UNREAD_MARK,
  decideHold,
  describeLeases,
  OTHERS,
  UNNAMED,
  type ReadyAnswer,
  type ReadyAnswers,
} from './ready-lease.ts';

/** A lease that lapsed keeps its place: its holder may have died in the middle of a task. */
const HOLDERS_HINT =
  'a holder keeps its name over restarts; for one that was taken away, POST /ready {"ready": true, "holder": "NAME"} once by hand';

export interface Ready {
  readonly ready: boolean;
  readonly reason: string;
  /** Length of the lease in ms; a plain answer without one. */
  readonly holdMs?: number | undefined;
  /** Name of the caller, where several answer for one component. */
  readonly holder?: string | undefined;
}

/** Why the usual socket is closed, and whether another one is open. */
export interface ClosedDoor {
  readonly problem: Problem;
  readonly isReachable: boolean;
}

export interface ReadyWordOptions {
  readonly disk: Disk;
  readonly layout: Layout;
  /** A monotonic clock; default `performance.now`. */
  readonly mono?: (() => MonoMs) | undefined;
}

export class ReadyWord {
  readonly #disk: Disk;
  readonly #mark: string;
  readonly mono: () => MonoMs;
  readonly #answers = new Map<string, ReadyAnswer>();
  /** Callers that hold by a lease, over restarts of the agent. */
  readonly #holders = new Set<string>();
  /** Callers that answered since the last switch. */
  readonly #answered = new Set<string>();
  readonly #writes = new SerialQueue();
  #door: (ClosedDoor & { readonly atMs: EpochMs }) | null = null;
  /** Set when the socket was removed after a report: a later report may not have arrived. */
  #lost: Held | null = null;
  /** Content of the mark on the disk; null without one. */
  #marked: string | null = null;

  constructor({ disk, layout, mono = () => performance.now() }: ReadyWordOptions) {
    this.#disk = disk;
    this.#mark = `${layout.state}/says-ready`;
    this.mono = mono;
  }

  /** Why the component may not swap; null when nothing of this prevents it. */
  get held(): Held | null {
    if (!this.#door) return this.#lost;
    const isHeard = this.#marked === null || this.#answers.size > 0;
    return this.#door.isReachable && isHeard ? null : this.#door;
  }

  /** Null without a report of the application. */
  get said(): { readonly ready: boolean; readonly reason: string } | null {
    const { held } = this;
    if (held) return busyWhile(held);
    const hold = decideHold(this.#answers, this.#holders, this.mono());
    if (hold.kind === 'none') return null;
    return hold.kind === 'no' ? { ready: false, reason: hold.reason } : { ready: true, reason: '' };
  }

  /** The last answer of each caller. */
  get answers(): ReadyAnswers {
    return this.#answers;
  }

  /** The leases that run, for a person; null without one. */
  get leases(): string | null {
    return describeLeases(this.#answers, this.mono());
  }

  /** Callers whose lease a swap relies on when it begins now. */
  get holders(): readonly string[] {
    return [...this.#holders];
  }

  /** Reads the mark, in an open root; before that nothing is swapped. */
  async load(): Promise<void> {
    // A mark that cannot be checked counts as present.
    const kind = await this.#disk.kind(this.#mark).catch(() => 'file');
    if (kind === 'absent') return;
    this.#marked ??= await this.#readMark();
    for (const holder of holdersOfMark(this.#marked)) {
      // A plain answer that came before the mark was read has ended the lease.
      if (this.#answers.get(holder)?.kind !== 'plain') this.#holders.add(holder);
    }
  }

  /**
   * @param mayWrite false while the root is not ours
   * @throws DroverError LOCAL_API_INVALID for one caller too many
   */
  async say(said: Ready, mayWrite: boolean): Promise<void> {
    const { ready, reason, holdMs, holder = UNNAMED } = said;
    const untilMs = holdMs === undefined ? null : this.mono() + holdMs;
    const answer: ReadyAnswer =
      untilMs === null ? { kind: 'plain', ready, reason } : { kind: 'lease', untilMs };
    const place = this.#placeOf(holder, answer);
    this.#answers.set(place, answer);
    if (untilMs !== null) this.#holders.add(holder);
    // A plain yes ends the use of leases; a plain no interrupts it.
    else if (ready) this.#holders.delete(holder);
    this.#answered.add(place);
    this.#lost = null;
    if (mayWrite) await this.#keepMark();
  }

  /**
   * Forgets, when a version was confirmed, the callers that were silent since its switch: the new
   * version may not use leases, and no one would renew them. Resolves when the mark is written.
   */
  async follow(from: RobotPhase, to: RobotPhase): Promise<void> {
    if (from !== 'probation' && to === 'probation') this.#answered.clear();
    if (from !== 'probation' || to !== 'idle') return;
    const silent = [...this.#holders].filter((holder) => !this.#answered.has(holder));
    for (const holder of silent) {
      this.#holders.delete(holder);
      if (this.#answers.get(holder)?.kind === 'lease') this.#answers.delete(holder);
    }
    if (silent.length > 0) await this.#keepMark();
  }

  /** @param door null when the usual socket is open */
  hold(door: ClosedDoor | null, atMs: EpochMs): void {
    const wasOpen = this.#door === null;
    this.#door = door && { ...door, atMs };
    if (!this.#door || !wasOpen || this.#answers.size === 0) return;
    this.#lost = this.#door;
    // A lease cannot be renewed now, and lapses by itself.
    for (const [caller, answer] of this.#answers) {
      if (answer.kind === 'plain') this.#answers.delete(caller);
    }
  }

  async #readMark(): Promise<string> {
    try {
      const bytes = await this.#disk.readFile(this.#mark, LIMITS.readyMarkBytesMax);
      return new TextDecoder().decode(bytes ?? new Uint8Array());
    } catch {
      return UNREAD_MARK;
    }
  }

  /**
   * The name under which an answer is kept. A no always counts: where every place is taken it is
   * kept for all who found none, and the next plain yes of one of them ends it. The caller without
   * a name has a place of its own.
   */
  #placeOf(holder: string, answer: ReadyAnswer): string {
    const known = new Set([...this.#answers.keys(), ...this.#holders]);
    for (const place of [UNNAMED, OTHERS]) known.delete(place);
    if (holder === UNNAMED || known.has(holder) || known.size < LIMITS.readyHoldersMax) {
      return holder;
    }
    // A plain yes was asked for and is relied on no more: its place is free.
    for (const [caller, said] of this.#answers) {
      if (caller === UNNAMED || said.kind !== 'plain' || !said.ready) continue;
      this.#answers.delete(caller);
      if (!this.#holders.has(caller)) return holder;
    }
    const mayShare = answer.kind === 'plain' && (!answer.ready || this.#answers.has(OTHERS));
    if (mayShare) return OTHERS;
    const counts = `(got ${known.size + 1}, want at most ${LIMITS.readyHoldersMax})`;
    const message = `ready: too many holders beside ${[...known].join(', ')} ${counts}`;
    throw new DroverError('LOCAL_API_INVALID', message, { hint: HOLDERS_HINT });
  }

  /** A renewal changes nothing of the mark, and so writes nothing. */
  async #keepMark(): Promise<void> {
    await this.#writes.run(async () => {
      const mark = encodeReadyMark(this.#holders);
      if (this.#marked === mark) return;
      try {
        await writeWhole(this.#disk, this.#mark, new TextEncoder().encode(mark));
        this.#marked = mark;
      } catch {
        // The disk refuses, which its component reports: retried with the next report.
      }
    });
  }
}
