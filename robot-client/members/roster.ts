/**
 * Tells which computers of the robot are there: to the log of the leader, to people and to its
 * members. A set waits for one that is away, and for one of which there are two.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { printable } from '../../shared/base/printable.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { ComponentStateFields } from '../../shared/formats/messages.ts';
import type { MemberDesk, Trouble } from './member-desk.ts';
import type { ComputerFields } from './messages.ts';

/** The computer that a component of the set waits for; null when all computers are there. */
export function awaited(
  computers: readonly ComputerFields[],
  { members }: Pick<RolloutSet, 'members'>,
): string | null {
  const found = computers.find(
    ({ trouble, components }) =>
      trouble !== null && members.some(({ component }) => components.includes(component)),
  );
  if (!found) return null;
  const twice = found.trouble === 'MEMBER_TWICE' ? ', which is there twice' : '';
  return `computer ${found.computer} of this robot${twice} (${found.trouble})`;
}

/** Lines for `drover-robot explain`. */
export function explainComputers(computers: readonly ComputerFields[]): string[] {
  return computers.flatMap(({ computer, components, trouble }) => {
    const line = `computer ${computer} with ${components.join(' and ')} is`;
    if (trouble === null) return [`${line} there`];
    if (trouble === 'MEMBER_AWAY') return [`${line} away`];
    const hint = `  hint: ${CATALOGUE.MEMBER_TWICE.hint}`;
    return [`${line} there twice: two computers have its pair file (MEMBER_TWICE)`, hint];
  });
}

/** Problems of components on other computers, as these report them: a full disk, for one. */
export function explainTold(told: readonly ComponentStateFields[]): string[] {
  return told.flatMap(({ name, computer, last_error: why }) => {
    if (!why || why.code in ABSENT) return [];
    const hint = why.hint === undefined ? [] : [`  hint: ${why.hint}`];
    return [`${name} on computer ${computer}: ${why.message} (${why.code})`, ...hint];
  });
}

/** Said of the computer itself already. */
const ABSENT: Readonly<Record<Trouble, true>> = { MEMBER_AWAY: true, MEMBER_TWICE: true };

export class Roster {
  readonly #desks: ReadonlyMap<string, MemberDesk>;
  readonly #log: Log;
  #before = '';

  constructor(desks: ReadonlyMap<string, MemberDesk>, log: Log) {
    [this.#desks, this.#log] = [desks, log];
  }

  get computers(): ComputerFields[] {
    const now = performance.now();
    return [...this.#desks.values()].map((desk) => {
      const { computer, components } = desk.pair;
      return { computer, components: [...components], trouble: desk.trouble(now) };
    });
  }

  /** @returns true when it is not as it was at the last look */
  look(): boolean {
    const { computers } = this;
    const names = (of: Trouble): string =>
      computers.flatMap(({ computer, trouble }) => (trouble === of ? computer : [])).join();
    const [away, twice] = [names('MEMBER_AWAY'), names('MEMBER_TWICE')];
    const now = `${away};${twice}`;
    if (now === this.#before) return false;
    this.#before = now;
    if (twice !== '') {
      const { hint } = CATALOGUE.MEMBER_TWICE;
      const facts = { code: 'MEMBER_TWICE', twice, away, hint };
      this.#log.warn(facts, 'two computers of this robot have one pair file');
    } else {
      this.#log.info({ away }, away === '' ? 'all computers are there' : 'away');
    }
    return true;
  }
}

const NAMES_MAX = 8;

/**
 * Why a leader leads fewer computers than its folder has files for.
 * @param strays other files in the folder
 * @returns null when it leads one at least: a file of another name is then logged alone
 */
export function noMembers(
  folder: string,
  count: number,
  strays: readonly string[],
): Problem | null {
  if (count > 0) return null;
  const message = `lead the computers of ${folder}: it has no pair file${straysText(strays)}`;
  return toProblem(new DroverError('MEMBERS_NONE', message));
}

/** ` (it has a, b, which do not end in .json)`; empty for none. */
export function straysText(strays: readonly string[]): string {
  if (strays.length === 0) return '';
  const more = strays.length > NAMES_MAX ? ' and more' : '';
  const names = strays.slice(0, NAMES_MAX).map((name) => printable(name, 64));
  return ` (it has ${names.join(', ')}${more}, not named NAME.json)`;
}
