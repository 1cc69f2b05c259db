/**
 * A robot whose agent updates itself, as real processes: drover-launch stays as the parent, and the
 * releases are copies of the program that the build made, each with a version of its own.
 */

import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callLocalApi } from '../../robot-client/local/client.ts';
import {
  AGENT_COMPONENT,
  AGENT_FILES,
  STATE_SCHEMA_WRITTEN,
} from '../../shared/rules/agent-bundle.ts';
import { PRODUCT_VERSION } from '../../shared/io/cli.ts';
import { startChild, type Child } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { makeBundle } from './site-making.ts';
import type { ComponentStatus, Site } from './site.ts';

/** Short, so that a failure is decided soon: the agent is asked twelve times within it. */
export const TRIAL = ['--health-timeout', '6s'];

interface Status {
  /** Version that the program says of itself. */
  readonly agent: string;
  readonly components: readonly ComponentStatus[];
}

/** @param before statement that runs before the agent does; none by default */
export async function agentBundle(site: Site, version: string, before = ''): Promise<string> {
  const folder = site.path('agents', version);
  for (const name of ['robot-client', 'dist']) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync(repositoryFile(AGENT_FILES.script), join(folder, AGENT_FILES.script));
  chmodSync(join(folder, AGENT_FILES.script), 0o755);
  const built = readFileSync(repositoryFile(AGENT_FILES.program), 'utf8');
  const [, ...lines] = built
    .replaceAll(`PRODUCT_VERSION = "${PRODUCT_VERSION}"`, `PRODUCT_VERSION = "${version}"`)
    .split('\n');
  writeFileSync(join(folder, AGENT_FILES.program), [before, ...lines].join('\n'));
  const drover = { stateSchema: STATE_SCHEMA_WRITTEN };
  const manifest = { name: 'drover-robot', version, type: 'module', drover };
  writeFileSync(join(folder, AGENT_FILES.manifest), JSON.stringify(manifest));
  const out = site.path('bundles', `agent-${version}`);
  const options = ['--name', AGENT_COMPONENT, '--arch', 'any'];
  await makeBundle({ app: folder, version, options, out, key: site.path('release') });
  return out;
}

export class SelfUpdating {
  readonly #socket: string;
  readonly root: string;
  readonly launcher: Child;

  constructor(scope: Scope, site: Site, url: string, env: Record<string, string> = {}) {
    this.root = site.path('r1-agent');
    this.#socket = site.path('r1/state/agent.sock');
    const roots = ['--root', site.path('r1'), '--root', `${AGENT_COMPONENT}=${this.root}`];
    const link = ['--id', 'r1', '--broker', url, '--trust', site.path('trust.json')];
    const args = ['stay', ...link, ...roots, '--hooks', site.path('no-hooks')];
    this.launcher = startChild(scope, repositoryFile('robot-client/drover-launch'), args, {
      env: { DROVER_LAUNCH_PAUSE_S: '0', DROVER_NODE: process.execPath, ...env },
    });
  }

  /** Null while no agent answers. */
  async status(): Promise<Status | null> {
    try {
      return (await callLocalApi(this.#socket, 'GET', '/status')) as unknown as Status;
    } catch {
      return null;
    }
  }

  /** Waits for a state of a component, told by an agent of that version. */
  async until(
    what: string,
    holds: (status: ComponentStatus, agent: string) => boolean,
    { component = AGENT_COMPONENT, timeoutMs = 60_000 } = {},
  ): Promise<ComponentStatus> {
    let last: Status | null = null;
    return await waitUntil(
      what,
      async () => {
        last = (await this.status()) ?? last;
        const found = last?.components.find(({ name }) => name === component);
        return found && last && holds(found, last.agent) ? found : null;
      },
      { timeoutMs, look: () => `${JSON.stringify(last)}\n${this.launcher.describe()}` },
    );
  }

  async runs(version: string): Promise<ComponentStatus> {
    const isSettled = (one: ComponentStatus): boolean =>
      one.version === version && one.phase === 'idle';
    return await this.until(
      `agent ${version}`,
      (one, agent) => isSettled(one) && agent === version,
    );
  }
}
