/**
 * All components of one robot. A failure of one stays with that one, which reports it; the others
 * are still read, started, considered and closed.
 */

import type { Problem } from '../shared/base/errors.ts';
import type { Log } from '../shared/base/ports.ts';
import { AGENT_COMPONENT } from '../shared/rules/agent-bundle.ts';
import { isChanging } from '../shared/rules/running-version.ts';
import type { Component } from './component.ts';
import type { ComponentView } from './fleet/report.ts';
import type { ClosedDoor } from './local/ready-word.ts';
import type { Joined } from './self/self-side.ts';

export class ComponentSet {
  readonly all: readonly Component[];
  readonly #log: Log;
  #noteRead = (): void => undefined;
  /** Resolves when each component was read. Before that it is unknown what the robot runs. */
  readonly whenRead = new Promise<void>((resolve) => {
    this.#noteRead = resolve;
  });

  constructor(all: readonly Component[], log: Log) {
    this.all = all;
    this.#log = log;
  }

  get views(): ComponentView[] {
    return this.all.map((component) => component.view);
  }

  /** Facts by which an agent that updates itself judges how it does. */
  get self(): Pick<Joined, 'closedRoots' | 'onTrial'> {
    return {
      closedRoots: () => this.views.flatMap(({ closed }) => (closed ? [closed.code] : [])),
      onTrial: () => {
        const { phase, job } = this.views.find(({ name }) => name === AGENT_COMPONENT)?.state ?? {};
        return phase !== undefined && isChanging(phase) ? (job?.version ?? null) : null;
      },
    };
  }

  /** No effect runs before all components were read. Never rejects. */
  async open(): Promise<void> {
    await this.#each('read', (component) => component.load());
    this.#noteRead();
    await this.#each('start', (component) => component.start());
  }

  /** Never rejects. */
  async consider(...heard: Parameters<Component['consider']>): Promise<void> {
    await this.#each('consider', (component) => component.consider(...heard));
  }

  /** Reads the slots again before they are reported. Never rejects. */
  async refresh(): Promise<void> {
    await this.#each('refresh', (component) => component.refresh());
  }

  /** Never rejects. */
  async hold(door: ClosedDoor | null): Promise<void> {
    await this.#each('hold', (component) => component.hold(door));
  }

  /** Never rejects. */
  async refuse(problem: Problem, how: { stays: boolean; isTold?: boolean }): Promise<void> {
    await this.#each('refuse', (component) => component.refuse(problem, how));
  }

  /**
   * @returns names of the components that ended in order: open, and without a running effect. Never
   *   rejects.
   */
  async close(): Promise<ReadonlySet<string>> {
    const ended = new Set<string>();
    await this.#each('close', async (component) => {
      if ((await component.close()) && component.isOpen) ended.add(component.name);
    });
    return ended;
  }

  /** In parallel: a disk that hangs under one root delays no other. */
  async #each(what: string, run: (component: Component) => Promise<unknown>): Promise<void> {
    const tried = async (component: Component): Promise<void> => {
      try {
        await run(component);
      } catch (error) {
        // The component has reported it; this line is for the log.
        this.#log.debug({ component: component.name, what, error: String(error) }, 'left out');
      }
    };
    await Promise.all(this.all.map(tried));
  }
}
