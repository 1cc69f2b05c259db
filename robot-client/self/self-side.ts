/**
 * This process as a release of the component `drover-agent`. It cannot replace itself: it ends in
 * order, and drover-launch starts the release that `active` leads to. Its health is that it reads
 * what it wrote, answers at its local door, and that the broker took a report of this very start.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { AGENT_COMPONENT } from '../../shared/rules/agent-bundle.ts';
import type { Disk } from '../install/disk-port.ts';
import { layoutOf } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { readLaunch, type AgentProcess, type Launch } from './launch.ts';
import { clearStarts, ownRelease } from './own-release.ts';

export interface SelfOptions {
  readonly root: string;
  readonly disk: Disk;
  /** File that Node was started with. */
  readonly programPath: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** Version that this program says of itself. */
  readonly product: string;
  /** Calls the local API as an application does. Rejects when no agent answers. */
  askDoor(): Promise<unknown>;
  readonly upMs?: number;
}

/** The rest of the agent, as far as the health of the whole is about it. */
export interface Joined {
  isLinkUp(): boolean;
  /** Codes of why roots cannot be read; empty when all can. */
  closedRoots(): readonly string[];
  /** The release that is on trial, or goes back; null for none. */
  onTrial(): string | null;
}

/** States that another agent could read, and this one cannot. */
const UNREAD: readonly string[] = ['STATE_NEWER', 'STATE_CORRUPT'];

export class SelfSide implements AgentProcess {
  readonly #options: SelfOptions;
  readonly launch: Launch;
  /** The release that runs; null for the installed agent. */
  readonly running: string | null;
  #joined: Joined | null = null;
  #wasHeard = false;
  #hasStarted = false;
  #timer: NodeJS.Timeout | null = null;
  #isEnding = false;
  #restart = (): void => undefined;
  /** Resolves when this process is to end, so that another release starts. */
  readonly restarting = new Promise<void>((resolve) => {
    this.#restart = resolve;
  });

  constructor(options: SelfOptions) {
    this.#options = options;
    this.launch = readLaunch(options.environment);
    this.running = ownRelease(options.root, options.programPath);
  }

  get product(): string {
    return this.#options.product;
  }

  /** True since the broker took a report of this start. */
  get wasHeard(): boolean {
    return this.#wasHeard;
  }

  get isLinkUp(): boolean {
    return this.#joined?.isLinkUp() === true;
  }

  /** True once this process is to end, so that another release starts. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Before the components are opened. */
  join(joined: Joined): void {
    this.#joined = joined;
  }

  /** After the components were opened. An agent that runs for a while has come up. */
  start(): void {
    this.#hasStarted = true;
    const { upMs = LIMITS.agentUpMs } = this.#options;
    this.#timer = setInterval(() => this.#isUp(), upMs);
    this.#timer.unref();
  }

  #isUp(): void {
    if (this.#hasStarted) inBackground(this.#options.log, 'note the start', this.#noteUp());
  }

  /** An agent that ends in order has come up, unless it is on trial. */
  async close(): Promise<void> {
    this.#stop();
    const { disk, root } = this.#options;
    if (!this.#hasStarted || this.running === null || this.#isOnTrial) return;
    await clearStarts(disk, layoutOf(root), this.running);
  }

  #stop(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  get #isOnTrial(): boolean {
    const onTrial = this.#joined?.onTrial() ?? null;
    return onTrial !== null && onTrial === this.running;
  }

  /** The broker took a report. An agent that is not on trial has come up with that. */
  noteHeard(): void {
    if (!this.#wasHeard) this.#isUp();
    this.#wasHeard = true;
  }

  /** A trial is noted by its confirmation, and no sooner. */
  async #noteUp(): Promise<void> {
    if (this.#isOnTrial) return;
    const { disk, root } = this.#options;
    const layout = layoutOf(root);
    const active = versionOf((await readSlots(disk, layout)).active);
    // The count of another release stays: that one did not come up.
    if (this.running === active) await clearStarts(disk, layout, null);
    else if (this.running !== null) await clearStarts(disk, layout, this.running);
    this.#stop();
  }

  /** Why it is not well now; null when it is. */
  async whyUnwell(): Promise<string | null> {
    const closed = this.#joined?.closedRoots().find((code) => UNREAD.includes(code));
    if (closed !== undefined)
      return `a state that the agent before wrote cannot be read: ${closed}`;
    try {
      await this.#options.askDoor();
    } catch (thrown) {
      return `the local socket does not answer: ${toProblem(thrown).message}`;
    }
    if (!this.isLinkUp) return 'no link to the broker';
    return this.#wasHeard ? null : 'the broker took no report of it yet';
  }

  /**
   * Resolves when this process is that release, or when drover-launch gave that release up.
   * Otherwise the process ends, and it rejects with the reason of the signal.
   * @param version null for the installed agent
   * @throws DroverError AGENT_NOT_LAUNCHED
   */
  async become(version: string | null, signal: AbortSignal): Promise<void> {
    const { instead } = this.launch;
    if (this.running === version || (version !== null && instead?.version === version)) return;
    return await this.restart(version, signal);
  }

  /** As `become`, also for a release that drover-launch gave up before. */
  async restart(version: string | null, signal: AbortSignal): Promise<void> {
    const name = version ?? 'the installed agent';
    this.assertLaunched(`start ${name}`);
    this.#options.log.info({ component: AGENT_COMPONENT, version }, `ends, so that ${name} starts`);
    this.#isEnding = true;
    this.#restart();
    await new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  }

  /** @throws DroverError AGENT_NOT_LAUNCHED: no one would start the other agent, or this one again */
  assertLaunched(what: string): void {
    if (this.launch.isLaunched) return;
    throw new DroverError('AGENT_NOT_LAUNCHED', `${what}: drover-launch did not start this agent`);
  }
}
