/**
 * A site for end-to-end tests: keys, trust, bundles, and robots as real processes. A test asks the
 * robot for what it needs to know, over its own socket.
 */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callLocalApi } from '../../robot-client/local/client.ts';
import type { Phase } from '../../shared/formats/messages.ts';
import { startDrover, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { makeBundle, makeKey, makeTrust, publish } from './site-making.ts';

export interface ComponentStatus {
  readonly name: string;
  readonly version: string | null;
  readonly phase: Phase;
  readonly previous_version: string | null;
  readonly transfer: { bytes_done: number; bytes_total: number; chunks_fetched: number } | null;
  readonly waiting_for: string | null;
  readonly last_error: { code: string; message: string; version?: string | null } | null;
  readonly blocked: readonly string[];
  readonly wake_at: string | null;
  readonly last_update: {
    rollout: string;
    version: string;
    outcome: string;
    code?: string | null;
    delta_from?: string | null;
    delta_failed?: string | null;
  } | null;
}

const settledOn =
  (version: string) =>
  (status: ComponentStatus): boolean =>
    status.version === version && status.phase === 'idle';

export class Robot {
  readonly #scope: Scope;
  readonly #args: readonly string[];
  readonly #env: Record<string, string>;
  readonly id: string;
  /** Of the component that the test is about. */
  readonly root: string;
  readonly #subject: string;
  readonly #socket: string;
  readonly hooks: string;
  child: Child;

  constructor(
    scope: Scope,
    id: string,
    folder: string,
    args: readonly string[],
    env: Record<string, string>,
    components: readonly string[] = ['app'],
  ) {
    this.#scope = scope;
    this.id = id;
    this.#subject = components.at(-1) ?? 'app';
    const rootOf = (name: string) => join(folder, name === 'app' ? id : `${id}-${name}`);
    this.root = rootOf(this.#subject);
    this.#socket = join(rootOf(components[0] ?? 'app'), 'state/agent.sock');
    const roots = components.flatMap((name) => [
      '--root',
      name === 'app' ? rootOf(name) : `${name}=${rootOf(name)}`,
    ]);
    this.hooks = join(folder, `${id}-hooks`);
    this.#env = env;
    this.#args = ['--id', id, ...roots, '--hooks', this.hooks, ...args];
    this.child = this.#start();
  }

  #start(more: readonly string[] = []): Child {
    return startDrover(this.#scope, 'robot-client', [...this.#args, ...more], { env: this.#env });
  }

  /** As after a power cut: SIGKILL, then a new start. */
  async killAndRestart(): Promise<void> {
    await this.kill();
    this.child = this.#start();
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.child.exit;
  }

  start(...more: string[]): void {
    this.child = this.#start(more);
  }

  /** Of all components, in the order of `--root`. */
  async statuses(): Promise<ComponentStatus[]> {
    const status = (await callLocalApi(this.#socket, 'GET', '/status')) as unknown as {
      components: ComponentStatus[];
    };
    return status.components;
  }

  async status(name = this.#subject): Promise<ComponentStatus> {
    const component = (await this.statuses()).find((one) => one.name === name);
    if (!component) throw new Error(`no component ${name}`);
    return component;
  }

  /** The same robot, waited for by another of its components. */
  component(name: string): Pick<Robot, 'until' | 'runs'> {
    return {
      until: (what, holds, timeoutMs) => this.#until({ name, what, holds, timeoutMs }),
      runs: (version, timeoutMs) =>
        this.#until({ name, what: `runs ${version}`, holds: settledOn(version), timeoutMs }),
    };
  }

  async call(path: string, body: object): Promise<unknown> {
    return await callLocalApi(this.#socket, 'POST', path, body);
  }

  /** Waits for a state of the component that the test is about and returns it. */
  async until(
    what: string,
    holds: (status: ComponentStatus) => boolean,
    timeoutMs?: number,
  ): Promise<ComponentStatus> {
    return await this.#until({ name: this.#subject, what, holds, timeoutMs });
  }

  async runs(version: string, timeoutMs?: number): Promise<ComponentStatus> {
    return await this.component(this.#subject).runs(version, timeoutMs);
  }

  async #until(wait: {
    name: string;
    what: string;
    holds: (status: ComponentStatus) => boolean;
    timeoutMs?: number | undefined;
  }): Promise<ComponentStatus> {
    const { name, what, holds, timeoutMs = 30_000 } = wait;
    let last: unknown;
    return await waitUntil(
      `${this.id}, ${name}: ${what}`,
      async () => {
        const status = await this.status(name);
        last = status;
        return holds(status) ? status : null;
      },
      { timeoutMs, look: () => `${JSON.stringify(last)}\n${this.child.describe()}` },
    );
  }

  async hook(name: string, script: string): Promise<void> {
    await mkdir(this.hooks, { recursive: true });
    await writeFile(join(this.hooks, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(this.hooks, name), 0o755);
  }
}

export class Site {
  readonly #scope: Scope;
  readonly folder: string;
  /** Of each robot; the last is the one that bundles are for unless they say `--name`. */
  readonly #components: readonly string[];
  isPublisherStarted = false;

  private constructor(scope: Scope, folder: string, components: readonly string[]) {
    this.#scope = scope;
    this.folder = folder;
    this.#components = components;
  }

  /** Keys and trust are there when it resolves. */
  static async open(
    scope: Scope,
    more: readonly string[] = [],
    components: readonly string[] = ['app'],
  ): Promise<Site> {
    const site = new Site(scope, await tempFolder(scope), components);
    const [release, rollout] = [site.path('release'), site.path('rollout')];
    for (const key of [release, rollout]) await makeKey(key);
    const out = site.path('trust.json');
    if (more.length === 0) await makeTrust({ release, rollout, out });
    else {
      const keys = ['--release', `${release}.pub`, '--rollout', `${rollout}.pub`];
      await site.drover('trust', 'init', ...keys, '--fleet', 'test', ...more, '--out', out);
    }
    return site;
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** Runs `drover` to its end; throws with its output unless it exits 0. */
  async drover(...args: string[]): Promise<string> {
    const child = await this.tryDrover({}, ...args);
    if (child.ended?.code !== 0) throw new Error(child.describe());
    return child.stdout;
  }

  async tryDrover(env: Record<string, string>, ...args: string[]): Promise<Child> {
    const child = startDrover(this.#scope, 'publisher', args, { env });
    await child.exit;
    return child;
  }

  /** A signed bundle of a small application (or of these files). */
  async bundle(
    version: string,
    files: Record<string, string | Uint8Array> = {},
    ...more: string[]
  ): Promise<string> {
    const at = more.indexOf('--name');
    const folder = at < 0 ? version : `${more[at + 1]}-${version}`;
    const app = this.path('apps', folder);
    const all = { 'bin/app': `#!/bin/sh\necho ${version}\n`, VERSION: version, ...files };
    for (const [name, content] of Object.entries(all)) {
      await mkdir(join(app, name, '..'), { recursive: true });
      await writeFile(join(app, name), content);
    }
    const bundle = this.path('bundles', folder);
    const subject = this.#components.at(-1) ?? 'app';
    const named = at < 0 && subject !== 'app' ? ['--name', subject] : [];
    const key = this.path('release');
    await makeBundle({ app, version, options: [...named, ...more], out: bundle, key });
    return bundle;
  }

  /** As `drover publish` does; in this process, unless the test is about the program too. */
  async publish(url: string, bundle: string, ...more: string[]): Promise<void> {
    const [verb = '', folder = '', ...words] = this.publishArgs(url, bundle, ...more);
    if (this.isPublisherStarted) await this.drover(verb, folder, ...words);
    else await publish(folder, words);
  }

  publishArgs(url: string, bundle: string, ...more: string[]): string[] {
    const signed = ['--key', this.path('rollout.key'), '--trust', this.path('trust.json')];
    const waves =
      more.includes('--waves') || more.includes('--emergency') ? [] : ['--waves', '100'];
    return ['publish', bundle, '--broker', url, ...signed, ...waves, ...more];
  }

  robot(
    id: string,
    url: string,
    more: readonly string[] = [],
    env: Record<string, string> = {},
  ): Robot {
    const args = ['--broker', url, '--trust', this.path('trust.json'), ...more];
    return new Robot(this.#scope, id, this.folder, args, env, this.#components);
  }
}
