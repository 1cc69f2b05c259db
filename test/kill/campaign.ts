/**
 * A campaign of real kills: SIGKILL to a real agent in the middle of a real update from a real
 * broker, a check of what would boot, sometimes `drover-robot recover` as at a boot, a restart,
 * perhaps another kill, and then the update has to come to its right end by itself. One seed stands
 * for one update with all its kills; a violation names the seed that plays it again. How a kill
 * falls within a millisecond is the machine's business: a replay is the same plan, and hits the
 * same place most of the time.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import {
  checkBoot,
  isIdle,
  isInPhase,
  readActive,
  readStateFile,
  type BootCheck,
  type Update,
} from './boot-check.ts';
import { planUpdate, type Kill, type KillMoment } from './kill-plan.ts';
import { KillSite } from './kill-site.ts';
import type { AppVersion } from './versions.ts';

export interface CampaignOptions {
  /** The campaign ends with the first update at which so many were reached. */
  readonly kills: number;
  readonly seed: number;
  /** Robots that are updated and killed at the same time. */
  readonly robots: number;
  onKill?(killsSoFar: number): void;
}

export interface CampaignResult {
  kills: number;
  updates: number;
  /** Runs of `drover-robot recover` after a kill. */
  recoveries: number;
  readonly killsByPhase: Map<RobotPhase, number>;
  /** Versions that would have booted right after a kill. */
  readonly boots: { old: number; new: number };
  /** The final outcomes of the updates. */
  readonly ends: { confirmed: number; unhealthy: number; bootLimit: number };
  /** Each with the command that plays it again. */
  readonly violations: string[];
}

const END_TIMEOUT_MS = 60_000;
const POLL_MS = 2;

export async function runCampaign(scope: Scope, options: CampaignOptions): Promise<CampaignResult> {
  const site = await KillSite.open(scope);
  const result: CampaignResult = {
    kills: 0,
    updates: 0,
    recoveries: 0,
    killsByPhase: new Map(),
    boots: { old: 0, new: 0 },
    ends: { confirmed: 0, unhealthy: 0, bootLimit: 0 },
    violations: [],
  };
  let seed = options.seed;
  const runRobot = async (_: unknown, at: number): Promise<void> => {
    const victim = new Victim(site, `r${at + 1}`, result, options);
    await victim.install();
    while (result.kills < options.kills && result.violations.length === 0) {
      await victim.update(seed++);
    }
    await victim.stop();
  };
  await Promise.all(Array.from({ length: options.robots }, runRobot));
  return result;
}

/** One robot that is updated and killed. */
class Victim {
  readonly #site: KillSite;
  readonly #robot: string;
  readonly #root: string;
  readonly #result: CampaignResult;
  readonly #options: CampaignOptions;
  #agent: Child;
  #runs: AppVersion | null = null;
  #restarted = false;
  /** The duration of the last update without a kill: random instants are fractions of it. */
  #updateMs = 0;
  #startMs = 0;

  constructor(site: KillSite, robot: string, result: CampaignResult, options: CampaignOptions) {
    this.#site = site;
    this.#robot = robot;
    this.#root = site.rootOf(robot);
    this.#result = result;
    this.#options = options;
    this.#agent = site.startAgent(robot);
  }

  /** The first version, and a second one to see how long an update takes. Nothing is killed. */
  async install(): Promise<void> {
    const startedAt = performance.now();
    for (const what of ['first', 'second']) {
      const app = await this.#site.prepare(true);
      const announcedAt = performance.now();
      await this.#site.announce(this.#robot, app);
      const version = await this.#end({ from: this.#runs, to: app });
      if (version !== app.version) throw new Error(`the ${what} install ended on ${version}`);
      this.#runs = app;
      this.#updateMs = performance.now() - announcedAt;
      if (what === 'first') this.#startMs = performance.now() - startedAt;
    }
    this.#startMs = Math.max(0, this.#startMs - this.#updateMs);
  }

  async stop(): Promise<void> {
    await this.#agent.stop();
  }

  async update(seed: number): Promise<void> {
    const plan = planUpdate(seed);
    const to = await this.#site.prepare(plan.isHealthy);
    const update = { from: this.#runs, to };
    this.#restarted = false;
    await this.#site.announce(this.#robot, to);
    try {
      for (const kill of plan.kills) await this.#kill(kill, update, seed);
      const version = await this.#end(update);
      await this.#judgeEnd(update, version, plan.isHealthy, seed);
    } catch (error) {
      this.#complain([String(error)], seed);
    }
    this.#result.updates += 1;
  }

  async #kill(kill: Kill, update: Update, seed: number): Promise<void> {
    const { killsByPhase, boots } = this.#result;
    await this.#moment(kill.moment, update);
    if ((await this.#ended(update)) !== null) return; // too late: a kill at rest shows little
    this.#agent.kill('SIGKILL');
    const { signal } = await this.#agent.exit;
    if (signal !== 'SIGKILL') throw new Error(`ended by itself: ${this.#agent.describe()}`);
    const seen = await checkBoot(this.#root, update);
    this.#complain(seen.violations, seed);
    const { phase } = seen.state;
    killsByPhase.set(phase, (killsByPhase.get(phase) ?? 0) + 1);
    boots[seen.version === update.to.version ? 'new' : 'old'] += 1;
    this.#result.kills += 1;
    this.#options.onKill?.(this.#result.kills);
    if (kill.isBoot) await this.#recover(seen, update, seed);
    this.#agent = this.#site.startAgent(this.#robot);
    this.#restarted = true;
  }

  /** Waits for the moment, at most until the update is over. */
  async #moment(moment: KillMoment, update: Update): Promise<void> {
    if (moment.kind === 'instant') {
      const spanMs = this.#updateMs + (this.#restarted ? this.#startMs : 0);
      return await sleep(moment.fraction * spanMs);
    }
    const deadline = performance.now() + END_TIMEOUT_MS;
    while (!(await isInPhase(this.#root, moment.phase, update.to.version))) {
      if ((await this.#ended(update)) !== null || performance.now() > deadline) return;
      await sleep(POLL_MS);
    }
    await sleep(moment.delayMs);
  }

  async #recover(before: BootCheck, update: Update, seed: number): Promise<void> {
    const recover = this.#site.startRecover(this.#robot);
    const { code } = await recover.exit;
    this.#result.recoveries += 1;
    if (code !== 0) return this.#complain([`recover failed: ${recover.describe()}`], seed);
    const after = await checkBoot(this.#root, update);
    this.#complain(after.violations, seed);
    const { components } = JSON.parse(recover.stdout) as { components: { version: string }[] };
    const said = components[0]?.version;
    if (said !== after.version) {
      this.#complain([`recover says ${said} boots, the link says ${after.version}`], seed);
    }
    const want = {
      swapping: update.to.version,
      rolling_back: update.from?.version ?? null,
    }[String(before.state.phase)];
    if (want !== undefined && want !== after.version) {
      const { phase } = before.state;
      this.#complain([`recover from ${phase} leaves ${after.version}, want ${want}`], seed);
    }
  }

  /** The version on which the update ended; null while it goes on. */
  async #ended({ to }: Update): Promise<string | null> {
    if (!(await isIdle(this.#root))) return null;
    const version = await readActive(this.#root);
    if (version === to.version) return version;
    const { phase, blocked } = await readStateFile(this.#root);
    return phase === 'idle' && blocked.some((one) => one.version === to.version) ? version : null;
  }

  async #end(update: Update): Promise<string> {
    const what = `${this.#robot} to end its update to ${update.to.version}`;
    return await waitUntil(what, () => this.#ended(update), {
      timeoutMs: END_TIMEOUT_MS,
      look: () => this.#agent.describe(),
    });
  }

  async #judgeEnd(
    update: Update,
    version: string,
    isHealthy: boolean,
    seed: number,
  ): Promise<void> {
    const { ends } = this.#result;
    const { violations, state } = await checkBoot(this.#root, update);
    this.#complain(violations, seed);
    const isNew = version === update.to.version;
    const why = state.blocked.find((one) => one.version === update.to.version)?.code;
    if (isNew) {
      this.#runs = update.to;
      ends.confirmed += 1;
      if (!isHealthy) this.#complain([`the unhealthy ${version} was confirmed`], seed);
    } else if (why === 'BOOT_LIMIT_REACHED' || why === 'START_LIMIT_REACHED') {
      ends.bootLimit += 1;
    } else {
      ends.unhealthy += 1;
      if (isHealthy) this.#complain([`${update.to.version} was rolled back: ${why}`], seed);
    }
  }

  #complain(violations: readonly string[], seed: number): void {
    const again = `npm run bench -- kills 1 --seed ${seed}`;
    for (const one of violations) this.#result.violations.push(`${one}\n  again: ${again}`);
  }
}
