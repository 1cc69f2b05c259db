/**
 * Runs a measurement and then its clean-up steps, the last registered first, also after a failure.
 */

import type { Scope } from '../test/helpers/scope.ts';

export async function withCleanUp<T>(run: (scope: Scope) => Promise<T>): Promise<T> {
  const cleanUps: (() => void | Promise<void>)[] = [];
  try {
    return await run({ after: (cleanUp) => cleanUps.push(cleanUp) });
  } finally {
    for (const cleanUp of cleanUps.reverse()) await cleanUp();
  }
}
