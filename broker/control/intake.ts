/**
 * Takes published messages into the broker's stores: plan, verify, make durable, then update the
 * fleet registry. When `take` resolves the message may be acknowledged.
 */

import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { parsePresence } from '../../shared/formats/messages.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import type { Log, WritableChunkStore } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import {
  LOG_CHECKPOINT_TOPIC,
  logEntryTopic,
  parseTopic,
  robotFilter,
  type Topic,
} from '../../shared/formats/topics.ts';
import type { LiveTrust } from '../../shared/formats/trust-chain.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import type { BrokerEvents } from '../events.ts';
import type { Fleet } from './fleet.ts';
import { planIngest, vouchForSigned } from './ingest.ts';
import { isLogTopic, judgeLogMessage, type KeptLog, type LogTopic } from './log-keeper.ts';
import type { ControlStore } from './control-store.ts';
import type { EventCounters } from './event-metrics.ts';
import { noteRelay, noteReport, reportSinks, type ReportSinks } from './reports.ts';
import { Speakers, type SpokenBy } from './speakers.ts';
import { walkTrust } from './trust.ts';

export interface IntakeOptions {
  readonly chunks: WritableChunkStore;
  readonly control: ControlStore;
  readonly fleet: Fleet;
  readonly counters: EventCounters;
  /** Null when nothing is verified here; robots verify. */
  readonly trust: LiveTrust | null;
  /** Null: lines under a head of the transparency log are not proven here. */
  readonly logPolicy?: LogPolicy | null;
  readonly log: Log;
  readonly events: BrokerEvents;
  /** The relay; null on a broker that is none. */
  readonly upstream: ReportSink | null;
}

/** A message that a client published on the engine in this process. */
export interface Incoming {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /**
   * Absent for messages of the broker itself; null for the will of a connection of an earlier
   * process.
   */
  readonly by?: SpokenBy | null;
}

export interface ReportSink {
  /** A message of a robot or of a relay below. Durable when it resolves. */
  report(topic: Topic, payload: Uint8Array): Promise<void>;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #sinks: ReportSinks;
  readonly #speakers = new Speakers();
  /** A head is judged by the stored entries: none of them changes before it is stored. */
  readonly #logTurns = new SerialQueue();

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#sinks = reportSinks(options);
  }

  /** @throws DroverError when the message is refused */
  async take({ topic, payload, qos, retain, by }: Incoming): Promise<'stored-chunk' | 'pass-on'> {
    const { chunks, control, counters, trust, events, upstream, log } = this.#options;
    const plan = planIngest(topic, payload.byteLength, retain);
    counters.countMessage(plan.kind === 'chunk' ? 'chunk' : plan.topic.kind);
    if (plan.kind === 'chunk') {
      await chunks.put(plan.hash, payload);
      counters.countChunkReceived(payload.byteLength);
      events.emit('chunkStored', plan.hash);
      return 'stored-chunk';
    }
    if (trust) {
      const stored = control.get(topic)?.payload ?? null;
      vouchForSigned({ topic: plan.topic, payload, stored, trust, now: Date.now() });
    }
    if (isLogTopic(plan.topic)) {
      await this.#keepLog(plan.topic, { topic, payload, qos, retain });
      return 'pass-on';
    }
    const isOwn = by !== undefined && this.#isOwnWord(plan.topic, payload, by);
    if (retain) await control.put({ topic, payload, qos });
    if (retain && trust && plan.topic.kind === 'trust') walkTrust(trust, control, log);
    if (retain) events.emit('control', plan.topic, payload);
    if (retain && plan.topic.kind === 'updates') events.emit('announced');
    this.#note(plan.topic, payload, Date.now(), isOwn);
    await upstream?.report(plan.topic, payload);
    return 'pass-on';
  }

  async #keepLog(
    part: LogTopic,
    { topic, payload, qos, retain }: Pick<Incoming, 'topic' | 'payload' | 'qos' | 'retain'>,
  ): Promise<void> {
    if (!retain) throw new DroverError('LOG_APPEND_ONLY', `keep ${topic}: it is not retained`);
    await this.#logTurns.run(async () => {
      judgeLogMessage(part, payload, this.#keptLog());
      await this.#options.control.put({ topic, payload, qos });
    });
  }

  #keptLog(): KeptLog {
    const kept = (topic: string) => this.#options.control.get(topic)?.payload ?? null;
    return {
      checkpoint: kept(LOG_CHECKPOINT_TOPIC),
      policy: this.#options.logPolicy ?? null,
      entry: (index) => kept(logEntryTopic(index)),
    };
  }

  /**
   * Reads messages retained before this start: robots are known again, but not who is online. A
   * report through a relay counts as soon as that relay is online again.
   */
  remember(): void {
    const { control } = this.#options;
    for (const { topic, payload } of control.match(robotFilter('state'))) {
      const parsed = parseTopic(topic);
      if (parsed) this.#note(parsed, payload, null);
    }
    for (const { topic, payload } of control.match(robotFilter('online'))) {
      const parsed = parseTopic(topic);
      if (parsed && isBehindRelay(payload)) this.#note(parsed, payload, null);
    }
  }

  /**
   * @returns the robot whose presence came only through it, and a check to make before it is
   *   published as offline
   */
  left(connection: object): { robot: RobotId; isWanted: () => boolean } | null {
    const robot = this.#speakers.leave(connection);
    return robot && { robot, isWanted: () => this.#speakers.isLast(robot, connection) };
  }

  /** @throws DroverError ACCESS_DENIED for a will that reports its robot as online */
  #isOwnWord(topic: Topic, payload: Uint8Array, by: SpokenBy | null): boolean {
    if (topic.kind !== 'robot' || topic.leaf !== 'online') return false;
    const said = nullIfRefused(() => parsePresence(payload));
    return this.#speakers.said(topic.robot, said?.online === true, by);
  }

  #note(topic: Topic, payload: Uint8Array, now: EpochMs | null, isOwn = false): void {
    if (topic.kind === 'robot') noteReport(this.#sinks, topic, { payload, now, isOwn });
    if (topic.kind === 'relay') noteRelay(this.#sinks, topic.relay, payload);
  }
}

function isBehindRelay(payload: Uint8Array): boolean {
  const via = nullIfRefused(() => parsePresence(payload).via);
  return via !== null && via !== undefined;
}
