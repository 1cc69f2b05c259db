/**
 * The agent's own files: which release of the component `drover-agent` runs in this process, a
 * check that another release holds an agent, and the counts of starts that drover-launch keeps.
 */

import { realpathSync } from 'node:fs';
import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  AGENT_FILES,
  STATE_SCHEMA_READ,
  assertHoldsAgent,
} from '../../shared/rules/agent-bundle.ts';
import type { Disk } from '../install/disk-port.ts';
import { releaseFolder, versionOfLink, type Layout } from '../install/layout.ts';

/**
 * The release whose program this process runs; null for the installed agent, and for any other
 * program file.
 * @param programPath file that Node was started with
 */
export function ownRelease(root: string, programPath: string): string | null {
  const [real, program] = [realOf(root), realOf(programPath)];
  if (real === null || program === null || !program.startsWith(`${real}/`)) return null;
  const end = `/${AGENT_FILES.program}`;
  const below = program.slice(real.length + 1);
  return below.endsWith(end) ? versionOfLink(below.slice(0, -end.length)) : null;
}

/** Once in the life of a process, before it serves anybody. */
function realOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null; // a root that is not there yet has no release that runs
  }
}

/**
 * Asserts that a release can be started as an agent, and that this agent could take over again from
 * it: the older one must read the state that the newer one wrote.
 * @throws DroverError AGENT_RELEASE_INVALID, AGENT_STATE_NEWER
 */
export async function assertAgentRelease(
  disk: Disk,
  layout: Layout,
  version: string,
): Promise<void> {
  const folder = releaseFolder(layout, version);
  const what = `take agent ${version}`;
  const missing: string[] = [];
  for (const name of [AGENT_FILES.script, AGENT_FILES.program]) {
    const path = `${folder}/${name}`;
    const isFile = (await nullIfFailed(disk.kind(path))) === 'file';
    const found = isFile ? await disk.stat(path) : null;
    const mayRun = name !== AGENT_FILES.script || ((found?.mode ?? 0) & 0o100) !== 0;
    if (found === null || found.bytes === 0 || !mayRun) missing.push(name);
  }
  const path = `${folder}/${AGENT_FILES.manifest}`;
  const manifest = await disk.readFile(path, LIMITS.agentManifestBytesMax);
  const schema = assertHoldsAgent({ manifest, missing }, what);
  if (schema <= STATE_SCHEMA_READ) return;
  const counts = `(got schema ${schema}, want at most ${STATE_SCHEMA_READ})`;
  throw new DroverError('AGENT_STATE_NEWER', `${what}: this agent cannot read its state ${counts}`);
}

const startsFolder = ({ state }: Layout): string => `${state}/starts`;

/**
 * Removes the counts of starts: all of them, or that of one release. Durable when it resolves.
 * @param version null for all
 */
export async function clearStarts(
  disk: Disk,
  layout: Layout,
  version: string | null,
): Promise<void> {
  const folder = startsFolder(layout);
  const path = version === null ? folder : `${folder}/${version}`;
  if ((await disk.kind(path)) === 'absent') return;
  await disk.removeTree(path);
  await disk.syncFolder(version === null ? layout.state : folder);
}
