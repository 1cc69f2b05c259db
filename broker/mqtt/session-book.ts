/**
 * Keeps account of the sessions that outlive their connections: the user of each, how long its
 * client has been away, and what is queued for it. Each user has a share, so that no credential can
 * take all sessions or fill the disk, and a session whose client does not return ends. Sans-I/O.
 */

import { ANYONE } from '../access/access.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** A session as it is stored. */
export interface SessionRecord {
  /** Null for a session of a broker that stored no owners: the next client with that id owns it. */
  readonly owner: string | null;
  /** Milliseconds for which this broker ran while the client was away. */
  readonly awayMs: number;
}

export interface SessionView extends SessionRecord {
  readonly session: string;
  readonly messages: number;
  readonly bytes: number;
  /** Messages that were dropped since this broker started because the queue was full. */
  readonly dropped: number;
}

interface Entry {
  owner: string | null;
  awayMs: number;
  messages: number;
  bytes: number;
  dropped: number;
  /** Bytes of QoS 2 messages on their way, by their number: at most as many as are queued. */
  readonly sent: Map<number, number>;
}

/** Size of a queued message beyond topic and payload: its number, flags and key. */
const MESSAGE_OVERHEAD_BYTES = 100;

/** A PUBREL, which takes the place of its QoS 2 message, has neither topic nor payload. */
export const queuedBytes = (packet: { topic?: string; payload?: Uint8Array }): number =>
  Buffer.byteLength(packet.topic ?? '') + (packet.payload?.length ?? 0) + MESSAGE_OVERHEAD_BYTES;

export class SessionBook {
  readonly #entries = new Map<string, Entry>();
  /** Sessions and queued bytes of each user. */
  readonly #shares = new Map<string | null, { sessions: number; bytes: number }>();
  #bytes = 0;

  /** Queued bytes over all sessions. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a session that the disk holds. */
  load(session: string, { owner, awayMs }: SessionRecord): void {
    this.#own(this.#entry(session), owner, awayMs);
  }

  /** Adds a message that was queued before this start. */
  loadMessage(session: string, bytes: number): void {
    this.#add(this.#entry(session), 1, bytes);
  }

  /** A session belongs to the user that created it, also while that client is away. */
  mayUse(session: string, owner: string): boolean {
    const known = this.#entries.get(session)?.owner ?? owner;
    return known === owner;
  }

  /** False when all users together, or this one, would have one session too many. */
  hasRoomFor(session: string, owner: string): boolean {
    if (this.#entries.has(session)) return true;
    if (this.#entries.size >= LIMITS.sessionsMax) return false;
    return owner === ANYONE || this.#share(owner).sessions < LIMITS.sessionsPerUserMax;
  }

  /**
   * The client of a session is connected.
   * @returns the record to store; null when it is stored already
   */
  use(session: string, owner: string): SessionRecord | null {
    const entry = this.#entry(session);
    if (entry.owner === owner && entry.awayMs === 0) return null;
    this.#own(entry, owner, 0);
    return { owner, awayMs: 0 };
  }

  end(session: string): void {
    const entry = this.#entries.get(session);
    if (!entry) return;
    this.#add(entry, 0, -entry.bytes);
    this.#entries.delete(session);
    this.#leaveShare(entry.owner);
  }

  /** False when there is no room: the share of the session, its user or all users is used up. */
  queue(session: string, bytes: number): boolean {
    const entry = this.#entry(session);
    const isFull =
      entry.messages >= LIMITS.queuedPerSessionMax ||
      this.#bytes + bytes > LIMITS.queuedBytesMax ||
      (entry.owner !== ANYONE &&
        this.#share(entry.owner).bytes + bytes > LIMITS.queuedBytesPerUserMax);
    if (isFull) entry.dropped += 1;
    else this.#add(entry, 1, bytes);
    return !isFull;
  }

  /** A QoS 2 message was sent: its PUBREL takes its place in the queue before it is unqueued. */
  note(session: string, messageId: number | undefined, bytes: number): void {
    const entry = this.#entries.get(session);
    if (entry && messageId !== undefined) entry.sent.set(messageId, bytes);
  }

  /** Bytes of a QoS 2 message that ends now; undefined for another, and for one of an earlier run. */
  noted(session: string, messageId: number): number | undefined {
    const sent = this.#entries.get(session)?.sent;
    const bytes = sent?.get(messageId);
    sent?.delete(messageId);
    return bytes;
  }

  unqueue(session: string, bytes: number): void {
    const entry = this.#entries.get(session);
    if (entry) this.#add(entry, -1, -bytes);
  }

  /** @returns records to store, and the sessions whose client has been away for too long */
  age(
    elapsedMs: number,
    isConnected: (session: string) => boolean,
  ): { changed: (SessionRecord & { session: string })[]; expired: string[] } {
    const changed: (SessionRecord & { session: string })[] = [];
    const expired: string[] = [];
    for (const [session, entry] of this.#entries) {
      const awayMs = isConnected(session) ? 0 : entry.awayMs + elapsedMs;
      if (awayMs === entry.awayMs) continue;
      entry.awayMs = awayMs;
      if (awayMs > LIMITS.sessionKeepMs) expired.push(session);
      else changed.push({ session, owner: entry.owner, awayMs });
    }
    return { changed, expired };
  }

  /** Sessions of users that no longer exist. */
  orphans(hasUser: (owner: string) => boolean): string[] {
    return [...this.#entries].flatMap(([session, { owner }]) =>
      owner === null || hasUser(owner) ? [] : [session],
    );
  }

  list(): SessionView[] {
    return [...this.#entries].map(([session, entry]) => {
      const { owner, awayMs, messages, bytes, dropped } = entry;
      return { session, owner, awayMs, messages, bytes, dropped };
    });
  }

  has(session: string): boolean {
    return this.#entries.has(session);
  }

  messages(session: string): number {
    return this.#entries.get(session)?.messages ?? 0;
  }

  #entry(session: string): Entry {
    const known = this.#entries.get(session);
    if (known) return known;
    const entry: Entry = {
      owner: null,
      awayMs: 0,
      messages: 0,
      bytes: 0,
      dropped: 0,
      sent: new Map(),
    };
    this.#entries.set(session, entry);
    this.#share(null).sessions += 1;
    return entry;
  }

  #own(entry: Entry, owner: string | null, awayMs: number): void {
    const { bytes } = entry;
    this.#share(entry.owner).bytes -= bytes;
    this.#leaveShare(entry.owner);
    Object.assign(entry, { owner, awayMs });
    const share = this.#share(owner);
    share.sessions += 1;
    share.bytes += bytes;
  }

  #add(entry: Entry, messages: number, bytes: number): void {
    entry.messages = Math.max(0, entry.messages + messages);
    // An empty queue has no bytes: a start of the broker counts the stored form of a message.
    const after = entry.messages === 0 ? 0 : Math.max(0, entry.bytes + bytes);
    const change = after - entry.bytes;
    entry.bytes = after;
    this.#bytes += change;
    this.#share(entry.owner).bytes += change;
  }

  #share(owner: string | null): { sessions: number; bytes: number } {
    const share = this.#shares.get(owner) ?? { sessions: 0, bytes: 0 };
    this.#shares.set(owner, share);
    return share;
  }

  #leaveShare(owner: string | null): void {
    const share = this.#share(owner);
    share.sessions -= 1;
    if (share.sessions <= 0) this.#shares.delete(owner);
  }
}
