/**
 * The last report of each member on the disk of the leader: after a restart the leader reports
 * the versions that a member had, marked as in doubt until it reports. Written when a
 * version or a phase has changed, and not with each counter.
 */

import { z } from 'zod';
import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import type { ComponentStateFields } from '../../shared/formats/messages.ts';
import { idSchema, parseDocument, sizeSchema } from '../../shared/formats/schema.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';
import type { KeptReport, MemberDesk } from './member-desk.ts';

const KIND = {
  what: 'reports.json',
  schema: z.object({
    reports: z
      .array(
        z.object({
          computer: idSchema,
          atMs: sizeSchema,
          countedBy: z.string().max(64),
          // Written by this program from reports that it had parsed; the broker checks each again.
          components: z.array(z.record(z.string(), z.unknown())).max(LIMITS.setMembersMax),
        }),
      )
      .max(LIMITS.memberComputersMax),
  }),
  bytesMax: LIMITS.manifestBytesMax * 4,
  code: 'STATE_CORRUPT',
} as const;

type Desks = ReadonlyMap<string, MemberDesk>;

export class ReportFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #log: Log;
  /** Two computers may report at one moment: their writes use the same name beside the file. */
  readonly #writes = new SerialQueue();
  #facts = '';
  /** A report that is kept before would go over those of computers that are away. */
  #isLoaded = false;

  constructor(disk: Disk, path: string, log: Log) {
    this.#disk = disk;
    this.#path = path;
    this.#log = log;
  }

  /** Never rejects: what is not read is in doubt until the computers report. */
  async load(desks: Desks): Promise<void> {
    const { value, problem } = await readOrSetAside(this.#disk, this.#path, (bytes) =>
      parseDocument(KIND, bytes),
    ).catch((thrown: unknown) => ({ value: null, problem: toProblem(thrown) }));
    if (problem) this.#log.warn({ problem }, 'last reports of other computers were lost');
    for (const { computer, ...kept } of value?.reports ?? []) {
      const components = kept.components as unknown as ComponentStateFields[];
      desks.get(computer)?.restore({ ...kept, components });
    }
    this.#isLoaded = true;
    await this.keep(desks); // a report may have come first
  }

  /** Never rejects: a report that is not kept is in doubt after a restart, as any other. */
  async keep(desks: Desks): Promise<void> {
    // One that runs may have read older reports; a second one behind it has all.
    if (this.#writes.size >= 2) return await this.#writes.idle();
    await this.#writes.run(() => this.#keep(desks));
  }

  async #keep(desks: Desks): Promise<void> {
    const facts = factsOf(desks);
    if (!this.#isLoaded || facts === this.#facts) return;
    const reports = [...desks].flatMap(([computer, { kept }]) =>
      kept === null ? [] : [{ computer, ...kept }],
    );
    try {
      await writeWhole(
        this.#disk,
        this.#path,
        new TextEncoder().encode(JSON.stringify({ reports })),
      );
      this.#facts = facts;
    } catch (thrown) {
      this.#log.warn(
        { problem: toProblem(thrown) },
        'last report of another computer was not kept',
      );
    }
  }
}

const factsOf = (desks: Desks): string =>
  JSON.stringify([...desks.values()].map(({ kept }) => kept && [kept.countedBy, ...slim(kept)]));

const slim = ({ components }: KeptReport) =>
  components.map(({ name, version, phase, blocked }) => [name, version, phase, blocked]);
