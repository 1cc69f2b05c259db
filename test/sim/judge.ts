/**
 * Watches a simulated rollout and names what must never happen. It shares no code with the
 * controller: it sees what was told, what the audit logs said at that moment, and what robots did.
 */

import type { AuditEntry } from '../../broker/rollout/rollout-view.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import type { SimRobot, SimRollout } from './sim-robot.ts';

export class Judge {
  readonly broken: string[] = [];
  readonly #rollout: SimRollout;
  readonly #robots: readonly SimRobot[];
  /** The newest that was told, by `seq`. */
  #last: Progress | null = null;
  #highest = 0;
  #stopped = false;

  constructor(rollout: SimRollout, robots: readonly SimRobot[]) {
    this.#rollout = rollout;
    this.#robots = robots;
  }

  onTold(progress: Progress, logs: readonly (readonly AuditEntry[])[]): void {
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
    if (last && isOpen && progress.wave > last.wave) {
      const isForced = wasForced(logs, last.wave);
      if (!isForced && !hasPassed(logs, last.wave)) {
        this.#break(
          'no wave opens without a gate that passed, or a person who forced it',
          progress,
        );
      }
      // Whatever the logs say: somewhere a robot must have taken it before.
      if (!isForced && !this.#robots.some((one) => one.took.length > 0)) {
        this.#break('no wave opens while nothing was ever installed', progress);
      }
    }
    // Waves that have no robot left are not opened: the rollout is complete then.
    if (last && progress.wave > last.wave + 1 && progress.status !== 'complete') {
      this.#break('no wave is left out', progress);
    }
    this.#highest = Math.max(this.#highest, progress.threshold);
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

function hasPassed(logs: readonly (readonly AuditEntry[])[], wave: number): boolean {
  return logs.some((log) =>
    log.some((one, at) => {
      const opened = log[at - 1];
      // `passed` is written with the wave that it opens; it names the one that passed in its text.
      const isIt = one.kind === 'passed' && one.text.startsWith(`wave ${wave} passed: `);
      return isIt && one.evidence.length > 0 && opened !== undefined;
    }),
  );
}

const wasForced = (logs: readonly (readonly AuditEntry[])[], wave: number): boolean =>
  logs.some((log) => log.some((one) => one.kind === 'forced' && one.wave === wave));
