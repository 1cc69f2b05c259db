/**
 * Keeps events until the broker has acknowledged them, across restarts. A report that cannot be
 * sent never changes the outcome of an install, which only writes here. When the outbox is full the
 * oldest events are dropped, and the gap in `event_seq` shows it.
 */

import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { encodeMessage, type RobotEventFields } from '../../shared/formats/messages.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { parseDocument, sizeSchema } from '../../shared/formats/schema.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';

/** Its file in the state folder of the first root. */
export const OUTBOX = 'outbox.json';

const KIND = {
  what: OUTBOX,
  schema: z.object({
    nextSeq: sizeSchema,
    events: z.array(z.record(z.string(), z.unknown())).max(LIMITS.outboxEventsMax),
  }),
  bytesMax: LIMITS.outboxEventsMax * LIMITS.reportBytesMax,
  code: 'STATE_CORRUPT',
} as const;

type Send = (event: Uint8Array) => Promise<void>;

export class Outbox {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #log: Log;
  /** Of this start: numbers of a lost or restored disk begin under another one. */
  readonly epoch = randomBytes(8).toString('hex');
  #nextSeq = 1;
  #events: RobotEventFields[] = [];
  readonly #saving = new SerialQueue();
  #flushing = false;
  /** False while the file may hold events that were not read yet. */
  #isLoaded = false;

  constructor(disk: Disk, path: string, log: Log) {
    this.#disk = disk;
    this.#path = path;
    this.#log = log;
  }

  /** @returns what was wrong with the file; null when nothing */
  async load(): Promise<Problem | null> {
    const { value, problem } = await readOrSetAside(this.#disk, this.#path, (bytes) =>
      parseDocument(KIND, bytes),
    );
    if (problem) this.#log.warn({ problem }, 'outbox was damaged and set aside');
    this.#isLoaded = true;
    if (!value) return problem;
    // This program wrote them from typed values, and the broker checks each again. Events that were
    // added before this have numbers already.
    const older = value.events as unknown as RobotEventFields[];
    if (this.#nextSeq === 1) this.#nextSeq = value.nextSeq;
    this.#events = [...older, ...this.#events].slice(-LIMITS.outboxEventsMax);
    return problem;
  }

  get waiting(): number {
    return this.#events.length;
  }

  /** Never rejects: an event that cannot be saved is still sent if the agent runs long enough. */
  async add(event: Omit<RobotEventFields, 'event_seq'>): Promise<void> {
    this.#events.push({ ...event, event_seq: this.#nextSeq, event_epoch: this.epoch });
    this.#nextSeq += 1;
    if (this.#events.length > LIMITS.outboxEventsMax) this.#events.shift();
    await this.#save();
  }

  /** Sends from the oldest on; stops at the first failure and keeps the rest. */
  async flush(send: Send): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    const before = this.#events.length;
    try {
      while (this.#events.length > 0) {
        const event = this.#events[0] as RobotEventFields;
        await send(encodeMessage(event));
        if (this.#events[0] === event) this.#events.shift();
      }
    } catch (error) {
      this.#log.debug({ error: String(error) }, 'events wait for the link');
    } finally {
      this.#flushing = false;
    }
    if (this.#events.length !== before) await this.#save();
  }

  #save(): Promise<void> {
    return this.#saving.run(async () => {
      if (!this.#isLoaded) return;
      const text = JSON.stringify({ nextSeq: this.#nextSeq, events: this.#events });
      try {
        await writeWhole(this.#disk, this.#path, new TextEncoder().encode(text));
      } catch (error) {
        this.#log.warn({ error: String(error) }, 'outbox could not be saved');
      }
    });
  }
}
