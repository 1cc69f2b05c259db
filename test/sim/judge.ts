/**
 * Watches a simulated rollout and names what must never happen. It shares no code with the
 * controller: it sees the messages, the audit logs of that moment, and the actions of the robots.
 */

import type { AuditEntry } from '../../broker/rollout/rollout-view.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import type { SimRobot, SimRollout } from './sim-robot.ts';

export class Judge {
  readonly broken: string[] = [];
  readonly #rollout: SimRollout;
  readonly #robots: readonly SimRobot[];
  /** The newest progress message, by `seq`. */
  #last: Progress | null = null;
  #highest = 0;
  #stopped = false;
  #wasComplete = false;

  constructor(rollout: SimRollout, robots: readonly SimRobot[]) {
    this.#rollout = rollout;
    this.#robots = robots;
  }

  /** @param log of the controller that tells it, as it was at that moment */
  onTold(progress: Progress, log: readonly AuditEntry[]): void {
    const last = this.#last;
    if (last && progress.seq <= last.seq) {
      // An old leader may still speak, but nobody listens to it: robots have a floor.
      return;
    }
    this.#last = progress;
    const isOpen = progress.status === 'rolling' || progress.status === 'complete';
    if (this.#stopped && (isOpen || progress.threshold > (last?.threshold ?? 1))) {
      this.#break('a halted rollout never widens', progress);
    }
    if (progress.status === 'halted' || progress.status === 'rolling_back') this.#stopped = true;
    if (last && progress.threshold < last.threshold) {
      this.#break('a threshold never falls', progress);
    }
    const isDone = progress.status === 'complete' && !this.#wasComplete;
    if (last && isOpen && (progress.wave > last.wave || isDone)) {
      this.#onOpened(last.wave, progress, log);
    }
    this.#wasComplete ||= progress.status === 'complete';
    // Waves that have no robot left are not opened: the rollout is complete then.
    if (last && progress.wave > last.wave + 1 && progress.status !== 'complete') {
      this.#break('no wave is left out', progress);
    }
    this.#highest = Math.max(this.#highest, progress.threshold);
  }

  /** Judges by the log of the one that opened it: what another one saw is no reason for this one. */
  #onOpened(before: number, progress: Progress, log: readonly AuditEntry[]): void {
    const isForced = wasForced(log, before);
    // No robot runs it or can run it: that ends a rollout, and opens no wave.
    if (progress.wave === before && endedWithoutEffect(log)) return;
    if (!isForced && !hasPassed(log, before)) {
      this.#break('no wave opens without a gate that passed, or a person who forced it', progress);
    }
    // Beside the log, a robot must really have taken it before.
    if (!isForced && !this.#robots.some((one) => one.took.length > 0)) {
      this.#break('no wave opens while nothing was ever installed', progress);
    }
  }

  onTake(robot: SimRobot): void {
    const { salt, canaries } = this.#rollout.rules;
    const isMeant = canaries.robots.includes(robot.id) || robot.fraction(salt) < this.#highest;
    if (!isMeant) this.broken.push(`no robot outside the cohort takes the version (${robot.id})`);
  }

  #break(sentence: string, { wave, threshold, status, seq }: Progress): void {
    this.broken.push(`${sentence} (wave ${wave}, ${threshold}, ${status}, seq ${seq})`);
  }
}

/** `passed` stands right before what it opened, and names in its text the wave that passed. */
const hasPassed = (log: readonly AuditEntry[], wave: number): boolean =>
  log.some((one, at) => {
    const isIt = one.kind === 'passed' && one.text.startsWith(`wave ${wave} passed: `);
    const next = log[at + 1]?.kind ?? '';
    // A share of successes above 0, whatever share the rollout asked for.
    const hasSucceeded = one.evidence.some(
      ({ metric, treated }) => metric === 'apply' && treated !== null && treated > 0,
    );
    return isIt && hasSucceeded && OPENINGS.includes(next);
  });

const OPENINGS: readonly string[] = ['opened', 'completed', 'no_effect'];

const endedWithoutEffect = (log: readonly AuditEntry[]): boolean =>
  log.filter(({ kind }) => OPENINGS.includes(kind)).at(-1)?.kind === 'no_effect';

/** A person forced this wave, with a reason, and it ended on that account. */
const wasForced = (log: readonly AuditEntry[], wave: number): boolean =>
  log.some((one, at) => {
    const isIt = one.kind === 'forced' && one.text.startsWith(`force-open of wave ${wave} by `);
    return isIt && log.slice(at + 1).some(({ kind, text }) => isEnd(kind, text, wave));
  });

/** The gate may have passed as well by the time that the wave ends. */
const isEnd = (kind: string, text: string, wave: number): boolean =>
  (kind === 'ended' && text.startsWith(`wave ${wave} ended without a verdict, forced`)) ||
  (kind === 'passed' && text.startsWith(`wave ${wave} passed: `));
