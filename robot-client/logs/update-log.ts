/**
 * The log of the update of one component. It collects lines while the update runs, has them on the
 * disk before the robot reboots, and keeps them with the journal when the update fails, before
 * anything goes back. It never rejects and never decides about an update.
 */

import { z } from 'zod';
import { toProblem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { packLog } from '../../shared/io/packed-log.ts';
import { failureText } from '../../shared/base/redact.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { writeWhole } from '../install/small-file.ts';
import type { UpdateReporter } from '../component-options.ts';
import type { Job } from '../update/state.ts';
import { readBootId, readJournal } from './journal.ts';
import { decideLog, type LogSubject, type UpdateFailure, type UpdateStep } from './keep-rule.ts';
import { KeptLogs, type KeptFailure } from './kept-logs.ts';
import { LogLines } from './log-lines.ts';

export interface UpdateLogOptions {
  readonly component: string;
  readonly layout: Layout;
  readonly disk: Disk;
  readonly units: readonly string[];
  /** Of one log, compressed. */
  readonly bytesMax: number;
  /** False where it stays on the robot: then no report promises it. */
  readonly isHandedOver: boolean;
  readonly log: Log;
  now(): EpochMs;
  /** A log was kept. */
  onKept(): void;
}

const subjectSchema = z.object({
  rollout: z.string(),
  version: z.string(),
  startedAtMs: z.number(),
  bootId: z.string().nullable(),
  isKept: z.boolean(),
});

export class UpdateLog implements UpdateReporter {
  readonly #options: UpdateLogOptions;
  readonly #kept: KeptLogs;
  readonly #writes = new SerialQueue();
  #subject: LogSubject | null = null;
  #lines = new LogLines();
  #newest: KeptFailure | null = null;
  #isRead = false;
  #isDirty = false;
  #writtenMs = -Infinity;

  constructor(options: UpdateLogOptions) {
    this.#options = options;
    this.#kept = new KeptLogs(options.disk, options.layout.state);
  }

  get component(): string {
    return this.#options.component;
  }

  /** The last log of a failed update; null when there is none, or it was not read yet. */
  get newest(): KeptFailure | null {
    return this.#newest;
  }

  get told(): UpdateReporter['told'] {
    const { rollout, version, code, failed_at: at } = this.#newest?.head ?? {};
    if (!this.#options.isHandedOver) return null;
    if (rollout === undefined || version === undefined || !code || !at) return null;
    return { rollout, version, code, at, bytes: this.#newest?.packed.byteLength ?? 0 };
  }

  /** A line of the agent. */
  say(level: string, facts: object, message: string): void {
    this.#lines.say(level, facts, message, this.#options.now());
    this.#isDirty = true;
  }

  output(label: string, text: string): void {
    this.#lines.output(label, text, this.#options.now());
    this.#isDirty = true;
    if (performance.now() - this.#writtenMs < LIMITS.failureLogFlushMs) return;
    inBackground(this.#options.log, 'write the log of an update', this.#write());
  }

  async follow(step: UpdateStep): Promise<void> {
    try {
      await this.#read();
      const { begins, failure } = decideLog(this.#subject, step);
      if (begins) await this.#begin(begins);
      if (failure) await this.#keep(failure);
      await this.#write();
    } catch (error) {
      this.#warn(error);
    }
  }

  /** True when that log was handed over before. */
  async wasSent(log: KeptFailure): Promise<boolean> {
    return (await this.#kept.sent().catch(() => 0)) >= log.number;
  }

  async noteSent(log: KeptFailure): Promise<void> {
    await this.#kept.noteSent(log.number).catch((error: unknown) => this.#warn(error));
  }

  get #path(): string {
    return `${this.#options.layout.state}/update-log`;
  }

  /** Lines of an update that an agent before this one followed. */
  async #read(): Promise<void> {
    if (this.#isRead) return;
    this.#isRead = true;
    const { disk, component } = this.#options;
    this.#newest = await this.#kept.newest(component);
    if (this.#newest) this.#options.onKept();
    const bytes = await disk.readFile(this.#path, 4 * LIMITS.failureLogSpoolBytes);
    if (bytes === null) return;
    const [head = '', ...lines] = Buffer.from(bytes).toString('utf8').split('\n');
    const subject = subjectSchema.safeParse(nullIfNoJson(head));
    if (!subject.success) return;
    this.#subject = subject.data;
    const said = this.#lines.text; // by this agent, before its first step
    this.#lines = new LogLines(`${lines.join('\n').trimEnd()}\n${said}`.trimEnd());
  }

  async #begin({ rollout, version, startedAtMs }: Job): Promise<void> {
    this.#lines = new LogLines();
    this.#subject = { rollout, version, startedAtMs, bootId: await readBootId(), isKept: false };
    this.say('info', {}, `${this.component}: update to ${version} begins, rollout ${rollout}`);
  }

  async #keep(failure: UpdateFailure): Promise<void> {
    const { units, bytesMax, now, component, onKept } = this.#options;
    const bootId = await readBootId();
    const begun = this.#subject?.bootId ?? bootId;
    const journal = await readJournal({ units, isOtherBoot: begun !== bootId });
    const head = {
      component,
      ...failure,
      message: failureText(failure.message),
      failed_at: new Date(now()).toISOString(),
    };
    const own = { title: 'agent, hooks and modules', text: this.#lines.text };
    const packed = await packLog(JSON.stringify(head), [...journal, own], bytesMax);
    if (!packed) return;
    await this.#kept.keep(failure.rollout, packed);
    this.#newest = await this.#kept.newest(component);
    if (this.#subject) this.#subject = { ...this.#subject, isKept: true };
    this.#isDirty = true;
    onKept();
  }

  /** Nothing is written outside an update. */
  async #write(): Promise<void> {
    await this.#writes.run(async () => {
      const subject = this.#subject;
      if (!this.#isDirty || subject === null) return;
      this.#isDirty = false;
      this.#writtenMs = performance.now();
      const { disk, layout } = this.#options;
      if ((await disk.kind(layout.state)) !== 'folder') return;
      const bytes = Buffer.from(`${JSON.stringify(subject)}\n${this.#lines.text}`);
      await writeWhole(disk, this.#path, bytes).catch(async (error: unknown) => {
        await disk.unlink(`${this.#path}.new`).catch(() => undefined); // its room is for the update
        this.#warn(error);
      });
    });
  }

  #warn(error: unknown): void {
    const facts = { component: this.component, problem: toProblem(error) };
    this.#options.log.warn(facts, 'log of the update not kept');
  }
}

function nullIfNoJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // cut by a power cut: the lines are lost
  }
}
