/**
 * Decides whether a signed document is the newest of its kind, by floors of `seq` that are bound to
 * the keys that set them. A floor stands as long as one of its keys counts: after a stolen key is
 * removed, its documents count for nothing, and those of the remaining keys cannot be replayed. A
 * `seq` or an instant further ahead than a day is refused where the time is known, and raises no
 * lasting floor where the clock may be behind.
 * Robot, broker, relay and controller apply this one rule; why: docs/decisions/0016-floors.md.
 * Sans-I/O.
 */

import { instantText } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import type { EpochMs, Sha256Hex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { PublicKeyHex } from '../crypto/ed25519.ts';

/** No fleet of Drover is older: a clock that shows less is wrong. */
export const FIRST_DAY: EpochMs = Date.UTC(2026, 0, 1);

/**
 * More terms than any fleet had at this time: as if the leader had changed every `leaseRestoreMs`
 * since the first fleet. A restored store also continues from here.
 */
export const termAt = (now: EpochMs): number =>
  Math.min(
    Math.max(Math.floor((now - FIRST_DAY) / LIMITS.leaseRestoreMs), 0),
    LIMITS.leaseTermMax / 2,
  );

/** `lease`: its term. */
export type SeqKind = 'announcement' | 'progress' | 'lease';

/**
 * The highest `seq` of a document that was made at this instant. The `seq` of an announcement is
 * the second in which it was made, or one more than the one before it; the `seq` of progress begins
 * with the term of the lease, and terms rise with each change of leader.
 */
export function seqAt(kind: SeqKind, at: EpochMs): number {
  if (kind === 'announcement') return Math.floor(at / 1000);
  const term = termAt(at) + 1;
  return kind === 'lease' ? term : (term + 1) * LIMITS.seqsPerTerm;
}

/** The highest `seq` that one key has signed; `sha256` of that payload, null when unknown. */
export interface Mark {
  readonly seq: number;
  readonly sha256: Sha256Hex | null;
}

/** By the key that signed. */
export type Marks = Readonly<Record<PublicKeyHex, Mark>>;

export interface Floor {
  readonly said: Marks;
  /** From documents that were ahead of a clock that may have been behind. */
  readonly ahead: Marks;
}

export const NO_FLOOR: Floor = { said: {}, ahead: {} };

/** A document whose signatures were verified. */
export interface SeqDocument {
  readonly kind: SeqKind;
  readonly seq: number;
  readonly issued_at: EpochMs;
  readonly expires_at: EpochMs;
  /** Keys of the role that signed it. */
  readonly signers: readonly PublicKeyHex[];
  /** Hash of the payload. */
  readonly sha256: Sha256Hex;
}

/** The lifetime of an accepted document that was not ahead. */
export interface Life {
  readonly fromMs: EpochMs;
  readonly untilMs: EpochMs;
}

/**
 * - `behind`: a verified instant is later than this clock
 * - `known`: the clock lies within the lifetime of an accepted document
 * - `unsure`: nothing shows that it is right or wrong
 */
export type ClockState = 'behind' | 'unsure' | 'known';

/** How far ahead of a right clock a document may be. */
const AHEAD_MS = LIMITS.aheadMsMax;

/**
 * @param trust.issued_at when the current root was made, if it says so
 * @param life of the last accepted document that was not ahead
 */
export function clockOf(
  now: EpochMs,
  trust: { readonly issued_at?: EpochMs | undefined },
  life: Life | null,
): ClockState {
  const notBefore = Math.max(FIRST_DAY, trust.issued_at ?? 0, life?.fromMs ?? 0) - AHEAD_MS;
  if (now < notBefore) return 'behind';
  return life !== null && now < life.untilMs ? 'known' : 'unsure';
}

/** Its `seq` or its instant is further ahead of this clock than a day. */
export function isAhead(
  said: Pick<SeqDocument, 'kind' | 'seq' | 'issued_at'>,
  now: EpochMs,
): boolean {
  return said.issued_at > now + AHEAD_MS || said.seq > seqAt(said.kind, now + AHEAD_MS);
}

export interface OrderFacts {
  readonly floor: Floor;
  /** Keys of the role in force. */
  readonly keys: readonly PublicKeyHex[];
  readonly clock: ClockState;
  readonly now: EpochMs;
  /**
   * A document that is ahead is refused unless the clock is behind; else only when the clock is
   * known.
   */
  readonly isStrict: boolean;
  /** No document may be issued later: the end of the trust root, where that is checked. */
  readonly issuedBefore?: EpochMs;
}

/** `counts`, or `ahead` of a clock that may be behind: accepted, and no floor for good. */
export type Order = 'counts' | 'ahead';

/**
 * An equal `seq` is the same document again; another one with it is refused.
 * @throws DroverError ANNOUNCEMENT_REPLAYED, SEQ_CONFLICT, ANNOUNCEMENT_AHEAD, ANNOUNCEMENT_EXPIRED
 */
export function judgeOrder(said: SeqDocument, facts: OrderFacts): Order {
  const { floor, keys, clock, now, isStrict } = facts;
  const ahead = isAhead(said, now);
  assertAbove(said, topOf(floor.said, keys));
  // A clock that is right shows which of the two is wrong: what is ahead of it.
  if (ahead || clock === 'behind') assertAbove(said, topOf(floor.ahead, keys));
  assertOwnInstant(said, facts.issuedBefore);
  if (ahead && (clock === 'known' || (isStrict && clock === 'unsure'))) {
    throw aheadOf(said, `now ${instantText(now)}`);
  }
  assertNotExpired(said, now);
  return ahead ? 'ahead' : 'counts';
}

/** The floor after it was accepted. It only rises, but for marks that were ahead of a right clock. */
export function raisedFloor(floor: Floor, said: SeqDocument, order: Order): Floor {
  if (order === 'ahead') return { ...floor, ahead: raisedMarks(floor.ahead, said) };
  return { said: raisedMarks(floor.said, said), ahead: {} };
}

function raisedMarks(marks: Marks, { signers, seq, sha256 }: SeqDocument): Marks {
  const raised: Record<PublicKeyHex, Mark> = { ...marks };
  for (const key of signers) {
    if ((raised[key]?.seq ?? 0) <= seq) raised[key] = { seq, sha256 };
  }
  return raised;
}

/** The higher mark of each key. */
export function mergedFloor(a: Floor, b: Floor): Floor {
  return { said: mergedMarks(a.said, b.said), ahead: mergedMarks(a.ahead, b.ahead) };
}

function mergedMarks(a: Marks, b: Marks): Marks {
  const merged: Record<PublicKeyHex, Mark> = { ...a };
  for (const [key, mark] of Object.entries(b)) {
    const known = merged[key];
    const isNews = !known || mark.seq > known.seq || (mark.seq === known.seq && !known.sha256);
    if (isNews) merged[key] = mark;
  }
  return merged;
}

/** Without the marks of keys that no longer count. */
export function floorUnder(floor: Floor, keys: readonly PublicKeyHex[]): Floor {
  const only = (marks: Marks): Marks =>
    Object.fromEntries(Object.entries(marks).filter(([key]) => keys.includes(key)));
  return { said: only(floor.said), ahead: only(floor.ahead) };
}

/** A floor whose signers were not stored: any of the keys may have set it. */
export function floorOfUnknown(seq: number, keys: readonly PublicKeyHex[]): Floor {
  if (seq === 0) return NO_FLOOR;
  return { said: Object.fromEntries(keys.map((key) => [key, { seq, sha256: null }])), ahead: {} };
}

/**
 * Marks that are ahead of this clock, put where a right clock can pass them: a program that knew no
 * such bound has set them. A clock that is behind moves nothing.
 */
export function sortedFloor(floor: Floor, kind: SeqKind, now: EpochMs, clock: ClockState): Floor {
  if (clock === 'behind') return floor;
  // A mark with a hash was judged by this rule when it came.
  const isHonest = ({ seq, sha256 }: Mark): boolean =>
    sha256 !== null || seq <= seqAt(kind, now + AHEAD_MS);
  const all = Object.entries(floor.said);
  const [honest, odd] = [
    all.filter((one) => isHonest(one[1])),
    all.filter((one) => !isHonest(one[1])),
  ];
  if (odd.length === 0) return floor;
  const ahead = mergedMarks(floor.ahead, Object.fromEntries(odd));
  return { said: Object.fromEntries(honest), ahead };
}

/** The lowest `seq` that is not a replay, 0 for any: shown to people. */
export function seqOf(floor: Floor, keys: readonly PublicKeyHex[]): number {
  return Math.max(topOf(floor.said, keys)?.seq ?? 0, topOf(floor.ahead, keys)?.seq ?? 0);
}

export const countedSeq = ({ said }: Floor, keys: readonly PublicKeyHex[]): number =>
  topOf(said, keys)?.seq ?? 0;

function topOf(marks: Marks, keys: readonly PublicKeyHex[]): Mark | null {
  let top: Mark | null = null;
  for (const key of keys) {
    const mark = Object.hasOwn(marks, key) ? marks[key] : undefined;
    if (mark && (top === null || mark.seq > top.seq)) top = mark;
  }
  return top;
}

function assertAbove({ kind, seq, sha256 }: SeqDocument, top: Mark | null): void {
  if (top === null || seq > top.seq) return;
  if (seq < top.seq) {
    throw new DroverError(
      'ANNOUNCEMENT_REPLAYED',
      `accept ${kind}: older than one seen before (got seq ${seq}, want at least ${top.seq})`,
      { facts: { got: seq, want: top.seq } },
    );
  }
  if (top.sha256 === null || top.sha256 === sha256) return;
  throw new DroverError('SEQ_CONFLICT', `accept ${kind}: another one with seq ${seq} came first`, {
    facts: { got: seq },
  });
}

/** Asks no clock: what contradicts itself is wrong whatever the time is. */
function assertOwnInstant(said: SeqDocument, issuedBefore = Number.POSITIVE_INFINITY): void {
  const { kind, seq, issued_at: issued } = said;
  if (issued >= issuedBefore) {
    throw aheadOf(said, `the end of trust.json, ${instantText(issuedBefore)}`);
  }
  if (kind === 'announcement' && issued >= FIRST_DAY && seq > seqAt(kind, issued + AHEAD_MS)) {
    throw aheadOf(said, 'its own issued_at');
  }
}

function aheadOf(
  { kind, seq, issued_at: issued }: Pick<SeqDocument, 'kind' | 'seq' | 'issued_at'>,
  of: string,
): DroverError {
  const got = `got seq ${seq} of ${instantText(issued)}`;
  return new DroverError(
    'ANNOUNCEMENT_AHEAD',
    `accept ${kind}: too far ahead (${got}, want at most a day after ${of})`,
    { facts: { got: seq } },
  );
}

/**
 * Refuses documents of the future, for a program that keeps no floor of its own.
 * @throws DroverError ANNOUNCEMENT_AHEAD
 */
export function assertTimely(
  said: Pick<SeqDocument, 'kind' | 'seq' | 'issued_at'>,
  trust: { readonly issued_at?: EpochMs | undefined },
  now: EpochMs,
): void {
  if (clockOf(now, trust, null) === 'behind' || !isAhead(said, now)) return;
  throw aheadOf(said, `now ${instantText(now)}`);
}

function assertNotExpired({ kind, seq, expires_at: expires }: SeqDocument, now: EpochMs): void {
  if (now < expires) return;
  const [got, want] = [instantText(now), instantText(expires)];
  throw new DroverError(
    'ANNOUNCEMENT_EXPIRED',
    `accept ${kind} ${seq}: expired (got now ${got}, want before ${want})`,
  );
}
