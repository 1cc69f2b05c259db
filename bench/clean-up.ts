/** Runs a measurement and then what it wants to have cleaned up, last in first out, failed or not. */

import type { Scope } from '../test/helpers/scope.ts';

export async function withCleanUp<T>(run: (scope: Scope) => Promise<T>): Promise<T> {
  const cleanUps: (() => void | Promise<void>)[] = [];
  try {
    return await run({ after: (cleanUp) => cleanUps.push(cleanUp) });
  } finally {
    for (const cleanUp of cleanUps.reverse()) await cleanUp();
  }
}
