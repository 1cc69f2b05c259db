/**
 * Finds the agent's socket for a command: the usual one, else one in another root, which answers
 * alone while the disk of the first root keeps the usual one closed.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { JsonValue } from '../../shared/formats/strict-json.ts';
import { callLocalApi } from '../local/client.ts';
import type { ComponentRoot } from './given-roots.ts';
import { socketPathOf, spareSocketsOf } from './options.ts';

/** @throws DroverError ROBOT_NOT_RUNNING when none of them answers, or as `callLocalApi` */
export async function callAgent(
  { roots, socket }: { roots: readonly ComponentRoot[]; socket: string | undefined },
  ...call: [method: 'GET' | 'POST', path: string, body?: object]
): Promise<JsonValue> {
  try {
    return await callLocalApi(socketPathOf(roots, socket), ...call);
  } catch (thrown) {
    if (!isAway(thrown)) throw thrown;
    for (const path of spareSocketsOf(roots, socket)) {
      try {
        return await callLocalApi(path, ...call);
      } catch (other) {
        if (!isAway(other)) throw other;
      }
    }
    throw thrown;
  }
}

const isAway = (thrown: unknown): boolean =>
  thrown instanceof DroverError && thrown.code === 'ROBOT_NOT_RUNNING';
