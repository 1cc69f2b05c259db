/**
 * A soak: one real agent through thousands of updates on a real disk with real hooks, under a clock
 * that leaps over the waiting. Every turn is one of the ways in which an update can go; between
 * turns the robot idles for minutes, with heartbeats and health checks.
 */

import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from '../../robot-client/agent.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import type { ComponentView } from '../../robot-client/fleet/report.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Phase } from '../../shared/formats/messages.ts';
import type { ProgressFields } from '../../shared/formats/progress.ts';
import { progressTopic, robotTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { SimulatedClock } from '../helpers/simulated-clock.ts';
import { makeCollector, weighFolder, type Books } from './soak-books.ts';
import { SoakBroker } from './soak-broker.ts';

const fleet = makeFleet();
const ROBOT = parseRobotId('r1');
const START_MS = Date.parse('2026-06-01T00:00:00Z');
const FIRST_VERSION = '1.0.0';
/** Far more than any turn needs: simulated time is free, and the thread pool takes real time. */
const PATIENCE_MS = 24 * 3_600_000;
const IDLE_MS = 120_000;
const HEALTH_TIMEOUT_S = 5;
const HOOKS = ['ready', 'stop', 'start', 'health', 'rolled-back'] as const;
type Hook = (typeof HOOKS)[number];
const BUSY = 75;
const GIVE_UP = 70;

/** Last lines of an agent's log, shown when a turn fails. */
const LOG_LINES_MAX = 40;

class LastLines implements Log {
  readonly lines: string[] = [];

  readonly #add = (facts: object, message: string): void => {
    this.lines.push(`${message} ${JSON.stringify(facts)}`);
    if (this.lines.length > LOG_LINES_MAX) this.lines.shift();
  };

  readonly debug = this.#add;
  readonly info = this.#add;
  readonly warn = this.#add;
  readonly error = this.#add;
}

export class Soak {
  readonly #root: string;
  readonly #log = new LastLines();
  readonly #clock = new SimulatedClock(START_MS);
  readonly #broker = new SoakBroker();
  readonly #collect = makeCollector();
  #agent: Agent;
  #seq = 0;
  #version = FIRST_VERSION;
  #mayRestart = false;

  private constructor(root: string) {
    this.#root = root;
    this.#agent = this.#makeAgent();
  }

  /** @returns the soak and the way to end it */
  static async open(folder: string): Promise<{ soak: Soak; close: () => Promise<void> }> {
    const root = join(folder, 'root');
    for (const one of [`releases/${FIRST_VERSION}`, 'hooks', 'say']) {
      await mkdir(join(root, one), { recursive: true });
    }
    await symlink(`releases/${FIRST_VERSION}`, join(root, 'active'));
    const soak = new Soak(root);
    for (const hook of HOOKS) {
      const path = join(root, 'hooks', hook);
      const script = `#!/bin/sh
read code whose < "$DROVER_ROOT/say/${hook}"
[ "$whose" = new ] && [ "$DROVER_VERSION" != "$DROVER_TARGET_VERSION" ] && exit 0
exit "$code"
`;
      await writeFile(path, script);
      await chmod(path, 0o755);
      await soak.#say(hook, 0);
    }
    const restoreClock = soak.#clock.install();
    await soak.#agent.open();
    const close = async (): Promise<void> => {
      const closed = soak.#agent.close();
      await soak.#clock.settle();
      restoreClock();
      await closed;
    };
    return { soak, close };
  }

  get #view(): ComponentView {
    const [component] = this.#agent.components.all;
    if (!component) throw new TypeError('Soak: no component');
    return component.view;
  }

  #makeAgent(): Agent {
    return new Agent({
      ...{ robot: ROBOT, trust: fleet.trust, arch: 'aarch64', model: 'soak', tags: [] },
      ...{
        bytesPerSecondMax: null,
        bootsMax: 3,
        adoptVersion: '0.0.0',
        disk: realDisk,
        log: this.#log,
      },
      roots: [{ component: 'app', root: this.#root }],
      hooksFolder: join(this.#root, 'hooks'),
      link: { url: 'mqtt://soak' },
      openWire: this.#broker.openWire,
    });
  }

  /** The exit code of a hook from now on; `new` of the version that is being installed only. */
  async #say(hook: Hook, code: number, whose: 'new' | 'any' = 'any'): Promise<void> {
    await writeFile(join(this.#root, 'say', hook), `${code} ${whose}\n`);
  }

  /** Makes, signs and announces the next version, the only one that is announced then. */
  async #announce(): Promise<{ version: string; rollout: string }> {
    this.#broker.forget(progressTopic(rolloutOf(this.#version)));
    this.#seq += 1;
    // Always as long as it will be in the end: a version stands in many files.
    this.#version = `1.0.${100_000 + this.#seq}`;
    const rollout = rolloutOf(this.#version);
    const bundle = await fleet.makeBundle({ version: this.#version });
    this.#broker.keepChunks(bundle.chunks);
    const more = { health_timeout_s: HEALTH_TIMEOUT_S };
    const announced = [fleet.makeRollout(rollout, bundle, more)];
    this.#broker.retain(UPDATES_TOPIC, fleet.announce(this.#seq, announced));
    return { version: this.#version, rollout };
  }

  #progress(rollout: string, fields: Partial<ProgressFields>): void {
    const bytes = fleet.progress({ rollout, seq: 1, ...fields });
    this.#broker.retain(progressTopic(rollout as Parameters<typeof progressTopic>[0]), bytes);
  }

  async #until(what: string, isTrue: (view: ComponentView) => boolean): Promise<void> {
    const describe = (): string => {
      const { state, live, version } = this.#view;
      const view = JSON.stringify({ version, phase: state.phase, job: state.job, live });
      return `announcement ${this.#seq}: ${view}\n${this.#log.lines.join('\n')}`;
    };
    try {
      await this.#clock.until(what, () => isTrue(this.#view), PATIENCE_MS);
    } catch (error) {
      throw new Error(`${String(error)}\n${describe()}`, { cause: error });
    }
  }

  async #runs(version: string): Promise<void> {
    const isThere = ({ state, version: runs }: ComponentView): boolean =>
      state.phase === 'idle' && runs === version && state.lastUpdate !== null;
    await this.#until(`the robot to run ${version}`, isThere);
  }

  async #reaches(phase: Phase): Promise<void> {
    await this.#until(`phase ${phase}`, (view) => view.state.phase === phase);
  }

  /** Announces a version that does not stay, and waits until the old one runs again. */
  async #goesBack(hook: Hook, code: number): Promise<void> {
    const old = this.#view.version ?? '';
    await this.#say(hook, code, 'new');
    const { rollout } = await this.#announce();
    await this.#until('a rollback', ({ state }) => isOver(state.lastUpdate, rollout));
    await this.#say(hook, 0);
    await this.#runs(old);
  }

  async #installs(): Promise<{ version: string; rollout: string }> {
    const next = await this.#announce();
    await this.#runs(next.version);
    return next;
  }

  /** Leaves the robot in the phase in which it asks whether it may be updated. */
  async #waits(): Promise<{ rollout: string }> {
    await this.#say('ready', BUSY);
    const next = await this.#announce();
    await this.#until('a reason to wait', ({ live }) => live.waitingFor !== null);
    await this.#reaches('waiting');
    return next;
  }

  async #restart(): Promise<void> {
    const closed = this.#agent.close();
    await this.#clock.settle();
    await closed;
    this.#agent = this.#makeAgent();
    await this.#agent.open();
  }

  readonly #turns: readonly (() => Promise<void>)[] = [
    async () => {
      const { rollout } = await this.#installs();
      this.#progress(rollout, { status: 'complete', threshold: 1 });
    },
    () => this.#goesBack('health', GIVE_UP),
    () => this.#goesBack('start', 1),
    async () => {
      await this.#waits();
      const { version } = await this.#announce(); // supersedes what it was about to install
      await this.#say('ready', 0);
      await this.#runs(version);
    },
    () => this.#goesBack('health', BUSY),
    async () => {
      const old = this.#view.version ?? '';
      const { rollout } = await this.#installs();
      this.#progress(rollout, { status: 'rolling_back', recall: true });
      await this.#runs(old);
    },
    async () => {
      const { rollout } = await this.#waits();
      this.#progress(rollout, { status: 'halted' });
      await this.#reaches('idle');
      await this.#say('ready', 0);
    },
    async () => {
      await this.#say('start', 1); // the old version does not start again either
      await this.#announce();
      await this.#reaches('stuck');
      await this.#say('start', 0);
      await this.#installs();
    },
    async () => {
      this.#agent.telemetry.add({ tasks_completed: 3, tasks_failed: 1 });
      await this.#waits();
      this.#broker.away(true);
      if (this.#mayRestart) await this.#restart();
      await this.#say('ready', 0);
      // The announcement may be forgotten by now without any error: the update goes on.
      await this.#runs(this.#version);
      this.#broker.away(false);
    },
  ];

  /** Of the simulated clock. */
  get nowMs(): number {
    return this.#clock.nowMs;
  }

  /** Turns in one round of all ways in which an update can go. */
  get round(): number {
    return this.#turns.length;
  }

  /**
   * One update, from its announcement to minutes after its end.
   * @param mayRestart the agent too: what one life of it has leaked is forgotten then
   */
  async turn(number: number, mayRestart: boolean): Promise<void> {
    this.#mayRestart = mayRestart;
    await this.#turns[number % this.#turns.length]?.();
    await this.#clock.pass(IDLE_MS);
  }

  async openBooks(updates: number): Promise<Books> {
    await this.#clock.settle();
    this.#collect();
    this.#collect();
    const { heapUsed, external } = process.memoryUsage();
    const folder = await weighFolder(this.#root);
    return {
      updates,
      heapBytes: heapUsed,
      outsideBytes: external,
      openFiles: (await readdir('/proc/self/fd')).length,
      timers: this.#clock.pending,
      subscriptions: this.#broker.subscriptions,
      files: folder.files,
      diskBytes: folder.bytes,
      stateBytes: (await weighFolder(join(this.#root, 'state'))).bytes,
      reportBytes: this.#broker.retained(robotTopic(ROBOT, 'state'))?.byteLength ?? 0,
      blocked: this.#view.state.blocked.length,
    };
  }
}

const rolloutOf = (version: string): Parameters<typeof progressTopic>[0] =>
  `app-${version.replaceAll('.', '-')}` as Parameters<typeof progressTopic>[0];

const isOver = (last: { rollout: string; outcome: string } | null, rollout: string): boolean =>
  last?.rollout === rollout && last.outcome !== 'installed';
