/**
 * Asks whether this broker may read and write the transparency log on an external engine. An engine
 * with an access list from before the guard grants the subscription (mosquitto) and then drops the
 * messages in silence. So a message of ours, which nobody retains, has to come back. Without the
 * log the rest works, therefore this is reported and ends nothing.
 */

import { randomBytes } from 'node:crypto';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, Wire } from '../../shared/base/ports.ts';
import { LOG_CHECKPOINT_TOPIC, LOG_FILTER } from '../../shared/formats/topics.ts';
import { subscribeIfGranted } from '../../shared/io/wait-up.ts';
import { trialTopic } from './engine-needs.ts';

/** Readers of the log take only its checkpoint and topics that end with a number. */
const trialTopicOfLog = (id: string): string => trialTopic(id, LOG_FILTER);
export const isTrialTopicOfLog = (topic: string): boolean => topic.startsWith(trialTopicOfLog(''));

export class LogTrial {
  readonly #log: Pick<Log, 'warn'>;
  readonly #echoMs: number;
  readonly #topic = trialTopicOfLog(randomBytes(6).toString('hex'));
  #timer: NodeJS.Timeout | null = null;
  /** Links in a row that ended before the message was back. */
  #losses = 0;

  /** @param echoMs the message has come back by then */
  constructor(log: Pick<Log, 'warn'>, echoMs: number = LIMITS.echoMsMax) {
    [this.#log, this.#echoMs] = [log, echoMs];
  }

  /**
   * Subscribes to the log, its head first: then it is known how many entries it needs.
   * @throws DroverError BROKER_UNREACHABLE
   */
  async begin(wire: Wire, qos: 0 | 1): Promise<void> {
    this.end();
    const gets = async (filter: string): Promise<boolean> =>
      await subscribeIfGranted(wire, [filter], qos);
    if (!(await gets(LOG_CHECKPOINT_TOPIC)) || !(await gets(LOG_FILTER))) return this.#tell();
    // Some engines end the link over a forbidden message: asking for ever would end it for ever.
    if (this.#losses >= LIMITS.logTrialsMax) return this.#tell();
    this.#timer = setTimeout(() => this.#tell(), this.#echoMs);
    this.#timer.unref();
    const mark = new TextEncoder().encode('trial');
    // Of a message that could not be sent no echo comes either.
    wire.send(this.#topic, mark, { retain: false, qos: 1 }).catch(() => undefined);
  }

  /** @returns true for the message of this trial */
  heard(topic: string): boolean {
    if (topic !== this.#topic) return false;
    this.#losses = 0;
    this.end();
    return true;
  }

  /** The link was lost. */
  lost(): void {
    if (this.#timer) this.#losses += 1;
    this.end();
  }

  end(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #tell(): void {
    const message = 'guard the transparency log: this broker may not read or write fleet/log/+';
    const problem = toProblem(new DroverError('ENGINE_TOPIC_DENIED', message));
    this.#log.warn({ problem }, 'nothing guards the log on the engine');
  }
}
