/**
 * The one place that decides if an answer has colours, for the three programs. `--no-color` counts
 * first, then FORCE_COLOR (`0` and `false` are off, as for Node), then NO_COLOR and TERM=dumb. A
 * pipe or a file gets none, and JSON never does. shared/base/tints.ts chooses the words.
 */

import { styleText } from 'node:util';
import type { Painter, Tint } from '../base/tints.ts';

export interface ColourFacts {
  readonly isTerminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of the command line. */
  readonly words: readonly string[];
}

const OFF: readonly string[] = ['0', 'false'];

/**
 * Decides by the switches that people know from other programs. A colour repeats what the
 * text says, so a wrong guess loses nothing.
 */
export function isColoured({ isTerminal, environment, words }: ColourFacts): boolean {
  if (words.includes('--no-color')) return false;
  const { FORCE_COLOR: forced, NO_COLOR: none, TERM: terminal } = environment;
  if (forced !== undefined) return !OFF.includes(forced);
  if (none !== undefined && none !== '') return false;
  return isTerminal && terminal !== 'dumb';
}

/** Newer versions of Node would decide again, by the terminal alone; older ones ignore the option. */
type Style = (format: Tint, text: string, options: { readonly validateStream: false }) => string;

const tinted = (text: string, tint: Tint): string =>
  (styleText as Style)(tint, text, { validateStream: false });

/** Colours lines for standard output that are made printable already. */
export function coloured(lines: readonly string[], paint: Painter | undefined): readonly string[] {
  const { stdout, env: environment, argv: words } = process;
  if (!paint || !isColoured({ isTerminal: stdout.isTTY, environment, words })) return lines;
  return paint(lines, tinted);
}
