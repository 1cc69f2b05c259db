/**
 * Tests whether an external engine has the features that a fleet needs, with messages of its own,
 * before anything relies on it. The messages are on a topic that no robot reads, and on the address
 * of a chunk that nothing announces; both are cleared again. An engine that forgets a stop, or
 * keeps a withdrawn message, misleads robots, so it is refused; a feature that only costs more is
 * logged.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { bytesEqual, utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { CHUNKS_ROOT, chunkTopic, TRUST_FILTER } from '../../shared/formats/topics.ts';
import { NEEDS, trialTopic } from './engine-needs.ts';
import { EngineLink, untilAnswered, type EngineAddress } from './link.ts';

export type EngineNeed = keyof typeof NEEDS;

/** An engine without one of these would steer robots wrongly. */
const VITAL: readonly EngineNeed[] = ['retained', 'wildcards', 'cleared'];
const ORDERED = 8;

export interface TrialOptions {
  readonly address: EngineAddress;
  /** Client id of this data folder; the trial adds a suffix of its own. */
  readonly clientId: string;
  readonly log: Log;
  /** Time-out of one step in ms; default `trialAnswerMs`. */
  readonly answerMs?: number;
}

/**
 * @returns the missing features; null when they could not be tested, for example because an access
 *   list forbids it
 * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED
 */
export async function tryEngine(options: TrialOptions): Promise<readonly EngineNeed[] | null> {
  return await Trial.use(options, (trial) => trial.run());
}

/**
 * Tests whether the engine retains a message and sends it to a new subscriber.
 * @returns null when this could not be tested, for example because an access list forbids it
 * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED
 */
export async function tryRetained(options: TrialOptions): Promise<boolean | null> {
  return await Trial.use(options, (trial) => trial.retains());
}

/**
 * Refuses an engine that would steer robots wrongly.
 * @returns sentences for the log about what else it lacks
 * @throws DroverError ENGINE_UNFIT
 */
export function judgeTrial(lacks: readonly EngineNeed[]): string[] {
  const vital = lacks.filter((need) => VITAL.includes(need));
  if (vital.length === 0) return lacks.map((need) => NEEDS[need]);
  const why = vital.map((need) => NEEDS[need]).join('; ');
  throw new DroverError('ENGINE_UNFIT', `try out the engine: ${why}`);
}

interface Heard {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly isRetained: boolean;
}

class Trial {
  readonly #options: TrialOptions;
  readonly #link: EngineLink;
  /** Messages since the last subscription. */
  #heard: Heard[] = [];
  #filter: string | null = null;
  readonly #id = randomBytes(6).toString('hex');

  private constructor(options: TrialOptions, link: EngineLink) {
    this.#options = options;
    this.#link = link;
    link.listen({
      onMessage: (topic, payload, isRetained) => {
        if (topic === this.#topic || topic.startsWith(`${CHUNKS_ROOT}/`))
          this.#heard.push({ topic, payload: payload.slice(), isRetained });
      },
    });
  }

  static async use<T>(options: TrialOptions, run: (trial: Trial) => Promise<T>): Promise<T> {
    const trial = new Trial(options, await openLink(options, {}));
    try {
      return await run(trial);
    } finally {
      await trial.#close();
    }
  }

  get #topic(): string {
    return trialTopic(this.#id);
  }

  async run(): Promise<readonly EngineNeed[] | null> {
    if (!(await this.#takesRetained())) return ['retained'];
    const lacks: EngineNeed[] = [];
    const say = (need: EngineNeed, isMet: boolean): void => void (isMet || lacks.push(need));
    const inOrder = await this.#hasOrder();
    if (inOrder === null) return null;
    say('order', inOrder);
    const keeps = await this.#isHandedTo(this.#topic);
    say('retained', keeps);
    if (keeps) say('wildcards', await this.#isHandedTo(TRUST_FILTER));
    if (keeps) say('cleared', await this.#isCleared());
    say('sessions', await this.#keepsSession());
    say('size', await this.#takesChunk());
    return lacks;
  }

  async retains(): Promise<boolean | null> {
    if (!(await this.#takesRetained())) return false;
    if (!(await this.#listen(this.#topic))) return null;
    await this.#send(this.#topic, numbered(ORDERED - 1));
    if (!(await this.#until(() => this.#heard.length > 0))) return null;
    return await this.#isHandedTo(this.#topic);
  }

  async #close(): Promise<void> {
    await this.#send(this.#topic, NOTHING).catch(() => undefined); // the link may be gone
    await this.#link.close();
  }

  /**
   * MQTT 3.1.1 cannot refuse a message: an engine with retained messages switched off ends the
   * connection. Tried twice, since a network may do that as well.
   */
  async #takesRetained(): Promise<boolean> {
    for (let tries = 0; tries < 2; tries += 1) {
      try {
        await this.#send(this.#topic, NOTHING);
        return true;
      } catch (error) {
        if (!(error instanceof DroverError) || error.code !== 'BROKER_UNREACHABLE') throw error;
        await this.#link.waitUp(); // it accepts us again, so it had refused the message
      }
    }
    return false;
  }

  /** Null when nothing came back. */
  async #hasOrder(): Promise<boolean | null> {
    if (!(await this.#listen(TRUST_FILTER))) return null;
    for (let nth = 0; nth < ORDERED; nth += 1) await this.#send(this.#topic, numbered(nth));
    const all = await this.#until(() => this.#heard.length >= ORDERED);
    if (this.#heard.length === 0) return null;
    return all && this.#heard.every(({ payload }, nth) => bytesEqual(payload, numbered(nth)));
  }

  /** A new subscriber gets the last message. */
  async #isHandedTo(filter: string): Promise<boolean> {
    await this.#listen(filter);
    return await this.#until(() =>
      this.#heard.some(
        ({ isRetained, payload }) => isRetained && bytesEqual(payload, numbered(ORDERED - 1)),
      ),
    );
  }

  async #isCleared(): Promise<boolean> {
    await this.#send(this.#topic, NOTHING);
    await this.#listen(this.#topic);
    await this.#send(this.#topic, MARK, false);
    await this.#until(() => this.#heard.some(({ payload }) => bytesEqual(payload, MARK)));
    await sleep(LIMITS.trialQuietMs);
    return !this.#heard.some(({ isRetained, payload }) => isRetained && payload.byteLength > 0);
  }

  async #keepsSession(): Promise<boolean> {
    const isKept = { clientId: `${this.#options.clientId}-away`, keepsSession: true };
    const before = await openLink(this.#options, isKept);
    await before.wire.subscribe([this.#topic], 1);
    await before.close();
    await this.#send(this.#topic, MARK, false);
    let hasCome = false;
    const link = await openLink(this.#options, isKept, (payload) => {
      hasCome ||= bytesEqual(payload, MARK);
    });
    await this.#until(() => hasCome);
    await link.close();
    const { clientId } = isKept; // a clean session of this name makes the engine delete it
    await (await openLink(this.#options, { clientId })).close();
    return hasCome;
  }

  /**
   * Tests a message of the size of a chunk. An engine may end the link over a packet that is too
   * large for it.
   */
  async #takesChunk(): Promise<boolean> {
    const bytes = randomBytes(LIMITS.chunkBytesDefault);
    const topic = chunkTopic(sha256Hex(bytes));
    try {
      await this.#listen(topic);
      await this.#send(topic, bytes);
      return await this.#until(() => this.#heard.some(({ payload }) => bytesEqual(payload, bytes)));
    } catch (error) {
      if (error instanceof DroverError) return false;
      throw error;
    } finally {
      await this.#link.waitUp().then(
        () => this.#send(topic, NOTHING),
        () => undefined,
      );
    }
  }

  /** Subscribes to one filter at a time, so that each message belongs to a known subscription. */
  async #listen(filter: string): Promise<boolean> {
    const { wire } = this.#link;
    if (this.#filter !== null) await wire.unsubscribe([this.#filter]);
    this.#heard = [];
    this.#filter = filter;
    try {
      await wire.subscribe([filter], 1);
      return true;
    } catch (error) {
      if (error instanceof DroverError && error.code === 'ACCESS_DENIED') return false;
      throw error;
    }
  }

  async #send(topic: string, payload: Uint8Array, retain = true): Promise<void> {
    await this.#link.wire.send(topic, payload, { retain, qos: 1 });
  }

  async #until(holds: () => boolean): Promise<boolean> {
    return await untilAnswered(holds, this.#options.answerMs);
  }
}

const NOTHING = new Uint8Array();
const MARK = utf8('mark');
const numbered = (nth: number): Uint8Array => utf8(`trial ${nth}`);

async function openLink(
  { address, clientId, log }: TrialOptions,
  more: { clientId?: string; keepsSession?: boolean },
  onMessage: (payload: Uint8Array) => void = () => undefined,
): Promise<EngineLink> {
  const options = { ...address, clientId: `${clientId}-trial`, ...more };
  return await EngineLink.open(options, { onMessage: (_, payload) => onMessage(payload) }, log);
}
