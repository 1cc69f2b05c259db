/**
 * Enrols robots: keeps the hashes of their claims and of the secrets that they made, in a
 * database of the data folder. A change is durable before the answer, and before the robot may
 * connect, so a restart in the middle loses nothing: the robot asks again and gets the same
 * answer.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { keyNameOf, type EnrolAnswer, type EnrolRequest } from '../../shared/formats/http-api.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import {
  claimsDecision,
  enrolmentDecision,
  type AuditSink,
  type AuditedDecision,
} from '../audit/decision.ts';
import type { EnrolledUsers } from '../access/live-credentials.ts';
import { SteadyDatabase, type DatabaseSnapshot } from '../control/durable-level.ts';
import {
  ClaimTries,
  accepted,
  decideClaim,
  hasKey,
  isForgettable,
  parseRecord,
  revoked,
  showEnrolment,
  turnedAway,
  withClaim,
  type ClaimOrder,
  type EnrolmentRecord,
  type EnrolmentView,
} from './records.ts';

/** Folder of its database, below the data folder. */
export const ENROLMENT_DATABASE = 'enrolment';

export interface EnrolmentOptions {
  /** Its database. */
  readonly folder: string;
  /** Told of each robot that may connect; nobody connects where it is left out. */
  readonly users?: EnrolledUsers;
  /** True for a name of the credentials file, which counts before an enrolled robot. */
  hasUser?(name: string): boolean;
  /** True for the hash of a token of the credentials file. */
  hasToken?(hash: Sha256Hex): boolean;
  /** A credential was replaced or has ended: connections may be outdated. */
  onEnded?(): void;
  /** Records each change, before it is made. */
  readonly audit?: AuditSink;
  readonly log: Log;
}

export class Enrolment {
  readonly #database: SteadyDatabase;
  readonly #options: EnrolmentOptions;
  readonly #records = new Map<RobotId, EnrolmentRecord>();
  readonly #byClaim = new Map<Sha256Hex, RobotId>();
  /** Changes one after the other: each is judged by what is durable. */
  readonly #queue = new SerialQueue();
  readonly #tries = new ClaimTries();
  readonly #seldom: SeldomLog;

  private constructor(database: SteadyDatabase, options: EnrolmentOptions) {
    this.#database = database;
    this.#options = options;
    this.#seldom = new SeldomLog(options.log, LIMITS.refusalLogMs, () => performance.now());
  }

  /** @throws DroverError DATA_LOCKED, DATABASE_DAMAGED, FILE_UNREADABLE */
  static async open(options: EnrolmentOptions): Promise<Enrolment> {
    const database = await SteadyDatabase.open(options.folder, 'utf8');
    const enrolment = new Enrolment(database, options);
    for await (const [key, text] of database.entries()) {
      try {
        enrolment.#show(parseRecord(text as string));
      } catch (error) {
        // one record that cannot be read must not keep the other robots out
        options.log.error({ key, problem: toProblem(error) }, 'enrolment not read, it is left out');
      }
    }
    return enrolment;
  }

  /**
   * A robot asks with its claim.
   * @param from its address
   * @throws DroverError CLAIM_UNKNOWN, CLAIM_TRIES, CLAIM_USED, CLAIM_EXPIRED, CLAIM_REVOKED,
   *   CLAIM_KEY_TAKEN, ROBOT_NAME_TAKEN, DISK_FULL, DISK_WRITE_FAILED
   */
  async claim(request: EnrolRequest, from: string): Promise<EnrolAnswer> {
    const { token_sha256: tokenSha256 } = request;
    const hash = sha256Hex(utf8(request.claim));
    if (!this.#byClaim.has(hash)) throw this.#missed(from);
    return await this.#queue.run(async () => {
      const robot = this.#byClaim.get(hash);
      const record = robot && this.#records.get(robot);
      if (!robot || !record) throw this.#missed(from); // it was replaced meanwhile
      if (this.#options.hasUser?.(robot)) {
        throw new DroverError('ROBOT_NAME_TAKEN', `enrol ${robot}: the file has that user`);
      }
      try {
        const after = decideClaim(record, { tokenSha256, now: Date.now(), from });
        if (after !== record) this.#assertOwnKey(robot, tokenSha256);
        const facts = { from, key: keyNameOf(tokenSha256) };
        const became = after.claim.state === 'used' ? 'enrolled' : 'asked';
        const decision = enrolmentDecision(became, robot, { by: `claim of ${robot}`, ...facts });
        await this.#change(record, after, { facts, decision });
        return { robot_id: robot, status: after.claim.state === 'used' ? 'enrolled' : 'pending' };
      } catch (error) {
        const { code } = toProblem(error);
        const facts = { robot, from, code, key: keyNameOf(tokenSha256) };
        this.#seldom.warn(`${code} ${robot}`, facts, 'enrolment refused');
        throw error;
      }
    });
  }

  /** People take names that differ in case alone for one. @throws DroverError ROBOT_NAME_TAKEN */
  #assertNoLookalike(orders: readonly ClaimOrder[]): void {
    const known = new Map([...this.#records.keys()].map((name) => [name.toLowerCase(), name]));
    for (const { robot_id: robot } of orders) {
      const other = known.get(robot.toLowerCase()) ?? robot;
      known.set(robot.toLowerCase(), robot);
      if (other === robot || this.#records.has(robot)) continue;
      const what = `make claim for ${robot}: it differs from ${other} only in case`;
      throw new DroverError('ROBOT_NAME_TAKEN', what);
    }
  }

  /**
   * Makes claims: all of them or none.
   * @throws DroverError CLAIM_EXISTS, ROBOT_NAME_TAKEN for a name of the credentials file, where a
   *   broker runs that knows it; STORE_FULL, DISK_FULL, DISK_WRITE_FAILED
   */
  async add(orders: readonly ClaimOrder[], { replace }: { replace: boolean }): Promise<void> {
    await this.#queue.run(async () => {
      const taken = orders.find((order) => this.#options.hasUser?.(order.robot_id));
      if (taken) {
        const what = `make claim for ${taken.robot_id}: the credentials file has that user`;
        throw new DroverError('ROBOT_NAME_TAKEN', what);
      }
      this.#assertNoLookalike(orders);
      const now = Date.now();
      const records = orders.map((order) =>
        withClaim(this.#records.get(order.robot_id), order, { replace, now }),
      );
      const robots = records.map((one) => one.robot_id);
      const dropped = this.#roomFor(robots);
      await this.#options.audit?.note(claimsDecision(robots, replace));
      await this.#write(records, dropped);
      for (const robot of dropped) this.#forget(robot);
      for (const record of records) this.#show(record);
      this.#options.log.info({ claims: records.length, replace }, 'claims made');
    });
  }

  /** All of them, by robot id. */
  list(): EnrolmentView[] {
    const now = Date.now();
    const views = [...this.#records.values()].map((record) => showEnrolment(record, now));
    return views.sort((a, b) => (a.robot_id < b.robot_id ? -1 : 1));
  }

  /** @throws DroverError NOT_FOUND, DISK_FULL, DISK_WRITE_FAILED */
  async accept(robot: string, by: string): Promise<void> {
    const accept = (record: EnrolmentRecord) => accepted(record, { by, now: Date.now() });
    await this.#alter(robot, accept, { by, became: 'accepted' });
  }

  /** @throws DroverError as `accept` */
  async refuse(robot: string, by: string): Promise<void> {
    await this.#alter(robot, turnedAway, { by, became: 'refused' });
  }

  /** Ends a claim and a credential. Idempotent. @throws DroverError as `accept` */
  async revoke(robot: string, by: string): Promise<void> {
    await this.#alter(robot, revoked, { by, became: 'revoked' });
  }

  /** Changes every record, as after a restore. @returns how many are other ones now */
  async changeAll(change: (record: EnrolmentRecord) => EnrolmentRecord): Promise<number> {
    return await this.#queue.run(async () => {
      const before = [...this.#records.values()];
      const after = before.map(change).filter((record, at) => record !== before[at]);
      await this.#write(after, []);
      for (const record of after) this.#show(record);
      return after.length;
    });
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

  #missed(from: string): DroverError {
    if (!this.#tries.mayMiss(from, performance.now())) {
      this.#seldom.warn(`tries ${from}`, { from }, 'too many unknown claims from an address');
      return new DroverError('CLAIM_TRIES', 'enrol: too many unknown claims from this address');
    }
    return new DroverError('CLAIM_UNKNOWN', 'enrol: this broker has no such claim');
  }

  /** The secret alone names its user over HTTP, so that two must not share one. */
  #assertOwnKey(robot: RobotId, hash: Sha256Hex): void {
    const isTaken = [...this.#records.values()].some(
      (one) => one.robot_id !== robot && hasKey(one, hash),
    );
    if (!isTaken && !this.#options.hasToken?.(hash)) return;
    throw new DroverError('CLAIM_KEY_TAKEN', `enrol ${robot}: another user has this secret`);
  }

  async #alter(
    robot: string,
    change: (record: EnrolmentRecord) => EnrolmentRecord,
    { by, became }: { readonly by: string; readonly became: 'accepted' | 'refused' | 'revoked' },
  ): Promise<void> {
    await this.#queue.run(async () => {
      const record = this.#records.get(robot as RobotId);
      if (!record) {
        throw new DroverError('NOT_FOUND', `find enrolment ${robot.slice(0, 80)}: there is none`, {
          hint: 'drover-broker enrol list --data DIR, or drover fleet enrolments, lists them',
        });
      }
      const decision = enrolmentDecision(became, record.robot_id, { by });
      await this.#change(record, change(record), { facts: { by }, decision });
    });
  }

  async #change(
    before: EnrolmentRecord,
    after: EnrolmentRecord,
    { facts, decision }: { readonly facts: object; readonly decision: AuditedDecision },
  ): Promise<void> {
    if (after === before) return;
    await this.#options.audit?.note(decision);
    await this.#write([after], []);
    this.#show(after);
    const { robot_id: robot, claim, credential } = after;
    this.#options.log.info({ robot, claim: claim.state, ...facts }, 'enrolment changed');
    const old = before.credential?.token_sha256;
    if (old !== undefined && old !== credential?.token_sha256) this.#options.onEnded?.();
  }

  /** @returns robots whose records go, to make room. @throws DroverError STORE_FULL */
  #roomFor(robots: readonly RobotId[]): RobotId[] {
    const fresh = robots.filter((robot) => !this.#records.has(robot)).length;
    const over = this.#records.size + fresh - LIMITS.enrolmentsMax;
    if (over <= 0) return [];
    const [now, named] = [Date.now(), new Set(robots)];
    const old = [...this.#records.values()]
      .filter((one) => !named.has(one.robot_id) && isForgettable(one, now))
      .map((one) => one.robot_id);
    if (old.length >= over) return old.slice(0, over);
    const counts = `got ${this.#records.size + fresh}, want at most ${LIMITS.enrolmentsMax}`;
    throw new DroverError('STORE_FULL', `make claims: too many enrolments (${counts})`, {
      hint: 'revoke robots and claims that are needed no more: drover-broker enrol revoke ID --data DIR',
    });
  }

  async #write(records: readonly EnrolmentRecord[], dropped: readonly RobotId[]): Promise<void> {
    const puts = records.map((one) => {
      return { type: 'put', key: one.robot_id, value: JSON.stringify(one) } as const;
    });
    const dels = dropped.map((key) => ({ type: 'del', key }) as const);
    await this.#database.batch([...puts, ...dels], { sync: true });
  }

  #show(record: EnrolmentRecord): void {
    const { robot_id: robot, claim, credential } = record;
    const before = this.#records.get(robot);
    if (before) this.#byClaim.delete(before.claim.claim_sha256);
    this.#records.set(robot, record);
    this.#byClaim.set(claim.claim_sha256, robot);
    this.#options.users?.set(robot, credential?.token_sha256 ?? null);
  }

  #forget(robot: RobotId): void {
    const record = this.#records.get(robot);
    if (record) this.#byClaim.delete(record.claim.claim_sha256);
    this.#records.delete(robot);
    this.#options.users?.set(robot, null);
  }
}

/** Enrolment of a broker that may have none: the robots of an engine are known there. */
export type EnrolmentPort = Pick<
  Enrolment,
  'claim' | 'add' | 'list' | 'accept' | 'refuse' | 'revoke'
>;

/** Refuses each call. @param why as in `enrol robots: <why>` */
export function noEnrolment(why: string): EnrolmentPort {
  const refuse = (): never => {
    throw new DroverError('ENROLMENT_OFF', `enrol robots: ${why}`);
  };
  const refuseLater = async (): Promise<never> => refuse();
  return {
    claim: refuseLater,
    add: refuseLater,
    list: refuse,
    accept: refuseLater,
    refuse: refuseLater,
    revoke: refuseLater,
  };
}
