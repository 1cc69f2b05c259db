/** Calls the agent of this robot, or reads its state files while none runs. */

import { DroverError } from '../../shared/base/errors.ts';
import { shownJson } from '../../shared/base/printable.ts';
import { paintExplained } from '../../shared/base/tints.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { realDisk } from '../install/disk.ts';
import { isLocked, mayListen } from '../install/kernel-locks.ts';
import type { OwnFolders } from '../install/outside-root.ts';
import { lockFilesOf } from '../install/path-lock.ts';
import { explainAtRest } from './at-rest.ts';
import { DEFAULT_ROOT } from './declare-options.ts';
import { namedRoots } from './named-roots.ts';
import { withGivenRoots, type ComponentRoot } from './given-roots.ts';
import { socketPathOf, spareSocketsOf } from './options.ts';
import { findOwnFolders } from './own-folders.ts';
import type { JsonValue } from '../../shared/formats/strict-json.ts';
import { callLocalApi } from '../local/client.ts';

export interface AskArgs {
  root: string[];
  socket: string | undefined;
  json: boolean;
}

/** Exit code 3 when a state was lost or cannot be read. @throws DroverError as `callAgent` */
export async function ask(args: AskArgs, path: '/status' | '/explain'): Promise<void> {
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
