/**
 * Limits the log lines about the link. Another robot with the same id makes the broker end it again
 * and again, and one line an hour is enough (see `countEndings`). A link that cannot be made is
 * logged at once with its reason, and seldom after that, for as long as the reason stays the same.
 */

import { linkEnd } from '../../shared/base/broker-urls.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';

export class TwinWatch {
  readonly #log: Log;
  readonly #seldom: SeldomLog;
  readonly #failures: SeldomLog;
  readonly #count: () => number;
  readonly #mono: () => number;
  #upAtMs: number | null = null;
  #end: 'broker' | 'leader' = 'broker';

  /**
   * @param count links in a row that the broker ended soon
   * @param mono monotonic clock in milliseconds
   */
  constructor(log: Log, count: () => number, mono = (): number => performance.now()) {
    this.#log = log;
    this.#mono = mono;
    this.#seldom = new SeldomLog(log, LIMITS.twinWindowMs, mono);
    this.#failures = new SeldomLog(log, LIMITS.linkFailureLogMs, mono);
    this.#count = count;
  }

  /** Links that the broker ended; 0 when not suspicious, and once a link has lasted. */
  get endings(): number {
    const count = this.#count();
    const livedMs = this.#upAtMs === null ? 0 : this.#mono() - this.#upAtMs;
    return count >= LIMITS.endingsOfTwins && livedMs < LIMITS.endedLateMs ? count : 0;
  }

  /** @param url of the broker, or of the leader of a computer that has one */
  up(url: string): void {
    this.#upAtMs = this.#mono();
    this.#end = linkEnd(url).isLeader ? 'leader' : 'broker';
    if (this.endings === 0) this.#log.info({ [this.#end]: url }, `link to the ${this.#end} is up`);
  }

  down(reason: string): void {
    this.#upAtMs = null;
    const { endings } = this;
    if (endings === 0) return this.#log.warn({ reason }, `link to the ${this.#end} is down`);
    const { hint } = CATALOGUE.ROBOT_ID_TWICE;
    const facts = { code: 'ROBOT_ID_TWICE', endings, reason, hint };
    this.#seldom.warn('twin', facts, 'the broker ends the link again and again');
  }

  /** A connection ended before it was up. */
  failed({ code, message, hint }: DroverError): void {
    const problem = { code, message, hint };
    this.#failures.warn(code, { problem }, 'no link to the broker, trying again');
  }
}
