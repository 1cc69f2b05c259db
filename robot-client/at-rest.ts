/** What can be said of a robot whose agent does not run: the state files and the links, read only. */

import { explainComponent } from './core/explain.ts';
import { layoutOf } from './core/layout.ts';
import type { Disk } from './core/ports.ts';
import { reportComponent } from './core/report.ts';
import { versionOf } from './core/slots.ts';
import { freshState, parseMachineState } from './core/state.ts';
import { listLeft } from './io/prune.ts';
import { readSlots } from './io/read-slots.ts';
import { LIMITS } from '../shared/limits.ts';
import type { ComponentRoot } from './options.ts';

export async function explainAtRest(
  disk: Disk,
  roots: readonly ComponentRoot[],
): Promise<{ agent: 'not running'; components: object[]; lines: string[] }> {
  const components: object[] = [];
  const lines: string[] = [];
  for (const { component, root } of roots) {
    const layout = layoutOf(root);
    const bytes = await disk.readFile(layout.machineFile, LIMITS.manifestBytesMax * 4);
    const slots = await readSlots(disk, layout);
    const state = bytes === null ? freshState() : parseMachineState(bytes);
    const view = {
      name: component,
      version: versionOf(slots.active),
      previousVersion: versionOf(slots.rollback),
      slots,
      slotsSinceMs: Date.now(),
      left: await listLeft(disk, layout, state.job?.version ?? null),
      state,
      live: { transfer: null, waitingFor: null, wakeAtMs: null, refusal: null },
    };
    components.push(reportComponent(view));
    lines.push(...explainComponent(view, Date.now()));
  }
  return { agent: 'not running', components, lines };
}
