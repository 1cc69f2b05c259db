/**
 * The records of robots that enrol, in a database of the data folder and in memory. A robot may
 * connect only after the record that lets it in is durable.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { EnrolledCertificates } from '../access/enrolled-certificates.ts';
import type { EnrolledUsers } from '../access/live-credentials.ts';
import { DurableLevel, type DatabaseSnapshot } from '../control/durable-level.ts';
import { goodOf, newestOf } from './certificate-record.ts';
import {
  certifiedOf,
  hasKey,
  isForgettable,
  parseRecord,
  tokenOf,
  type ClaimOrder,
  type EnrolmentRecord,
} from './records.ts';

export interface BookOptions {
  /** Its database. */
  readonly folder: string;
  /** Gets each robot that may connect with a secret; none does where it is left out. */
  readonly users?: EnrolledUsers | undefined;
  /** Gets each certificate that is good. */
  readonly enrolled?: EnrolledCertificates | undefined;
  readonly log: Log;
}

export class EnrolmentBook {
  readonly #database: DurableLevel;
  readonly #options: BookOptions;
  readonly #records = new Map<RobotId, EnrolmentRecord>();
  readonly #byClaim = new Map<Sha256Hex, RobotId>();

  private constructor(database: DurableLevel, options: BookOptions) {
    this.#database = database;
    this.#options = options;
  }

  /** @throws DroverError DATA_LOCKED, DATABASE_DAMAGED, FILE_UNREADABLE */
  static async open(options: BookOptions): Promise<EnrolmentBook> {
    const database = await DurableLevel.open(options.folder, 'utf8');
    const book = new EnrolmentBook(database, options);
    for await (const [key, text] of database.entries()) {
      try {
        book.#show(parseRecord(text as string));
      } catch (error) {
        // one record that cannot be read must not keep the other robots out
        options.log.error({ key, problem: toProblem(error) }, 'enrolment not read, it is left out');
      }
    }
    return book;
  }

  get(robot: string): EnrolmentRecord | undefined {
    return this.#records.get(robot as RobotId);
  }

  /** @param hash of a claim */
  byClaim(hash: Sha256Hex): EnrolmentRecord | undefined {
    const robot = this.#byClaim.get(hash);
    return robot === undefined ? undefined : this.#records.get(robot);
  }

  all(): EnrolmentRecord[] {
    return [...this.#records.values()];
  }

  /** True when another robot has the secret or the key of this hash. */
  hasOther(robot: RobotId, hash: Sha256Hex): boolean {
    return this.all().some((one) => one.robot_id !== robot && hasKey(one, hash));
  }

  /** People take names that differ in case alone for one. @throws DroverError ROBOT_NAME_TAKEN */
  assertNoLookalike(orders: readonly ClaimOrder[]): void {
    const known = new Map([...this.#records.keys()].map((name) => [name.toLowerCase(), name]));
    for (const { robot_id: robot } of orders) {
      const other = known.get(robot.toLowerCase()) ?? robot;
      known.set(robot.toLowerCase(), robot);
      if (other === robot || this.#records.has(robot)) continue;
      const what = `make claim for ${robot}: it differs from ${other} only in case`;
      throw new DroverError('ROBOT_NAME_TAKEN', what);
    }
  }

  /** @returns robots whose records go, to make room. @throws DroverError STORE_FULL */
  roomFor(robots: readonly RobotId[]): RobotId[] {
    const fresh = robots.filter((robot) => !this.#records.has(robot)).length;
    const over = this.#records.size + fresh - LIMITS.enrolmentsMax;
    if (over <= 0) return [];
    const [now, named] = [Date.now(), new Set(robots)];
    const old = this.all()
      .filter((one) => !named.has(one.robot_id) && isForgettable(one, now))
      .map((one) => one.robot_id);
    if (old.length >= over) return old.slice(0, over);
    const counts = `got ${this.#records.size + fresh}, want at most ${LIMITS.enrolmentsMax}`;
    throw new DroverError('STORE_FULL', `make claims: too many enrolments (${counts})`, {
      hint: 'revoke robots and claims that are needed no more: drover-broker enrol revoke ID --data DIR',
    });
  }

  /** All of it or nothing, durable when it resolves. @throws DroverError DISK_FULL and others */
  async write(
    records: readonly EnrolmentRecord[],
    dropped: readonly RobotId[] = [],
  ): Promise<void> {
    const puts = records.map((one) => {
      return { type: 'put', key: one.robot_id, value: JSON.stringify(one) } as const;
    });
    const dels = dropped.map((key) => ({ type: 'del', key }) as const);
    await this.#database.batch([...puts, ...dels], { sync: true });
    for (const robot of dropped) this.#forget(robot);
    for (const record of records) this.#show(record);
  }

  async assertWritable(): Promise<void> {
    await this.#database.assertWritable();
  }

  snapshot(): DatabaseSnapshot {
    return this.#database.snapshot();
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  #show(record: EnrolmentRecord): void {
    const { robot_id: robot, claim } = record;
    const before = this.#records.get(robot);
    if (before) this.#byClaim.delete(before.claim.claim_sha256);
    this.#records.set(robot, record);
    this.#byClaim.set(claim.claim_sha256, robot);
    this.#options.users?.set(robot, tokenOf(record));
    const certified = certifiedOf(record);
    const good = certified && {
      issued: goodOf(certified),
      laterThan: certified.restored ? newestOf(certified) : null,
    };
    this.#options.enrolled?.set(robot, good);
  }

  #forget(robot: RobotId): void {
    const record = this.#records.get(robot);
    if (record) this.#byClaim.delete(record.claim.claim_sha256);
    this.#records.delete(robot);
    this.#options.users?.set(robot, null);
    this.#options.enrolled?.set(robot, null);
  }
}
