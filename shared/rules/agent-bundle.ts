/**
 * The component `drover-agent`: an update of the agent itself. The robot, the publisher and the
 * packages agree here on its name, and on the files that a release of it holds. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { ATOMIC_SWAP } from '../formats/apply-strategy.ts';
import { parseStrictJson } from '../formats/strict-json.ts';

export const AGENT_COMPONENT = 'drover-agent';

/** Highest schema of the state file of a component (machine.json) that this version reads. */
export const STATE_SCHEMA_READ = 4;

/**
 * Highest schema that it writes. The package.json of an agent names it, so that the agent before it
 * knows before the switch whether it could read the state after a rollback. A new schema is read by
 * one release, and written by the next one.
 */
export const STATE_SCHEMA_WRITTEN = 4;

/** Files of a release that `drover-launch` and the script start; below the release. */
export const AGENT_FILES = {
  script: 'robot-client/drover-robot',
  program: 'dist/drover-robot.js',
  manifest: 'package.json',
} as const;

const manifestSchema = z.object({
  drover: z.object({ stateSchema: z.number().int().positive() }),
});

/** @throws DroverError AGENT_RELEASE_INVALID, also when the schema is unknown */
function stateSchemaOf(bytes: Uint8Array | null, what: string): number {
  const no = (why: string): DroverError =>
    new DroverError('AGENT_RELEASE_INVALID', `${what}: ${AGENT_FILES.manifest}: ${why}`);
  if (bytes === null) throw no('it is not there');
  let found: ReturnType<typeof manifestSchema.safeParse>;
  try {
    const json = parseStrictJson(bytes, AGENT_FILES.manifest, LIMITS.agentManifestBytesMax);
    found = manifestSchema.safeParse(json);
  } catch (thrown) {
    throw no(thrown instanceof Error ? thrown.message : String(thrown));
  }
  if (found.success) return found.data.drover.stateSchema;
  throw no('drover.stateSchema is no schema of a state file (got none, want a whole number)');
}

export interface AgentFacts {
  /** Null when there is none. */
  readonly manifest: Uint8Array | null;
  /** Files of `AGENT_FILES` that are absent or empty, and the script when it cannot be run. */
  readonly missing: readonly string[];
}

/**
 * Asserts that a folder holds an agent.
 * @returns the highest schema of the state files that it writes
 * @throws DroverError AGENT_RELEASE_INVALID
 */
export function assertHoldsAgent({ manifest, missing }: AgentFacts, what: string): number {
  const [first] = missing;
  if (first !== undefined) {
    const why = `${first} is absent, empty, or cannot be run`;
    throw new DroverError('AGENT_RELEASE_INVALID', `${what}: ${why}`);
  }
  return stateSchemaOf(manifest, what);
}

/** @throws DroverError AGENT_STRATEGY */
export function assertAgentStrategy(strategy: string, what: string): void {
  if (strategy === ATOMIC_SWAP) return;
  const counts = `(got ${strategy}, want ${ATOMIC_SWAP})`;
  throw new DroverError('AGENT_STRATEGY', `${what}: the agent is updated by its link ${counts}`);
}
