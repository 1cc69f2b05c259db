/**
 * A module whose state is a file: a board with one flash, which is erased before it is written. It
 * notes each call, and a test may put shell words before, in the middle of, and behind what a verb
 * does.
 */

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Shell words by verb and point (`first`, `mid`, `last`), such as `switch mid`. */
export type Faults = Readonly<Record<string, string>>;

export const BOARD = 'board';
export const BOARD_STRATEGY = `module/${BOARD}`;

const script = (faults: Faults): string => `#!/bin/sh
set -eu
verb=$1
flash=$DROVER_MODULE_DIR/flash
at() {
  case "$verb $1" in
${Object.entries(faults)
  .map(([point, words]) => `  ${point}) ${words} ;;`)
  .map((line) => line.replace(/^ {2}([a-z]+) ([a-z]+)\)/, '  "$1 $2")'))
  .join('\n')}
  *) ;;
  esac
}
burn() {
  : >"$flash"
  at mid
  [ -z "$1" ] || cat "$1"/VERSION* >"$flash"
  sync "$flash"
}
echo "$verb $DROVER_VERSION \${DROVER_PREVIOUS_VERSION:--}" >>"$DROVER_MODULE_DIR/calls"
at first
case $verb in
probe) ;;
stage) at mid; cat "$DROVER_PAYLOAD_DIR"/VERSION* >/dev/null ;;
switch) burn "$DROVER_PAYLOAD_DIR" ;;
verify) at mid; test "$(cat "$flash")" = "$DROVER_VERSION" ;;
confirm) at mid ;;
revert) burn "$DROVER_PREVIOUS_DIR" ;;
version) at mid; cat "$flash" 2>/dev/null || true ;;
*) exit 64 ;;
esac
at last
`;

/** Makes the module in a folder of modules. */
export async function writeBoard(modules: string, faults: Faults = {}): Promise<void> {
  await mkdir(modules, { recursive: true });
  await writeFile(join(modules, BOARD), script(faults));
  await chmod(join(modules, BOARD), 0o755);
}

const read = async (root: string, name: string): Promise<string> =>
  (await readFile(join(root, 'modules', BOARD, name), 'utf8').catch(() => '')).trim();

/** The version that the board runs; empty for nothing that is complete. */
export const flashOf = (root: string): Promise<string> => read(root, 'flash');

/** Verbs in the order of their calls, each with its versions. */
export const callsOf = async (root: string): Promise<string[]> =>
  (await read(root, 'calls')).split('\n');
