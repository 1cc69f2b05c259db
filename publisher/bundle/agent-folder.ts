/**
 * A bundle of the component `drover-agent` is checked when it is built: a folder that no robot
 * could start as its agent, or a way of applying it that could not be taken back, is refused here,
 * and not by a fleet.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AGENT_COMPONENT,
  AGENT_FILES,
  assertAgentStrategy,
  assertHoldsAgent,
} from '../../shared/rules/agent-bundle.ts';
import { strategyFor, type BundleLabels } from './plan-bundle.ts';
import type { TreePlan } from './plan-tree.ts';

/** @throws DroverError AGENT_STRATEGY for an agent that a module or a slot would hold */
export function assertAgentLabels(labels: BundleLabels): void {
  if (labels.name !== AGENT_COMPONENT) return;
  assertAgentStrategy(strategyFor(labels), `build ${labels.name} ${labels.version}`);
}

/**
 * @param entries of the payload, with the modes that it will have
 * @throws DroverError AGENT_RELEASE_INVALID
 */
export async function assertAgentFolder(
  { source, labels }: { readonly source: string; readonly labels: BundleLabels },
  entries: TreePlan['entries'],
): Promise<void> {
  if (labels.name !== AGENT_COMPONENT) return;
  const missing = [AGENT_FILES.script, AGENT_FILES.program].filter((name) => {
    const found = entries.find(({ path }) => path === name);
    const mayRun = name !== AGENT_FILES.script || ((found?.mode ?? 0) & 0o100) !== 0;
    return found === undefined || found.bytes === 0 || !mayRun;
  });
  // Absent, or not to be read: both are no manifest of an agent.
  const manifest = await readFile(join(source, AGENT_FILES.manifest)).catch(() => null);
  assertHoldsAgent({ manifest, missing }, `build ${source}`);
}
