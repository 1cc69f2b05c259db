/**
 * A controller with real stores and signatures and a fleet of simple robots, without sockets. Time
 * stands still until the test moves it, and the controller receives its own messages, as over MQTT.
 */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Controller } from '../../broker/rollout/controller.ts';
import type { ControllerTimes } from '../../broker/rollout/controller-options.ts';
import { Fleet } from '../../broker/control/fleet.ts';
import type { AuditEntry } from '../../broker/rollout/rollout-view.ts';
import { describeRollouts, type RolloutView } from '../../broker/rollout/views.ts';
import { LevelRolloutStore, type RolloutStore } from '../../broker/rollout/store.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import { openAnnouncement, type RolloutFields } from '../../shared/formats/announcement.ts';
import { parseRobotState, type RobotStateFields } from '../../shared/formats/messages.ts';
import { parseTopic } from '../../shared/formats/topics.ts';
import { makeFleet, type TestFleet } from '../helpers/fleet.ts';
import { seedSigner } from '../../shared/crypto/ed25519.ts';
import { classesInFull } from './classes-in-full.ts';

export const TIMES: ControllerTimes = {
  intervalMs: 1_000,
  startMs: 0,
  leaseMs: 15_000,
  settleMs: 1_000,
};

/** Retained messages as MQTT would keep them, and the controllers that get new ones. */
export class Carrier {
  readonly retained = new Map<string, Uint8Array>();
  readonly #listeners = new Set<Controller>();

  publish(topic: string, payload: Uint8Array): Promise<void> {
    this.retained.set(topic, payload);
    const parsed = parseTopic(topic);
    if (parsed) for (const one of this.#listeners) one.hear(parsed, payload);
    return Promise.resolve();
  }

  join(controller: Controller): void {
    this.#listeners.add(controller);
    for (const [topic, payload] of this.retained) {
      const parsed = parseTopic(topic);
      if (parsed) controller.hear(parsed, payload);
    }
  }

  leave(controller: Controller): void {
    this.#listeners.delete(controller);
  }
}

export class ControllerWorld {
  readonly fleet: TestFleet = makeFleet();
  readonly robots = new Fleet();
  readonly carrier = new Carrier();
  readonly called: AuditEntry[] = [];
  nowMs = Date.parse('2026-06-01T00:00:00Z');
  /** Milliseconds by which the wall clock of controllers is ahead of the time that passes. */
  clockAheadMs = 0;
  #seq = 0;

  async announce(...rollouts: RolloutFields[]): Promise<void> {
    this.#seq += 1;
    await this.carrier.publish('fleet/updates', this.fleet.announce(this.#seq, rollouts));
  }

  async rollout(
    id: string,
    version: string,
    more: Partial<RolloutFields> = {},
  ): Promise<RolloutFields> {
    const bundle = await this.fleet.makeBundle({ version });
    return this.fleet.makeRollout(id, bundle, {
      waves: [
        { percent: 10, soak_s: 10 },
        { percent: 100, soak_s: 10 },
      ],
      ...more,
    });
  }

  /** Sends the report of a robot; its component `app` is given in part, others in `more`. */
  say(
    robot: string,
    component: Partial<RobotStateFields['components'][number]>,
    more: Partial<RobotStateFields> = {},
  ): void {
    const state: RobotStateFields = {
      robot_id: robot,
      at: new Date(this.nowMs).toISOString(),
      arch: 'x86_64',
      counter_epoch: 'e1',
      ...more,
      components: [
        { name: 'app', version: '1.0.0', phase: 'idle', ...component },
        ...(more.components ?? []),
      ],
    };
    this.robots.applyState(parseRobotState(Buffer.from(JSON.stringify(state))), this.nowMs);
  }

  online(robot: string, isOn = true): void {
    this.robots.applyOnline(robot as RobotId, isOn, this.nowMs);
  }

  /** A robot that has taken a rollout, with what its application did since. */
  installed(
    robot: string,
    rollout: string,
    version: string,
    ...[did = {}, tags = []]: [did?: Usage, tags?: string[]]
  ): void {
    const ended = { started_at: this.#instant(), ended_at: this.#instant(), took_s: 1, bytes: 1 };
    this.say(
      robot,
      {
        version,
        previous_version: '1.0.0',
        last_update: { rollout, version, outcome: 'installed', ...ended },
        usage: [{ stint: 2, version, rollout, run_s: 60, ...did }],
      },
      { tags },
    );
  }

  failed(robot: string, rollout: string, version: string, tags: string[] = []): void {
    const ended = { started_at: this.#instant(), ended_at: this.#instant(), took_s: 1, bytes: 1 };
    const failure = { rollout, version, outcome: 'rolled_back', code: 'HEALTH_FAILED' } as const;
    this.say(robot, { last_update: { ...failure, ...ended }, blocked: [version] }, { tags });
  }

  progress(rollout: string): Progress | null {
    const bytes = this.carrier.retained.get(`fleet/rollouts/${rollout}`);
    return bytes ? openProgress(bytes, this.fleet.trust) : null;
  }

  /** The rollouts that the API of a broker on this carrier lists. */
  views(): RolloutView[] {
    const bytes = this.carrier.retained.get('fleet/updates');
    return describeRollouts({
      announcement: bytes ? openAnnouncement(bytes, this.fleet.trust) : null,
      progress: new Map(),
      classes: classesInFull(this.robots),
      verified: true,
    });
  }

  async start(
    store: RolloutStore,
    more: { isAlone?: boolean; startMs?: number } = {},
  ): Promise<Controller> {
    const controller = await Controller.open({
      self: `controller-${randomBytes(4).toString('hex')}`,
      trust: this.fleet.trust,
      signers: [seedSigner(this.fleet.seeds.rollout)],
      fleet: this.robots,
      store,
      isAlone: more.isAlone ?? true,
      times: { ...TIMES, startMs: more.startMs ?? TIMES.startMs },
      notify: (entry) => {
        this.called.push(entry);
        return Promise.resolve();
      },
      log: makeLog('test', 'silent'),
      // Each pass of each test is made twice: a difference fails the tick, and so the test.
      onDifference: (text) => {
        throw new TypeError(`the index differs: ${text}`);
      },
      now: () => this.nowMs + this.clockAheadMs,
      // As of a process: with fractions of a millisecond.
      mono: () => this.nowMs + Math.abs(Math.sin(this.nowMs)),
      publish: (topic, payload) => this.carrier.publish(topic, payload),
    });
    this.carrier.join(controller);
    return controller;
  }

  /** Moves time on, one look after another. */
  async pass(controller: Controller | readonly Controller[], seconds: number): Promise<void> {
    const all = Array.isArray(controller) ? controller : [controller];
    for (let s = 0; s < seconds; s += 1) {
      this.nowMs += 1_000;
      for (const one of all as Controller[]) await one.tick();
    }
  }

  #instant(): string {
    return new Date(this.nowMs).toISOString();
  }
}

type Usage = Partial<NonNullable<RobotStateFields['components'][number]['usage']>[number]>;

export async function openStore(folder: string): Promise<LevelRolloutStore> {
  return await LevelRolloutStore.open(join(folder, 'rollouts'), makeLog('test', 'silent'));
}
