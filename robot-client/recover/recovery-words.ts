/**
 * Collects the results of a recovery: actions as sentences, and problems. A disk that refuses
 * becomes a problem and ends nothing.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';

export class RecoveryWords {
  readonly actions: string[] = [];
  readonly problems: Problem[] = [];

  /** Null when the disk refused. */
  async tried<T>(run: () => Promise<T>): Promise<T | null> {
    try {
      return await run();
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      this.note(toProblem(thrown));
      if (thrown.cause instanceof DroverError) this.note(toProblem(thrown.cause));
      return null;
    }
  }

  /** The agent talks to the boot loader about a system image, and may reboot. */
  leavesToAgent({ byReboot = false }: { readonly byReboot?: boolean }, version: string): boolean {
    if (byReboot) this.actions.push(`the agent goes on with the system image ${version}`);
    return byReboot;
  }

  has(...codes: readonly string[]): boolean {
    return this.problems.some(({ code }) => codes.includes(code));
  }

  /** One that was refused, for whatever reason, is left to do; a damaged intent was set aside. */
  adoption(problem: Problem): void {
    if (problem.code === 'STATE_CORRUPT') this.say(problem);
    else this.note(problem);
  }

  /** Records a problem: work is left to do. */
  note(found: Problem): void {
    const problem = isUsual(found) ? { ...found, hint: this.#hintOfLoss() } : found;
    if (this.problems.some(({ message }) => message === problem.message)) return;
    this.problems.push(problem);
    this.say(problem);
  }

  say({ message, code, hint }: Omit<Problem, 'code'> & { readonly code: string }): void {
    const line = `${message} (${code}): ${hint}`;
    if (!this.actions.includes(line)) this.actions.push(line);
  }

  /** A hint of `recover` must not name `recover` itself, except for its obstacles. */
  #hintOfLoss(): string {
    return this.problems.some((one) => !LOSSES.includes(one.code))
      ? IN_THE_WAY_HINT
      : NOTHING_WHOLE_HINT;
  }
}

const LOSSES = ['RELEASE_LOST', 'RELEASE_DAMAGED'];
const isUsual = ({ code, hint }: Problem): boolean =>
  LOSSES.includes(code) && hint === CATALOGUE[code].hint;

const NOTHING_WHOLE_HINT =
  'no release that is whole could be led to: look at the disk (dmesg, smartctl -a DEVICE), start the agent and publish a newer version';
const IN_THE_WAY_HINT =
  'mend first what the lines above name, then type drover-robot recover --root DIR --no-boot again';
