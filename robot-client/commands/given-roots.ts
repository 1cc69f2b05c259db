/**
 * Completes the commands in hints with the roots that were given to the command that prints them.
 * Sans-I/O.
 */

import { shellWord } from '../../shared/base/printable.ts';

export interface ComponentRoot {
  readonly component: string;
  readonly root: string;
}

export interface Given {
  readonly roots: readonly ComponentRoot[];
  readonly socket?: string | undefined;
  /** The root that commands use without an option. */
  readonly defaultRoot: string;
}

/** One that has its roots is for another computer, and stays as it is. */
const COMMAND =
  /drover-robot (recover|adopt|retry|(?:unblock|gone) [^\s;,()]+)( --root DIR)?(?= |;|,|\)|$)(?! --root )/g;
/** Commands for one root: the one of the message. */
const OF_ONE = ['recover', 'adopt'];

/** @param lines a line `NAME: …` begins the lines about that component */
export function withGivenRoots(lines: readonly string[], given: Given): string[] {
  let spokenOf: ComponentRoot | null = given.roots.length === 1 ? (given.roots[0] ?? null) : null;
  return lines.map((line) => {
    const [, name] = /^([^\s:]+): /.exec(line) ?? [];
    spokenOf = given.roots.find(({ component }) => component === name) ?? spokenOf;
    return line.replaceAll(COMMAND, (_all, command: string, placeholder?: string) => {
      const isOfOne = OF_ONE.includes(command) && spokenOf !== null;
      const roots = isOfOne && spokenOf ? [spokenOf] : given.roots;
      return [
        `drover-robot ${command}`,
        ...rootWords(roots, given, placeholder !== undefined),
        ...(given.socket !== undefined && !isOfOne ? [`--socket ${shellWord(given.socket)}`] : []),
      ].join(' ');
    });
  });
}

function rootWords(
  roots: readonly ComponentRoot[],
  { defaultRoot }: Given,
  isAsked: boolean,
): string[] {
  const [first] = roots;
  const isDefault = roots.length === 1 && first?.component === 'app' && first.root === defaultRoot;
  if (isDefault && !isAsked) return [];
  return roots.map(({ component, root }) => {
    const path = component === 'app' ? root : `${component}=${root}`;
    return `--root ${shellWord(path)}`;
  });
}
