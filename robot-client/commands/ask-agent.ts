/**
 * `drover-robot status` and `explain`: they ask the agent of this robot, or read its state files
 * while none runs.
 */

import type { Argv } from 'yargs';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { parseComponentName } from '../../shared/base/ids.ts';
import { shownJson } from '../../shared/base/printable.ts';
import { paintExplained } from '../../shared/base/tints.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import type { Disk } from '../install/disk-port.ts';
import { realDisk } from '../install/disk.ts';
import { isLocked, mayListen } from '../install/kernel-locks.ts';
import { layoutOf } from '../install/layout.ts';
import type { OwnFolders } from '../install/outside-root.ts';
import { findOwnFolders, lockFilesOf } from '../install/path-lock.ts';
import { readName } from '../install/root-name.ts';
import { explainAtRest } from './at-rest.ts';
import { DEFAULT_ROOT, withRoots } from './declare-options.ts';
import { withGivenRoots, type ComponentRoot } from './given-roots.ts';
import { parseRoots, socketPathOf, spareSocketsOf } from './options.ts';
import type { JsonValue } from '../../shared/formats/strict-json.ts';
import { callLocalApi } from '../local/client.ts';

export const explainCommand = (argv: Argv): Argv =>
  argv.command('explain', 'what it does, why it waits, when it wakes', withRoots, (args) =>
    ask(args, '/explain'),
  );

export const statusCommand = (argv: Argv): Argv =>
  argv.command('status', 'what runs, as JSON', withRoots, (args) => ask(args, '/status'));

interface AskArgs {
  root: string[];
  socket: string | undefined;
  json: boolean;
}

/** Exit code 3 when a state was lost or cannot be read. @throws DroverError as `callAgent` */
async function ask(args: AskArgs, path: '/status' | '/explain'): Promise<void> {
  const out = makeOutput(args.json);
  const roots = await namedRoots(realDisk, args.root);
  const given = { roots, socket: args.socket, defaultRoot: DEFAULT_ROOT };
  try {
    const answer = await callAgent({ roots, socket: args.socket }, 'GET', path);
    const { lines } = answer as { lines?: string[] };
    if (!lines) return out.result(answer as object, inLines(answer)); // JSON has no colours
    out.result(answer as object, withGivenRoots(lines, given), paintExplained);
  } catch (thrown) {
    const own = findOwnFolders();
    if (!isAway(thrown, { roots, socket: args.socket, own })) throw thrown;
    const atRest = await explainAtRest(realDisk, roots, own);
    const { isWhole, ...told } = atRest;
    if (!isWhole) process.exitCode = 3;
    const lines = withGivenRoots(atRest.lines, given);
    if (path === '/status') return out.result({ ...told, lines }, inLines({ ...told, lines }));
    out.result({ ...told, lines }, lines, paintExplained);
  }
}

/**
 * The roots of a command that only reads. Each root remembers its component, so a plain `--root DIR`
 * has the name that DIR holds; only a root without a name is the component `app`.
 * @throws DroverError USAGE
 */
export async function namedRoots(disk: Disk, texts: readonly string[]): Promise<ComponentRoot[]> {
  const roots = parseRoots(texts);
  return await Promise.all(
    roots.map(async (one, at) => {
      if (texts[at]?.includes('=') === true) return one;
      const name = await readName(disk, layoutOf(one.root));
      const component = name === null ? null : nullIfRefused(() => parseComponentName(name));
      return component === null ? one : { ...one, component };
    }),
  );
}

/** Also when the socket cannot be used and the kernel lists no agent. */
function isAway(
  thrown: unknown,
  on: { roots: readonly ComponentRoot[]; socket: string | undefined; own: OwnFolders },
): boolean {
  if (!(thrown instanceof DroverError)) return false;
  if (thrown.code !== 'ACCESS_DENIED') return thrown.code === 'ROBOT_NOT_RUNNING';
  const { roots, socket, own } = on;
  const isHeld = roots.some(({ root }) => [root, ...lockFilesOf(root, own)].some(isLocked));
  return !isHeld && !mayListen(socketPathOf(roots, socket));
}

/** JSON with indentation. */
const inLines = (answer: unknown): string[] => [shownJson(JSON.stringify(answer, null, 2))];

/**
 * Calls the agent at the usual socket, else at one in another root, which answers alone while the
 * disk of the first root keeps the usual one closed.
 * @throws DroverError ROBOT_NOT_RUNNING when none of them answers, or as `callLocalApi`
 */
export async function callAgent(
  { roots, socket }: { roots: readonly ComponentRoot[]; socket: string | undefined },
  ...call: [method: 'GET' | 'POST', path: string, body?: object]
): Promise<JsonValue> {
  try {
    return await callLocalApi(socketPathOf(roots, socket), ...call);
  } catch (thrown) {
    if (!isSilent(thrown)) throw thrown;
    for (const path of spareSocketsOf(roots, socket)) {
      try {
        return await callLocalApi(path, ...call);
      } catch (other) {
        if (!isSilent(other)) throw other;
      }
    }
    throw thrown;
  }
}

const isSilent = (thrown: unknown): boolean =>
  thrown instanceof DroverError && thrown.code === 'ROBOT_NOT_RUNNING';
