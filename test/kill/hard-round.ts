/**
 * One robot with one version on it and another on its way, for one thing that goes wrong. The world
 * around it is real: broker, agent, `recover`, disk. The independent checker reads what boots.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { isIdle, isInPhase } from './boot-check.ts';
import type { AgentPlace, KillSite } from './kill-site.ts';
import { bootProblem, whatBoots } from './tree-check.ts';
import type { AppVersion } from './versions.ts';

const END_TIMEOUT_MS = 90_000;
const POLL_MS = 2;

export class HardRound {
  readonly site: KillSite;
  readonly robot: string;
  readonly root: string;
  readonly random: () => number;
  readonly violations: string[] = [];
  /**
   * The update whose report had the reason: this one, or the next when this one ended all the same.
   */
  heard: 'of it' | 'of the next' | null = null;
  /** Versions that may boot: all that was on this robot, and the one on its way. */
  readonly known: AppVersion[] = [];
  /** The duration of the first install, without the start of the agent. */
  updateMs = 0;

  constructor(site: KillSite, robot: string, more: { root: string; random: () => number }) {
    this.site = site;
    this.robot = robot;
    this.root = more.root;
    this.random = more.random;
  }

  start(more: AgentPlace = {}): Child {
    return this.site.startAgent(this.robot, { root: this.root, ...more });
  }

  /** Announces the next version; it is known from here on. */
  async announce(): Promise<AppVersion> {
    const to = await this.site.prepare(true);
    this.known.push(to);
    await this.site.announce(this.robot, to);
    return to;
  }

  /** An agent that has installed its first version. */
  async installed(more: AgentPlace = {}): Promise<Child> {
    const agent = this.start(more);
    const first = await this.announce();
    const startedAt = performance.now();
    await this.ends(first, agent);
    this.updateMs = performance.now() - startedAt;
    return agent;
  }

  /** A random instant of an update, or of its swap, which is short. */
  async moment(to: AppVersion): Promise<void> {
    if (this.random() < 0.6) return await sleep(this.random() * this.updateMs);
    const phase = this.random() < 0.5 ? 'swapping' : 'staging';
    const until = performance.now() + 2 * this.updateMs;
    while (performance.now() < until && !(await isInPhase(this.root, phase, to.version))) {
      await sleep(POLL_MS);
    }
  }

  /** Nothing may be writing meanwhile. @param isExcused an adoption may have `active` on its way */
  async look(when: string, isExcused = false): Promise<void> {
    const may = this.known.slice(-2).map(({ version }) => version);
    const problem = await bootProblem(this.root, this.known, may);
    if (problem === null || (isExcused && problem === 'active is missing')) return;
    this.violations.push(`${when}: ${problem}`);
  }

  async killed(child: Child): Promise<void> {
    child.kill('SIGKILL');
    await child.exit;
  }

  /** Runs `recover` to its end and looks. */
  async recover(when: string): Promise<void> {
    const recover = this.site.startRecover(this.robot, { root: this.root });
    const { code } = await recover.exit;
    if (code !== 0) this.violations.push(`${when}: ${recover.describe()}`);
    await this.look(`${when}, recovered`);
  }

  /** The update must end, by itself, with every byte. */
  async ends(to: AppVersion, agent: Child): Promise<void> {
    await waitUntil(
      `${this.robot} to end on ${to.version}`,
      async () => {
        if (agent.ended) throw new Error('the agent ended');
        const isThere = (await whatBoots(this.root, this.known)).app === to;
        return isThere && (await isIdle(this.root));
      },
      { timeoutMs: END_TIMEOUT_MS, look: () => agent.describe() },
    );
  }
}
