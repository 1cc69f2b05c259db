/**
 * Enrols robots: keeps the hashes of their claims, and of the secrets or keys that they made, in a
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
import { inBackground } from '../../shared/base/in-background.ts';
import {
  keyNameOf,
  type EnrolAnswer,
  type EnrolRequest,
  type RenewAnswer,
  type RenewRequest,
} from '../../shared/formats/http-api.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import {
  certificateDecision,
  claimsDecision,
  enrolmentDecision,
  type AuditSink,
  type AuditedDecision,
} from '../audit/decision.ts';
import type { EnrolledCertificates, ShownCertificate } from '../access/enrolled-certificates.ts';
import type { EnrolledUsers } from '../access/live-credentials.ts';
import type { DatabaseSnapshot } from '../control/durable-level.ts';
import { assertNamesNoOther, readRenewal, type IssuingAuthority } from './authority.ts';
import { changesOf } from './certificate-changes.ts';
import { assertInGrace, issueForClaim, renewal, seen } from './certificate-record.ts';
import type { CheckedRequest } from './certificate-request.ts';
import { ClaimTries } from './claim-tries.ts';
import { EnrolmentBook } from './enrolment-book.ts';
import {
  accepted,
  certifiedOf,
  decideClaim,
  revoked,
  showEnrolment,
  tokenOf,
  turnedAway,
  withClaim,
  type ClaimOrder,
  type EnrolmentRecord,
  type EnrolmentView,
  type Proof,
} from './records.ts';

/** Folder of its database, below the data folder. */
export const ENROLMENT_DATABASE = 'enrolment';

export interface EnrolmentOptions {
  /** Its database. */
  readonly folder: string;
  /** Told of each robot that may connect; nobody connects where it is left out. */
  readonly users?: EnrolledUsers;
  /** Signs certificates, and the list of those that are good; left out where none are issued. */
  readonly certificates?: {
    readonly authority: IssuingAuthority;
    readonly enrolled: EnrolledCertificates;
  };
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

/** A robot that asks. */
interface Asked {
  /** Of its secret or public key. */
  readonly hash: Sha256Hex;
  readonly proof: Proof;
  /** Null for a robot with a secret. */
  readonly request: CheckedRequest | null;
}

interface ChangeCause {
  readonly facts: object;
  readonly decision?: readonly AuditedDecision[];
  readonly by: string;
}

export class Enrolment {
  readonly #book: EnrolmentBook;
  readonly #options: EnrolmentOptions;
  /** Changes one after the other: each is judged by what is durable. */
  readonly #queue = new SerialQueue();
  readonly #tries: ClaimTries;
  readonly #seldom: SeldomLog;

  private constructor(book: EnrolmentBook, options: EnrolmentOptions) {
    this.#book = book;
    this.#options = options;
    this.#seldom = new SeldomLog(options.log, LIMITS.refusalLogMs, () => performance.now());
    this.#tries = new ClaimTries(this.#seldom, () => performance.now());
  }

  /** @throws DroverError DATA_LOCKED, DATABASE_DAMAGED, FILE_UNREADABLE */
  static async open(options: EnrolmentOptions): Promise<Enrolment> {
    const { folder, users, certificates, log } = options;
    const enrolled = certificates?.enrolled;
    const enrolment = new Enrolment(
      await EnrolmentBook.open({ folder, users, enrolled, log }),
      options,
    );
    enrolled?.onSeen((shown) =>
      inBackground(log, 'take up a renewed certificate', enrolment.#saw(shown)),
    );
    return enrolment;
  }

  /**
   * A robot asks with its claim.
   * @param from its address
   * @throws DroverError CLAIM_UNKNOWN, CLAIM_TRIES, CLAIM_USED, CLAIM_EXPIRED, CLAIM_REVOKED,
   *   CLAIM_KEY_TAKEN, ROBOT_NAME_TAKEN, ENROLMENT_OFF, CERTIFICATES_OFF, CSR_INVALID,
   *   CSR_KEY_REFUSED, CERTIFICATE_CLOCK, CERTIFICATE_EXPIRED, DISK_FULL, DISK_READ_ONLY,
   *   DISK_WRITE_FAILED
   */
  async claim(request: EnrolRequest, from: string): Promise<EnrolAnswer> {
    const hash = sha256Hex(utf8(request.claim));
    if (!this.#book.byClaim(hash)) throw this.#tries.missed(from);
    const asked = await this.#readAsk(request);
    return await this.#queue.run(async () => {
      const record = this.#book.byClaim(hash);
      if (!record) throw this.#tries.missed(from); // it was replaced meanwhile
      return await this.#logged(record.robot_id, { from, key: keyNameOf(asked.hash) }, () =>
        this.#decideClaim(record, asked, from),
      );
    });
  }

  /**
   * A robot renews its certificate.
   * @throws DroverError CERTIFICATES_OFF, CERTIFICATE_UNKNOWN, CERTIFICATE_FOREIGN,
   *   CERTIFICATE_TOO_OLD, CERTIFICATE_NOT_DUE, CERTIFICATE_CLOCK, CLAIM_KEY_TAKEN,
   *   CLAIM_TRIES, CSR_INVALID, CSR_KEY_REFUSED, CERTIFICATE_EXPIRED, DISK_FULL, DISK_READ_ONLY,
   *   DISK_WRITE_FAILED
   */
  async renew(request: RenewRequest, from: string): Promise<RenewAnswer> {
    const { authority, enrolled } = this.#issues;
    const asked = await authority.check(request.csr);
    const shown = readRenewal(request, { request: asked, enrolled });
    if (!shown) throw this.#tries.missed(from, 'CERTIFICATE_UNKNOWN');
    const { robot, notAfter } = shown;
    const key = asked.keySha256;
    return await this.#queue.run(() =>
      this.#logged(robot, { from, key: keyNameOf(key) }, async () => {
        const record = this.#book.get(robot);
        const certified = record ? certifiedOf(record) : null;
        const used = certified && seen(certified, shown);
        if (!record || !used) throw this.#tries.missed(from, 'CERTIFICATE_UNKNOWN');
        const now = Date.now();
        assertInGrace(robot, notAfter, now);
        assertNamesNoOther(asked, robot);
        this.#assertOwnKey(robot, key);
        const { after, issued } = renewal(used, { robot, key }, authority.draft(now));
        const certificate = await authority.sign(robot, issued, asked.publicKey);
        const by = `certificate of ${robot}`;
        await this.#change(record, { ...record, credential: after }, { facts: { from }, by });
        return { robot_id: robot, certificate };
      }),
    );
  }

  async #decideClaim(record: EnrolmentRecord, asked: Asked, from: string): Promise<EnrolAnswer> {
    const { robot_id: robot } = record;
    if (this.#options.hasUser?.(robot)) {
      throw new DroverError('ROBOT_NAME_TAKEN', `enrol ${robot}: the file has that user`);
    }
    const { request, hash, proof } = asked;
    if (request) assertNamesNoOther(request, robot);
    const now = Date.now();
    const claimed = decideClaim(record, { proof, now, from });
    if (claimed !== record) this.#assertOwnKey(robot, hash);
    const isIn = claimed.claim.state === 'used';
    const [facts, by] = [{ from, key: keyNameOf(hash) }, `claim of ${robot}`];
    const became = isIn ? 'enrolled' : 'asked';
    const decision = claimed === record ? [] : [enrolmentDecision(became, robot, { by, ...facts })];
    const certified = certifiedOf(claimed);
    if (!isIn || !request || !certified) {
      await this.#change(record, claimed, { facts, decision, by });
      return { robot_id: robot, status: isIn ? 'enrolled' : 'pending' };
    }
    const { authority } = this.#issues;
    const made = issueForClaim(certified, request.keySha256, authority.draft(now));
    if (!made) throw new DroverError('CLAIM_USED', `enrol ${robot}: it has renewed its key since`);
    const certificate = await authority.sign(robot, made.issued, request.publicKey);
    await this.#change(record, { ...claimed, credential: made.after }, { facts, decision, by });
    return { robot_id: robot, status: 'enrolled', certificate };
  }

  /** @throws DroverError ENROLMENT_OFF, CERTIFICATES_OFF, CSR_INVALID, CSR_KEY_REFUSED */
  async #readAsk({ csr, token_sha256: token }: EnrolRequest): Promise<Asked> {
    if (csr !== undefined) {
      const request = await this.#issues.authority.check(csr);
      const hash = request.keySha256;
      return { hash, proof: { key_sha256: hash }, request };
    }
    const { users, certificates } = this.#options;
    if (token !== undefined && (users || !certificates)) {
      return { hash: token, proof: { token_sha256: token }, request: null };
    }
    throw new DroverError('ENROLMENT_OFF', 'enrol: robots get certificates here, and no secrets', {
      hint: 'give drover-robot enrol --identity DIR',
    });
  }

  get #issues(): NonNullable<EnrolmentOptions['certificates']> {
    const { certificates } = this.#options;
    if (certificates) return certificates;
    throw new DroverError('CERTIFICATES_OFF', 'enrol: this broker issues no certificates');
  }

  /** A client has shown a good certificate: a renewed one takes the place of the one before. */
  async #saw(shown: ShownCertificate): Promise<void> {
    const before = this.#book.get(shown.robot);
    const certified = before && certifiedOf(before);
    if (!certified || seen(certified, shown) === certified) return;
    await this.#queue.run(async () => {
      const record = this.#book.get(shown.robot);
      const known = record && certifiedOf(record);
      const after = known && seen(known, shown);
      if (!record || !after || after === known) return;
      const by = `certificate of ${shown.robot}`;
      await this.#change(record, { ...record, credential: after }, { facts: {}, by });
    });
  }

  async #logged<T>(robot: RobotId, facts: object, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { code } = toProblem(error);
      this.#seldom.warn(`${code} ${robot}`, { robot, code, ...facts }, 'enrolment refused');
      throw error;
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
      this.#book.assertNoLookalike(orders);
      const now = Date.now();
      const records = orders.map((order) =>
        withClaim(this.#book.get(order.robot_id), order, { replace, now }),
      );
      const robots = records.map((one) => one.robot_id);
      const dropped = this.#book.roomFor(robots);
      await this.#options.audit?.note(claimsDecision(robots, replace));
      await this.#book.write(records, dropped);
      this.#options.log.info({ claims: records.length, replace }, 'claims made');
    });
  }

  /** All of them, by robot id. */
  list(): EnrolmentView[] {
    const now = Date.now();
    const keys = this.#options.certificates?.authority.keys ?? null;
    const views = this.#book.all().map((record) => showEnrolment(record, now, keys));
    return views.sort((a, b) => (a.robot_id < b.robot_id ? -1 : 1));
  }

  /** Number of certificates in each state. */
  certificates(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { certificate } of this.list()) {
      if (certificate) counts.set(certificate.state, (counts.get(certificate.state) ?? 0) + 1);
    }
    return counts;
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
      const before = this.#book.all();
      const after = before.map(change).filter((record, at) => record !== before[at]);
      await this.#book.write(after);
      return after.length;
    });
  }

  async assertWritable(): Promise<void> {
    await this.#book.assertWritable();
  }

  snapshot(): DatabaseSnapshot {
    return this.#book.snapshot();
  }

  async close(): Promise<void> {
    await this.#book.close();
  }

  /** The secret alone names its user over HTTP, so that two must not share one. */
  #assertOwnKey(robot: RobotId, hash: Sha256Hex): void {
    if (!this.#book.hasOther(robot, hash) && !this.#options.hasToken?.(hash)) return;
    throw new DroverError('CLAIM_KEY_TAKEN', `enrol ${robot}: another user has this secret`);
  }

  async #alter(
    robot: string,
    change: (record: EnrolmentRecord) => EnrolmentRecord,
    { by, became }: { readonly by: string; readonly became: 'accepted' | 'refused' | 'revoked' },
  ): Promise<void> {
    await this.#queue.run(async () => {
      const record = this.#book.get(robot);
      if (!record) {
        throw new DroverError('NOT_FOUND', `find enrolment ${robot.slice(0, 80)}: there is none`, {
          hint: 'drover-broker enrol list --data DIR, or drover fleet enrolments, lists them',
        });
      }
      const decision = [enrolmentDecision(became, record.robot_id, { by })];
      await this.#change(record, change(record), { facts: { by }, decision, by });
    });
  }

  /** @param cause.decision records on the change, apart from those on certificates */
  async #change(
    before: EnrolmentRecord,
    after: EnrolmentRecord,
    { facts, decision = [], by }: ChangeCause,
  ): Promise<void> {
    const { credential } = before;
    const isSame = after.claim === before.claim && after.credential === credential;
    if (after === before || isSame) return;
    const changes = changesOf(certifiedOf(before), certifiedOf(after));
    const certificates = changes.map((one) => certificateDecision(one, before.robot_id, by));
    for (const one of [...decision, ...certificates]) await this.#options.audit?.note(one);
    await this.#book.write([after]);
    const { robot_id: robot, claim } = after;
    const told = changes.length > 0 ? { certificates: changes.map(({ change }) => change) } : {};
    const all = { robot, claim: claim.state, ...facts, ...told };
    this.#options.log.info(all, 'enrolment changed');
    const old = tokenOf(before);
    const isOver = changes.some(({ isEnd }) => isEnd) || (old !== null && old !== tokenOf(after));
    if (isOver) this.#options.onEnded?.();
  }
}

/** Enrolment of a broker that may have none: the robots of an engine are known there. */
export type EnrolmentPort = Pick<
  Enrolment,
  'claim' | 'renew' | 'add' | 'list' | 'accept' | 'refuse' | 'revoke'
>;

/** Refuses each call. @param why as in `enrol robots: <why>` */
export function noEnrolment(why: string): EnrolmentPort {
  const refuse = (): never => {
    throw new DroverError('ENROLMENT_OFF', `enrol robots: ${why}`);
  };
  const refuseLater = async (): Promise<never> => refuse();
  return {
    claim: refuseLater,
    renew: refuseLater,
    add: refuseLater,
    list: refuse,
    accept: refuseLater,
    refuse: refuseLater,
    revoke: refuseLater,
  };
}
