/**
 * The paths of a robot that another user must not be able to change, and what follows when one can:
 * a program that the agent runs, the keys that it trusts, and the folders of its roots. A user who
 * can replace one of them runs code that no key signed.
 *
 * A path that every user of the machine may change is refused: the program does not run, and no
 * update begins. A path of one other user, or a right of a group, is reported as a warning: many
 * robots have their hooks and roots in the home of one user, and an agent that refused them after
 * its own update could not be reached by any update again.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { judgePath, type Unsafe } from '../../shared/io/owned-file.ts';

export const HOOK_NAMES = ['ready', 'stop', 'start', 'health', 'rolled-back'] as const;

export type HookName = (typeof HOOK_NAMES)[number];

export type UnsafeCode = 'PROGRAM_UNSAFE' | 'ROOT_UNSAFE' | 'TRUST_UNSAFE';

/** A path, and the code with which it is reported. */
export interface GuardedPath {
  readonly path: string;
  /** In messages, such as `hook ready`. */
  readonly label: string;
  readonly code: UnsafeCode;
}

export interface PathVerdict {
  /** With it, no update begins. */
  readonly refused: (Problem & { readonly code: UnsafeCode }) | null;
  /** One line for the log and for people. */
  readonly warned: string | null;
}

export async function judgeGuarded({ path, label, code }: GuardedPath): Promise<PathVerdict> {
  const { others: refused, owner, group } = await judgePath(path);
  const warned = owner ?? group;
  return {
    refused: refused && { ...toProblem(new DroverError(code, wordsOf(label, refused))), code },
    warned: warned && wordsOf(label, warned),
  };
}

const wordsOf = (label: string, { why, mend }: Unsafe): string => `${label}: ${why}: ${mend}`;

/** Why a program must not be run; null when only root and this user can change it. */
export async function whyUnsafeProgram(
  path: string,
  label: string,
): Promise<PathVerdict['refused']> {
  return (await judgeGuarded({ path, label, code: 'PROGRAM_UNSAFE' })).refused;
}

/** The hooks, also those that are absent: whoever may write their folder may add them. */
export const hookPaths = (folder: string): GuardedPath[] =>
  HOOK_NAMES.map((name) => ({
    path: `${folder}/${name}`,
    label: `hook ${name}`,
    code: 'PROGRAM_UNSAFE',
  }));

/** The folders of a root whose content is run, or believed. */
export const rootPaths = (component: string, folders: readonly string[]): GuardedPath[] =>
  folders.map((path) => ({ path, label: `root of ${component}`, code: 'ROOT_UNSAFE' }));
