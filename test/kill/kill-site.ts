/**
 * The site of a campaign of kills: one real broker, a publisher that stores chunks and signs
 * announcements with the product's own core, and robots as real processes. Versions only go up; the
 * announcement lists the newest rollout of every robot, as a fleet with several rollouts has it.
 */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RolloutFields } from '../../shared/formats/announcement.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { chunkTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { startBrokerChild, type BrokerChild } from '../e2e/broker-child.ts';
import { startChild, startDrover, type Child } from '../helpers/child.ts';
import { makeFleet, type SignedBundle } from '../helpers/fleet.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AppMaker, HEALTH_FILE, type AppOptions, type AppVersion } from './versions.ts';

/** 2 MiB in 200 files: an update takes some hundred milliseconds, most of it in `staging`. */
const APP = { fileCount: 200, fileBytes: 10_000, chunkBytes: 128 * 1024 };
const HEALTH_TIMEOUT_S = 30;
/** Hooks take long enough for a kill to find them at work; 70 is "will not get better". */
const HOOKS: Readonly<Record<string, string>> = {
  ready: 'exit 0',
  stop: 'sleep 0.02',
  start: 'sleep 0.02',
  health: `sleep 0.02; [ "$(cat "$DROVER_ACTIVE_DIR/${HEALTH_FILE}")" = good ] || exit 70`,
  'rolled-back': 'sleep 0.02',
};

export const EVERY_ROBOT = 'all';

export interface AgentPlace {
  readonly root?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly args?: readonly string[];
}

interface SiteParts {
  readonly broker: BrokerChild;
  readonly wire: MqttWire;
  /** Of the publisher. */
  readonly link: { readonly isUp: boolean };
  readonly app: AppOptions;
}

export class KillSite {
  readonly #scope: Scope;
  readonly #fleet = makeFleet();
  readonly #apps: AppMaker;
  readonly #rollouts = new Map<string, RolloutFields>();
  readonly #stored = new Set<string>();
  readonly #wire: MqttWire;
  readonly #url: string;
  readonly #link: SiteParts['link'];
  #broker: BrokerChild;
  readonly #folder: string;
  #seq = 0;
  #versions = 0;
  #announcing: Promise<void> = Promise.resolve();

  private constructor(scope: Scope, folder: string, { broker, wire, link, app }: SiteParts) {
    this.#apps = new AppMaker(this.#fleet, app);
    this.#scope = scope;
    this.#folder = folder;
    this.#url = broker.url;
    this.#broker = broker;
    this.#link = link;
    this.#wire = wire;
  }

  static async open(scope: Scope, app: AppOptions = APP): Promise<KillSite> {
    const folder = await tempFolder(scope);
    const trust = join(folder, 'trust.json');
    await writeFile(trust, makeFleet().trustBytes);
    const hooks = join(folder, 'hooks');
    await mkdir(hooks);
    for (const [name, script] of Object.entries(HOOKS)) {
      await writeFile(join(hooks, name), `#!/bin/sh\n${script}\n`);
      await chmod(join(hooks, name), 0o755);
    }
    const broker = await startBrokerChild(scope, { args: ['--trust', trust] });
    const { url } = broker;
    const link = { isUp: false };
    const handlers = {
      onMessage: () => {},
      onUp: () => void (link.isUp = true),
      onDown: () => void (link.isUp = false),
    };
    const log = makeLog('test', 'silent');
    const wire = await connectWire({ url, clientId: 'campaign-publisher' }, handlers, log);
    scope.after(() => wire.close());
    return new KillSite(scope, folder, { broker, wire, link, app });
  }

  /** SIGKILL; `restartBroker` brings it back on its port and its folder. */
  killBroker(): void {
    this.#broker.child.kill('SIGKILL');
  }

  async restartBroker(): Promise<void> {
    const { data, port, child } = this.#broker;
    await child.exit;
    const args = ['--trust', join(this.#folder, 'trust.json')];
    this.#broker = await startBrokerChild(this.#scope, { data, port, args });
    await waitUntil('the publisher to have its link again', () => this.#link.isUp);
  }

  /** The code of the last error that the fleet registry has of a robot; null for none. */
  async codeOf(robot: string): Promise<string | null> {
    const answer = await fetch(`${this.#broker.httpUrl}/robots/${robot}`);
    if (!answer.ok) return null;
    const found = /"last_error":\{[^}]*?"code":"([A-Z_]+)"/.exec(await answer.text());
    return found?.[1] ?? null;
  }

  rootOf(robot: string): string {
    return join(this.#folder, robot);
  }

  /** @param more.root for a robot whose root is elsewhere; `env` is added to that of this process */
  startAgent(robot: string, more: AgentPlace = {}): Child {
    const link = ['--broker', this.#url, '--trust', join(this.#folder, 'trust.json')];
    const args = ['--id', robot, ...this.#places(robot, more), ...link, ...(more.args ?? [])];
    const env = { DROVER_LOG: 'warn', ...more.env };
    return startDrover(this.#scope, 'robot-client', args, { env });
  }

  /** Starts `recover`, which a booting robot runs before the application. */
  startRecover(robot: string, more: AgentPlace = {}): Child {
    const args = ['recover', ...this.#places(robot, more), '--json', ...(more.args ?? [])];
    return startDrover(this.#scope, 'robot-client', args);
  }

  #places(robot: string, { root = this.rootOf(robot) }: AgentPlace): string[] {
    return ['--root', root, '--hooks', join(this.#folder, 'hooks')];
  }

  /** The next version, its chunks at the broker, not yet announced. */
  async prepare(isHealthy: boolean, deltaFrom?: AppVersion): Promise<AppVersion> {
    this.#versions += 1;
    const app = await this.#apps.make(`1.${this.#versions}.0`, isHealthy, deltaFrom);
    await this.#store(app.bundle.chunks);
    if (app.delta) await this.#store(app.delta.chunks);
    return app;
  }

  /** A tree as somebody else left it on a robot, at `folder`; never announced. */
  async placeByHand(folder: string, version: string): Promise<AppVersion> {
    const app = await this.#apps.make(version, true);
    await mkdir(folder, { recursive: true });
    const tar = startChild(this.#scope, 'tar', ['-xzp', '--no-same-owner', '-C', folder], {
      input: app.bundle.payload,
    });
    if ((await tar.exit).code !== 0) throw new Error(tar.describe());
    return app;
  }

  async #store(chunks: SignedBundle['chunks']): Promise<void> {
    for (const [hash, bytes] of chunks) {
      if (this.#stored.has(hash)) continue;
      await this.#wire.send(chunkTopic(hash), bytes, { retain: true, qos: 1 });
      this.#stored.add(hash);
    }
  }

  /**
   * Resolves when the broker has acknowledged the announcement.
   *
   * @param robot `EVERY_ROBOT` for a rollout without a target
   */
  async announce(robot: string, app: AppVersion): Promise<void> {
    const id = `${robot}-${app.version.replaceAll('.', '-')}`;
    const isForAll = robot === EVERY_ROBOT;
    const more = {
      ...(isForAll ? {} : { target: { tags: [], robots: [parseRobotId(robot)] } }),
      artifacts: [app.bundle.artifact, ...(app.delta ? [app.delta.artifact] : [])],
      health_timeout_s: HEALTH_TIMEOUT_S,
    };
    this.#rollouts.set(robot, this.#fleet.makeRollout(id, app.bundle, more));
    const sent = this.#announcing.then(() => {
      this.#seq += 1;
      const bytes = this.#fleet.announce(this.#seq, [...this.#rollouts.values()]);
      return this.#wire.send(UPDATES_TOPIC, bytes, { retain: true, qos: 1 });
    });
    this.#announcing = sent.catch(() => undefined); // the next one has its own caller to tell
    await sent;
  }
}
