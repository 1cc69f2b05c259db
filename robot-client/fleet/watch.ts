/**
 * Puts the health watch of an agent together: the versions to check, and the counters for the
 * results.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { AGENT_COMPONENT } from '../../shared/rules/agent-bundle.ts';
import type { Component } from '../component.ts';
import { layoutOf } from '../install/layout.ts';
import { hookEnvironment } from '../update/hook-calls.ts';
import { HealthWatch, type Watched } from './health-watch.ts';
import type { Reporter } from './reporter.ts';

export interface WatchOptions {
  readonly roots: readonly { readonly component: string; readonly root: string }[];
  readonly hooksFolder: string;
  readonly hookTimeoutMs?: number | undefined;
  /** 0 for never; default `healthWatchMs`. */
  readonly healthWatchMs?: number | undefined;
  readonly log: Log;
}

export function makeHealthWatch(
  options: WatchOptions,
  parts: { readonly components: readonly Component[]; readonly reporter: Reporter },
): HealthWatch {
  const roots = new Map(options.roots.map(({ component, root }) => [component, root]));
  const watchedOf = ({ view }: Component): Watched => {
    const { name, state, previousVersion } = view;
    const version = state.phase === 'idle' ? view.version : null;
    const layout = layoutOf(roots.get(name) ?? '');
    const targetVersion = version ?? '';
    const facts = { component: name, layout, version: targetVersion, previousVersion };
    return { component: name, version, env: hookEnvironment({ ...facts, targetVersion }) };
  };
  // The hooks of an integrator are about applications.
  const components = parts.components.filter(({ name }) => name !== AGENT_COMPONENT);
  return new HealthWatch({
    hooksFolder: options.hooksFolder,
    hookTimeoutMs: options.hookTimeoutMs ?? LIMITS.hookTimeoutMsDefault,
    everyMs: options.healthWatchMs ?? LIMITS.healthWatchMs,
    log: options.log,
    watched: () => components.map(watchedOf),
    count: (component, counts) => parts.reporter.add(component, counts),
  });
}
