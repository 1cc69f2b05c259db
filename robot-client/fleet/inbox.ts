/**
 * Accepts announcements and progress; no other file does. The signature is checked first, then
 * shape, fleet and freshness. The floor is written before anything acts on the document, so that no
 * crash can lower it.
 */

import {
  assertFresh,
  openAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { proofOf } from '../../shared/formats/envelope.ts';
import { DroverError, failureOf, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import { assertTrustCurrent, type TrustRoot } from '../../shared/formats/trust.ts';
import { isSameRole } from '../../shared/formats/trust-chain.ts';
import {
  clockOf,
  countedSeq,
  floorUnder,
  judgeOrder,
  mergedFloor,
  NO_FLOOR,
  raisedFloor,
  sortedFloor,
  type Floor,
  type Order,
  type SeqDocument,
} from '../../shared/rules/freshness.ts';
import type { Disk } from '../install/disk-port.ts';
import type { HeardFacts } from '../update/verdict.ts';
import {
  encodeSeen,
  mergeSeen,
  NOTHING_SEEN,
  readSeen,
  writeSeen,
  type Seen,
} from './seen-file.ts';
import { keepIn, onlyIn, type Copies } from './state-copies.ts';

export class Inbox {
  readonly #disk: Disk;
  /** Name of the file in each state folder. */
  readonly #name: string;
  readonly #trust: TrustRoot;
  /** The last progress of each rollout, announced or not. */
  readonly #heard = new Map<string, Heard>();
  #seen: Seen = NOTHING_SEEN;
  /** The last write of the floors: serial, so that none is lost. */
  #written: Promise<void> = Promise.resolve();
  #announcement: Announcement | null = null;
  #announcementBytes: Uint8Array | null = null;
  #announcedBy: readonly PublicKeyHex[] = [];

  /** True once the floors of the first root were read. */
  hasFirst = false;
  readonly #imageVersion: number;
  readonly #copies: Copies;
  /** The floors in each file: known before a write, and written only when they differ. */
  readonly #stands = new Map<string, string>();
  /** Floors of roots that could not be read at the start. */
  #late: Seen[] = [];

  /**
   * @param seenPath in the first root
   * @param trust holds the root of the image until it is loaded
   * @param copies the places of the file; only `seenPath` by default
   */
  constructor(disk: Disk, seenPath: string, trust: TrustRoot, copies: Copies | null = null) {
    const at = seenPath.lastIndexOf('/');
    this.#disk = disk;
    this.#name = seenPath.slice(at + 1);
    this.#trust = trust;
    this.#imageVersion = trust.version;
    this.#copies = copies ?? onlyIn(seenPath.slice(0, at));
  }

  /**
   * Call after the trust is loaded, and again when the first root becomes readable.
   * @returns what is wrong with floors or trust; null when nothing
   * @throws DroverError when the first root cannot be read and no other knows floors of this fleet
   */
  load(): Promise<Problem | null> {
    return this.#inTurn(() => this.#load());
  }

  async #load(): Promise<Problem | null> {
    const { fleet } = this.#trust;
    let problem: Problem | null = null;
    let copiesKnown = 0;
    const failure = await failureOf(
      this.#copies.first(async (folder) => {
        const read = await this.#read(folder);
        problem = read.problem;
        this.hasFirst = true;
        // Floors of 0.1 do not name their fleet.
        this.#seen = { ...mergeSeen({ ...read.seen, fleet }, this.#seen, fleet), fleet };
      }),
    );
    await this.#copies.others(async (folder) => {
      const { seen } = await this.#read(folder);
      if (seen.fleet === fleet) copiesKnown += 1;
      this.#seen = mergeSeen(this.#seen, seen, fleet);
    });
    if (failure && copiesKnown === 0 && !(await this.#copies.isFirstAbsent())) throw failure;
    // Its component reports a disk that refuses.
    await this.#writeAll(this.#stamped(this.#seen)).catch(() => {});
    const loss = this.#trustLoss();
    return problem ?? (loss && toProblem(loss));
  }

  /** Updates each root that has other floors. */
  async settle(): Promise<void> {
    await this.#keep((seen) => seen).catch(() => {}); // its component reports it
  }

  async #read(folder: string): ReturnType<typeof readSeen> {
    const read = await readSeen(this.#disk, `${folder}/${this.#name}`, this.#keys);
    this.#stands.set(folder, encodeSeen(read.seen, this.#keys));
    return read;
  }

  /** @throws DroverError when no root has stored it */
  async #writeAll(seen: Seen): Promise<void> {
    await keepIn(this.#copies, (folder) => this.#write(folder, seen));
    const { fleet } = this.#trust;
    const late = this.#late.splice(0);
    this.#seen = late.reduce((merged, one) => mergeSeen(merged, one, fleet), seen);
  }

  async #write(folder: string, floors: Seen): Promise<void> {
    let seen = floors;
    if (!this.#stands.has(folder)) {
      const read = await this.#read(folder);
      this.#late.push(read.seen);
      seen = mergeSeen(floors, read.seen, this.#trust.fleet);
    }
    const text = encodeSeen(seen, this.#keys);
    if (this.#stands.get(folder) === text) return;
    await writeSeen(this.#disk, `${folder}/${this.#name}`, text);
    this.#stands.set(folder, text);
  }

  /** Adds our fleet, and the current root as the floor of trust unless it is that of the image. */
  #stamped(before: Seen): Seen {
    const { fleet, version } = this.#trust;
    const seen = this.#underKeys({ ...before, fleet });
    const floor = seen.trust?.fleet === fleet ? seen.trust.version : 0;
    if (version <= this.#imageVersion || version <= floor) return seen;
    return { ...seen, trust: { fleet, version } };
  }

  /** Drops the marks of replaced keys: one of them may have been stolen. */
  #underKeys(seen: Seen): Seen {
    if (this.#trustLoss()) return seen; // keys of the root that has to arrive again
    const all = Object.entries(seen.progress);
    const progress = all.map(([id, floor]) => [id, floorUnder(floor, this.#keys)] as const);
    const announcement = floorUnder(seen.announcement, this.#keys);
    return { ...seen, announcement, progress: Object.fromEntries(progress) };
  }

  get #keys() {
    return this.#trust.roles.rollout.keys;
  }

  /**
   * Keys that were rotated away may be those of the root that is left: nothing is accepted under
   * it.
   */
  #trustLoss(): DroverError | null {
    const { fleet, version } = this.#trust;
    const floor = this.#seen.trust;
    if (floor?.fleet !== fleet || version >= floor.version) return null;
    const message = `check trust.json: it was lost (got version ${version}, want at least ${floor.version}, which this robot had accepted)`;
    return new DroverError('TRUST_LOST', message);
  }

  #assertTrust(now: EpochMs): void {
    const loss = this.#trustLoss();
    if (loss) throw loss;
    assertTrustCurrent(this.#trust, now);
  }

  /** The trust root has changed. Under other keys accepted documents have to arrive again. */
  async followTrust(before: TrustRoot): Promise<void> {
    if (!isSameRole(before, this.#trust, 'rollout')) this.forget();
    await this.settle(); // or with the next accepted document
  }

  /** The newest accepted announcement, expired or not. */
  get announcement(): Announcement | null {
    return this.#announcement;
  }

  /** Its bytes as they arrived. */
  get announcementBytes(): Uint8Array | null {
    return this.#announcementBytes;
  }

  /** All facts that a component decides by, of one instant. */
  get heard(): HeardFacts {
    const toldBy = [...this.#heard].map(([id, { signers }]) => [id, signers] as const);
    const { completeSince } = this;
    const announcedBy = this.#announcedBy;
    return {
      progress: this.progress,
      completeSince,
      announcedBy,
      toldBy: new Map(toldBy),
    };
  }

  get progress(): ReadonlyMap<string, Progress> {
    return new Map([...this.#heard].map(([id, { progress }]) => [id, progress]));
  }

  /** The highest announcement `seq` that counts under the current keys; 0 for none. */
  get seq(): number {
    return countedSeq(this.#seen.announcement, this.#keys);
  }

  get completeSince(): ReadonlyMap<string, EpochMs> {
    return new Map(Object.entries(this.#seen.completeSince));
  }

  /** @throws DroverError ANNOUNCEMENT_EXPIRED when it expired after it was accepted */
  currentAnnouncement(now: EpochMs): Announcement | null {
    const announcement = this.#announcement;
    if (announcement) assertFresh(announcement, announcement.seq, now);
    return announcement;
  }

  /** The keys have changed: documents accepted under the old ones have to arrive again. */
  forget(): void {
    this.#announcement = null;
    this.#announcementBytes = null;
    this.#heard.clear();
  }

  /** @throws DroverError ANNOUNCEMENT_*, SEQ_CONFLICT */
  #judge(said: SeqDocument, floor: Floor, now: EpochMs): Judged {
    const { kind } = said;
    const keys = this.#keys;
    const clock = clockOf(now, this.#trust, this.#seen.life ?? null);
    const sorted = (one: Floor): Floor => sortedFloor(one, kind, now, clock);
    // Never strict: the clock of a robot may be behind, and it must accept newer documents all the
    // same.
    const issuedBefore = this.#trust.expires;
    const facts = { floor: sorted(floor), keys, clock, now, isStrict: false, issuedBefore };
    const order = judgeOrder(said, facts);
    const { signers } = said;
    return { order, signers, raise: (one) => raisedFloor(sorted(one), said, order) };
  }

  /**
   * [P-5.6] [P-10.1]
   * @throws DroverError TRUST_LOST, TRUST_EXPIRED, ENVELOPE_*, ANNOUNCEMENT_*, FLEET_WRONG
   */
  async acceptAnnouncement(bytes: Uint8Array, now: EpochMs): Promise<Announcement> {
    this.#assertTrust(now);
    const announcement = openAnnouncement(bytes, this.#trust);
    const { seq, issued_at, expires_at } = announcement;
    const proof = proofOf(bytes, this.#trust.roles.rollout);
    const said: SeqDocument = { kind: 'announcement', seq, issued_at, expires_at, ...proof };
    const judged = this.#judge(said, this.#seen.announcement, now);
    // Progress may have come first: a broker keeps no order between topics.
    const heard = announcement.rollouts.flatMap(({ id }) => this.#heardOf(id));
    // In this order: without a floor on the disk the same bytes would be accepted next time.
    await this.#keep((seen) => {
      const raised = judged.raise(seen.announcement);
      const life = { fromMs: issued_at, untilMs: expires_at };
      const isTimely = judged.order === 'counts';
      return withFloors({ ...seen, announcement: raised, ...(isTimely && { life }) }, heard, now);
    });
    this.#announcement = announcement;
    this.#announcementBytes = bytes;
    this.#announcedBy = proof.signers;
    return announcement;
  }

  /** @throws DroverError TRUST_LOST, TRUST_EXPIRED, ENVELOPE_*, ANNOUNCEMENT_*, FLEET_WRONG */
  async acceptProgress(bytes: Uint8Array, now: EpochMs): Promise<void> {
    this.#assertTrust(now);
    const progress = openProgress(bytes, this.#trust);
    const { rollout, seq, issued_at, expires_at } = progress;
    const proof = proofOf(bytes, this.#trust.roles.rollout);
    const said: SeqDocument = { kind: 'progress', seq, issued_at, expires_at, ...proof };
    const active = new Set<string>(this.#announcement?.rollouts.map((one) => one.id));
    const known = this.#seen.progress[rollout] ?? NO_FLOOR;
    const judged = this.#judge(said, this.#floorBeside(rollout, known), now);
    if (!active.has(rollout)) return this.#remember(progress, judged, active);
    // Only announced rollouts keep a floor, so the file stays small.
    const only = <T>(record: Record<string, T>): Record<string, T> =>
      Object.fromEntries(Object.entries(record).filter(([id]) => active.has(id)));
    try {
      await this.#keep(({ progress: floors, completeSince, ...others }) => {
        const seen = { ...others, progress: only(floors), completeSince: only(completeSince) };
        return withFloors(seen, [{ ...judged, progress }], now);
      });
    } finally {
      // Only now: a component that acts on it earlier would count from a moment that a power cut
      // forgets. Also when the disk is full: a stop or a recall holds without a floor.
      this.#remember(progress, judged, active);
    }
  }

  #keep(change: (seen: Seen) => Seen): Promise<void> {
    return this.#inTurn(() => this.#writeAll(this.#stamped(change(this.#seen))));
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const running = this.#written.then(run);
    this.#written = running.then(
      () => {},
      () => {}, // the caller gets the failure
    );
    return running;
  }

  /**
   * Newest last. Of rollouts that are no longer announced the least recently used are dropped: a
   * recall is acted on when it arrives, and the broker sends retained progress again.
   */
  #remember(progress: Progress, judged: Judged, active: ReadonlySet<string>): void {
    this.#heard.delete(progress.rollout);
    this.#heard.set(progress.rollout, { ...judged, progress });
    for (const id of this.#heard.keys()) {
      if (this.#heard.size <= LIMITS.rolloutsMax * 2) return;
      if (!active.has(id)) this.#heard.delete(id);
    }
  }

  #heardOf(rollout: string): Heard[] {
    const heard = this.#heard.get(rollout);
    return heard ? [heard] : [];
  }

  /** Rollouts that are no longer announced keep no floor on the disk, but one in memory. */
  #floorBeside(rollout: string, known: Floor): Floor {
    const [heard] = this.#heardOf(rollout);
    return heard ? mergedFloor(known, heard.raise(NO_FLOOR)) : known;
  }
}

interface Judged {
  readonly order: Order;
  readonly signers: readonly PublicKeyHex[];
  /** Raises this floor. */
  readonly raise: (floor: Floor) => Floor;
}

interface Heard extends Judged {
  readonly progress: Progress;
}

/** Adds the floors of announced rollouts, and the instants at which they were complete. */
function withFloors(seen: Seen, heard: readonly Heard[], now: EpochMs): Seen {
  const [progress, completeSince] = [{ ...seen.progress }, { ...seen.completeSince }];
  for (const { progress: document, raise } of heard) {
    const { rollout, status, issued_at: issuedMs } = document;
    progress[rollout] = raise(progress[rollout] ?? NO_FLOOR);
    if (status !== 'complete') continue;
    // By a clock that was ahead it may lie in the future, and would be waited for; one that begins
    // in 1970 would end the wait of all robots at once.
    const at = Math.max(now, issuedMs);
    completeSince[rollout] = Math.min(completeSince[rollout] ?? at, at);
  }
  return { ...seen, progress, completeSince };
}
