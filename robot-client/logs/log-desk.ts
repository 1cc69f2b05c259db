/**
 * Hands the logs of failed updates over: at once with `--logs always`, when it is asked with `ask`,
 * never with `never`. A question cannot make the robot do more than publish what it has kept, a few
 * times at once and then one time in `failureLogAskMs`. It publishes only where the broker granted
 * the subscription to its questions: a broker of 0.1 refuses that topic, and would end a link that
 * writes logs.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import type { EpochMs, MonoMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, Wire } from '../../shared/base/ports.ts';
import { logMessages, parseAsk } from '../../shared/formats/failure-log.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import type { ComponentOptions } from '../component-options.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { UpdateLog } from './update-log.ts';

export const LOG_MODES = ['never', 'ask', 'always'] as const;
export type LogMode = (typeof LOG_MODES)[number];

/** Settings of an integrator. */
export interface LogRules {
  readonly mode: LogMode;
  /** Units of systemd whose journal belongs to a log. */
  readonly units: readonly string[];
  /** Of one log, compressed. */
  readonly bytesMax: number;
}

export const LOG_RULES: LogRules = {
  mode: 'ask',
  units: [],
  bytesMax: LIMITS.failureLogBytesDefault,
};

export interface LogDeskOptions {
  readonly robot: RobotId;
  readonly rules: LogRules;
  readonly disk: Disk;
  readonly log: Log;
  now(): EpochMs;
  wire(): Wire | null;
  /** The report has changed. */
  onKept(): void;
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export class LogDesk {
  readonly #options: LogDeskOptions;
  readonly #logs: UpdateLog[] = [];
  /** The broker lets this link ask and answer. */
  #isGranted = false;
  #link = 0;
  readonly #asks = new AskBudget();
  #isClosed = false;

  constructor(options: LogDeskOptions) {
    this.#options = options;
  }

  /** The options of a component that concern its log. */
  join(
    component: string,
    layout: Layout,
  ): Required<Pick<ComponentOptions, 'log' | 'updateLog' | 'onOutput'>> {
    const { disk, log, rules, now } = this.#options;
    const updateLog = new UpdateLog({
      ...{ component, layout, disk, log, now },
      ...{ units: rules.units, bytesMax: rules.bytesMax, isHandedOver: rules.mode !== 'never' },
      onKept: () => this.#kept(),
    });
    this.#logs.push(updateLog);
    const onOutput = (label: string, text: string): void => updateLog.output(label, text);
    return { log: twoLogs(log, updateLog), updateLog, onOutput };
  }

  /** @returns false for a topic that is no question */
  take(topic: string, payload: Uint8Array): boolean {
    const { robot, log } = this.#options;
    if (topic !== robotTopic(robot, 'ask')) return false;
    try {
      const { component = null } = parseAsk(payload);
      const isOurs = component === null || this.#logs.some((one) => one.component === component);
      if (this.#options.rules.mode !== 'never' && isOurs) this.#answer(component);
    } catch (error) {
      log.debug({ problem: toProblem(error) }, 'question not understood'); // of a newer program
    }
    return true;
  }

  /** The link is up: a robot that keeps a log listens for questions. */
  up(): void {
    this.#link += 1;
    this.#isGranted = false;
    this.#listen();
  }

  close(): void {
    this.#isClosed = true;
  }

  #kept(): void {
    if (this.#options.rules.mode === 'never') return;
    this.#options.onKept();
    if (this.#isGranted) this.#sendNew();
    else this.#listen();
  }

  #listen(): void {
    const { mode } = this.#options.rules;
    const hasLog = this.#logs.some(({ newest }) => newest !== null);
    if (mode === 'never' || !hasLog || !this.#options.wire()?.isUp) return;
    inBackground(this.#options.log, 'listen for questions', this.#subscribe());
  }

  async #subscribe(): Promise<void> {
    const { log, robot } = this.#options;
    const link = this.#link;
    try {
      await this.#options.wire()?.subscribe([robotTopic(robot, 'ask')], 0);
    } catch (error) {
      log.debug({ problem: toProblem(error) }, 'this broker takes no logs of failed updates');
      return;
    }
    if (link !== this.#link) return;
    this.#isGranted = true;
    this.#sendNew();
  }

  #sendNew(): void {
    if (this.#options.rules.mode === 'always')
      inBackground(this.#options.log, 'send logs', this.#send(null, { isAsked: false }));
  }

  #answer(component: string | null): void {
    if (this.#isClosed || !this.#asks.take(performance.now())) return;
    inBackground(this.#options.log, 'send logs', this.#send(component, { isAsked: true }));
  }

  /** The newest log of one component, or of each. A link that goes down is no failure. */
  async #send(component: string | null, { isAsked }: { isAsked: boolean }): Promise<void> {
    const { robot, wire, log } = this.#options;
    for (const one of this.#logs) {
      const { newest } = one;
      if (!newest || (component !== null && one.component !== component)) continue;
      if (!isAsked && (await one.wasSent(newest))) continue;
      try {
        for (const message of logMessages(robot, newest.head, newest.packed))
          await wire()?.send(robotTopic(robot, 'logs'), message, { retain: false, qos: 1 });
      } catch (error) {
        return log.debug({ problem: toProblem(error) }, 'log of a failed update not sent');
      }
      const { rollout, code } = newest.head;
      log.info({ component: one.component, rollout, code }, 'log of a failed update sent');
      await one.noteSent(newest);
    }
  }
}

/** Bounds the traffic that questions can cause: on an open network anybody may ask. */
export class AskBudget {
  /** When the questions so far would all have come, had they come evenly. */
  #dueMs: MonoMs = -Infinity;

  /** False for a question too many, which gets no answer. */
  take(now: MonoMs): boolean {
    const dueMs = Math.max(this.#dueMs, now);
    if (dueMs - now > LIMITS.failureLogAskMs * (LIMITS.failureLogAsksMax - 1)) return false;
    this.#dueMs = dueMs + LIMITS.failureLogAskMs;
    return true;
  }
}

/** Lines go to both; those that only help to find a fault of the agent are not kept. */
function twoLogs(log: Log, updateLog: UpdateLog): Log {
  const tell =
    (level: (typeof LEVELS)[number]) =>
    (facts: object, message: string): void => {
      log[level](facts, message);
      if (level !== 'debug') updateLog.say(level, facts, message);
    };
  const [debug, info, warn, error] = LEVELS.map(tell) as [Tell, Tell, Tell, Tell];
  return { debug, info, warn, error };
}

type Tell = Log['info'];
