/**
 * Commands in hints as a person can type them: with the roots that were given to the command which
 * says them. Sans-I/O.
 */

import { shellWord } from '../../shared/base/printable.ts';

export interface ComponentRoot {
  readonly component: string;
  readonly root: string;
}

export interface Given {
  readonly roots: readonly ComponentRoot[];
  readonly socket?: string | undefined;
  /** Commands find that root without an option. */
  readonly defaultRoot: string;
}

const COMMAND =
  /drover-robot (recover|adopt|retry|unblock [^\s;,()]+)( --root DIR)?(?= |;|,|\)|$)/g;
/** Asked for one root: the one that is being spoken of. */
const OF_ONE = ['recover', 'adopt'];

/** @param lines a line `NAME: …` begins what is said of that component */
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
