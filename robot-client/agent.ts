/**
 * The robot's agent: one link, one memory of what was accepted, any number of components. It opens
 * what carriers bring (signatures first), hands it to the components, and tells the fleet.
 */

import { robotClientId } from '../shared/client-id.ts';
import { CATALOGUE, DroverError, toProblem, type Problem } from '../shared/errors.ts';
import type { EpochMs, RobotId } from '../shared/ids.ts';
import { LIMITS } from '../shared/limits.ts';
import { encodeMessage } from '../shared/messages.ts';
import type { Log, Wire } from '../shared/ports.ts';
import { parseTopic, robotTopic, UPDATES_TOPIC } from '../shared/topics.ts';
import type { TrustRoot } from '../shared/trust.ts';
import { openMqttWire, type MqttWireOptions } from '../shared/io/mqtt-wire.ts';
import { Component } from './component.ts';
import { explainRobot } from './core/explain.ts';
import { layoutOf } from './core/layout.ts';
import type { InterlockRules } from './core/interlock.ts';
import type { Disk } from './core/ports.ts';
import { iso, reportWant, type ComponentView } from './core/report.ts';
import { isWatched } from './core/watched.ts';
import { ChunkLink } from './io/chunk-link.ts';
import type { HealthWatch } from './io/health-watch.ts';
import { Outbox } from './io/outbox.ts';
import { ExpiryWatch } from './io/expiry-watch.ts';
import { SecondLook } from './io/second-look.ts';
import { Inbox } from './inbox.ts';
import { Reporter } from './reporter.ts';
import { makeHealthWatch } from './watch.ts';

export const AGENT_VERSION = '0.1.0';

export interface AgentOptions {
  readonly robot: RobotId;
  readonly roots: readonly { readonly component: string; readonly root: string }[];
  readonly trust: TrustRoot;
  readonly arch: string;
  readonly model: string;
  readonly tags: readonly string[];
  readonly hooksFolder: string;
  /** One run of a hook; `hookTimeoutMsDefault` when it is left out. */
  readonly hookTimeoutMs?: number | undefined;
  readonly bytesPerSecondMax: number | null;
  /** When the robot may be taken out of service; at any time when it is left out. */
  readonly interlock?: InterlockRules | undefined;
  readonly bootsMax: number;
  readonly adoptVersion: string;
  /** An idle robot reports this often; `reportHeartbeatMs` of the limits when it is left out. */
  readonly reportHeartbeatMs?: number | undefined;
  /** Progress is reported at most this often; `reportIntervalMs` when it is left out. */
  readonly reportIntervalMs?: number | undefined;
  /** Between two looks at the health of what runs; 0 for none. */
  readonly healthWatchMs?: number | undefined;
  readonly link: Omit<MqttWireOptions, 'clientId' | 'will'>;
  /** Makes the link; one over MQTT when it is left out. */
  readonly openWire?: typeof openMqttWire | undefined;
  readonly disk: Disk;
  /** The wall clock; `Date.now` when it is left out. It may be wrong by years and jump. */
  readonly now?: (() => EpochMs) | undefined;
  readonly log: Log;
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #components: Component[];
  readonly #chunks: ChunkLink;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #reporter: Reporter;
  readonly #watch: HealthWatch;
  readonly #secondLook = new SecondLook((topic, bytes) => this.#onMessage(topic, bytes));
  readonly #expiry = new ExpiryWatch(
    () => this.#now(),
    () => void this.#consider(),
  );
  readonly #stateFolder: string;
  readonly #telemetry = { tasks_completed: 0, tasks_failed: 0, crashes: 0 };
  #wire: Wire | null = null;
  #lastWant = '';
  #closed = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#log = options.log;
    const [first] = options.roots;
    if (!first) throw new TypeError('Agent: no component');
    this.#stateFolder = layoutOf(first.root).state;
    const seenPath = `${this.#stateFolder}/seen.json`;
    this.#inbox = new Inbox(options.disk, seenPath, options.trust);
    this.#outbox = new Outbox(options.disk, `${this.#stateFolder}/outbox.json`, options.log);
    this.#reporter = new Reporter({
      disk: options.disk,
      usagePath: `${this.#stateFolder}/usage.json`,
      log: options.log,
      heartbeatMs: options.reportHeartbeatMs ?? LIMITS.reportHeartbeatMs,
      intervalMs: options.reportIntervalMs ?? LIMITS.reportIntervalMs,
      now: () => this.#now(),
      facts: () => this.#facts(),
      views: () => this.#views(),
      canSend: () => this.#wire?.isUp === true,
      isWatched: () => isWatched(this.#inbox, this.#views(), this.#now()),
      send: (state) => this.#sendRetained('state', state),
    });
    this.#chunks = new ChunkLink(options.robot, () => this.#link(), options.log);
    this.#components = options.roots.map(({ component, root }) =>
      this.#makeComponent(component, root),
    );
    const parts = { components: this.#components, reporter: this.#reporter };
    this.#watch = makeHealthWatch(options, parts);
  }

  /** Goes on where the disk says, then connects. Resolves before the link is up. */
  async open(): Promise<void> {
    await this.#options.disk.mkdir(this.#stateFolder);
    const problem = await this.#inbox.load();
    await this.#outbox.load();
    await this.#reporter.load();
    for (const component of this.#components) await component.open();
    if (problem) await this.#refuseAll(problem);
    this.#reporter.start();
    this.#watch.start();
    const { robot, link } = this.#options;
    this.#wire = (this.#options.openWire ?? openMqttWire)(
      {
        ...link,
        clientId: robotClientId(robot),
        will: {
          topic: robotTopic(robot, 'online'),
          payload: encodeMessage({ online: false }),
          retain: true,
        },
      },
      {
        onMessage: (topic, payload) => this.#onMessage(topic, payload),
        onUp: () => void this.#onUp(),
        onDown: (reason) => {
          this.#log.warn({ reason }, 'link to the broker is down');
          this.#chunks.down();
        },
      },
      this.#log,
    );
  }

  /** Says goodbye, so that the will need not. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.close();
    this.#secondLook.close();
    this.#expiry.close();
    await Promise.all(this.#components.map((component) => component.close()));
    await this.#reporter.close();
    const wire = this.#wire;
    if (!wire) return;
    if (wire.isUp) {
      const offline = encodeMessage({ online: false });
      await this.#tolerate('goodbye', this.#sendRetained('online', offline));
    }
    await wire.close();
  }

  get components(): readonly Component[] {
    return this.#components;
  }

  /** GET /status of the local API. */
  status(): object {
    const { announcement } = this.#inbox;
    return {
      ...this.#reporter.state(),
      link: { up: this.#wire?.isUp ?? false, broker: this.#options.link.url },
      announcement: announcement && {
        seq: announcement.seq,
        expires_at: iso(announcement.expires_at),
      },
      events_waiting: this.#outbox.waiting,
    };
  }

  explain(): string[] {
    const { robot, link } = this.#options;
    const facts = {
      robot,
      broker: link.url,
      isUp: this.#wire?.isUp === true,
      announcementSeq: this.#inbox.announcement?.seq ?? null,
      eventsWaiting: this.#outbox.waiting,
    };
    return explainRobot(facts, this.#views(), this.#now());
  }

  /** @throws DroverError NOT_FOUND for a component that this robot does not have */
  addTelemetry(
    delta: Partial<Record<keyof Agent['telemetry'], number>>,
    component: string = this.#mainComponent(),
  ): void {
    if (!this.#components.some((one) => one.name === component)) {
      throw new DroverError('NOT_FOUND', `count for ${component}: no such component here`);
    }
    for (const key of ['tasks_completed', 'tasks_failed', 'crashes'] as const) {
      this.#telemetry[key] += delta[key] ?? 0;
    }
    this.#reporter.add(component, delta);
  }

  get telemetry(): Readonly<{ tasks_completed: number; tasks_failed: number; crashes: number }> {
    return this.#telemetry;
  }

  #mainComponent(): string {
    const names = this.#components.map((one) => one.name);
    return names.includes('app') ? 'app' : (names[0] ?? 'app');
  }

  #now(): EpochMs {
    return (this.#options.now ?? Date.now)();
  }

  #link(): Wire {
    if (!this.#wire) throw new DroverError('BROKER_UNREACHABLE', 'reach broker: not connected yet');
    return this.#wire;
  }

  #views(): ComponentView[] {
    return this.#components.map((component) => component.view);
  }

  #makeComponent(component: string, root: string): Component {
    const { disk, trust, hooksFolder, hookTimeoutMs, bytesPerSecondMax } = this.#options;
    const { bootsMax, adoptVersion, interlock } = this.#options;
    const { robot, arch, tags } = this.#options;
    return new Component({
      component,
      layout: layoutOf(root),
      disk,
      link: this.#chunks,
      trust,
      hooksFolder,
      hookTimeoutMs,
      bytesPerSecondMax,
      interlock,
      bootsMax,
      adoptVersion,
      facts: { robot, arch, tags },
      log: this.#log,
      now: () => this.#now(),
      onChange: (urgent) => {
        if (urgent) this.#watch.stepAside();
        this.#reporter.soon(urgent);
      },
      onIdle: () => void this.#consider(),
      tell: async (event) => {
        await this.#outbox.add(event);
        void this.#flush();
      },
      wantPackage: (wanted, version) => this.#wantPackage(component, wanted, version),
    });
  }

  async #onUp(): Promise<void> {
    this.#log.info({ broker: this.#options.link.url }, 'link to the broker is up');
    try {
      await this.#link().subscribe([UPDATES_TOPIC, 'fleet/rollouts/+'], 1);
      await this.#sendRetained('online', encodeMessage({ online: true }));
    } catch (error) {
      // A link that went away again is followed by another `onUp`; a refusal is for a person.
      this.#log.warn({ problem: toProblem(error) }, 'could not subscribe to announcements');
      return;
    }
    this.#chunks.up();
    this.#lastWant = '';
    this.#reporter.soon(true);
    void this.#flush();
  }

  async #onMessage(topic: string, payload: Uint8Array): Promise<void> {
    const parsed = parseTopic(topic);
    if (parsed?.kind === 'updates') return this.#onAnnouncement(topic, payload);
    if (parsed?.kind === 'progress') return this.#onProgress(topic, payload);
    return this.#chunks.deliver(payload);
  }

  async #onAnnouncement(topic: string, payload: Uint8Array): Promise<void> {
    this.#secondLook.forget(topic);
    if (payload.byteLength === 0) return; // retained message cleared: nothing new is offered
    try {
      const { seq, expires_at } = await this.#inbox.acceptAnnouncement(payload, this.#now());
      this.#expiry.follow(expires_at);
      this.#log.info({ seq }, 'announcement accepted');
    } catch (thrown) {
      const problem = this.#problemOf(thrown);
      this.#lookAgain(problem, topic, payload);
      return this.#refuseAll(problem);
    }
    await this.#consider();
  }

  async #onProgress(topic: string, payload: Uint8Array): Promise<void> {
    this.#secondLook.forget(topic);
    if (payload.byteLength === 0) return;
    try {
      await this.#inbox.acceptProgress(payload, this.#now());
    } catch (thrown) {
      const problem = this.#problemOf(thrown);
      this.#lookAgain(problem, topic, payload);
      this.#log.warn({ problem }, 'progress refused');
      return;
    }
    await this.#consider();
  }

  /** What is wrong with the robot and not with the document may be right in a while. */
  #lookAgain(problem: Problem, topic: string, payload: Uint8Array): void {
    if (CATALOGUE[problem.code].retry === 'later') this.#secondLook.keep(topic, payload);
  }

  /** A bug of ours in handling a message must not take the agent down: it is told like any other. */
  #problemOf(thrown: unknown): Problem {
    if (!(thrown instanceof DroverError)) {
      this.#log.error({ error: String(thrown) }, 'unexpected failure on a message');
    }
    return toProblem(thrown);
  }

  async #refuseAll(problem: Problem): Promise<void> {
    for (const component of this.#components) await component.refuse(problem);
  }

  async #consider(): Promise<void> {
    if (this.#closed) return;
    try {
      const { progress, completeSince } = this.#inbox;
      // A recall holds without an announcement: it undoes what was announced once.
      await this.#considerAll(null, { progress, completeSince });
      const announcement = this.#inbox.currentAnnouncement(this.#now());
      if (announcement) await this.#considerAll(announcement, { progress, completeSince });
    } catch (thrown) {
      const problem = this.#problemOf(thrown);
      const bytes = this.#inbox.announcementBytes;
      if (bytes) this.#lookAgain(problem, UPDATES_TOPIC, bytes);
      await this.#refuseAll(problem);
    }
  }

  async #considerAll(...heard: Parameters<Component['consider']>): Promise<void> {
    for (const component of this.#components) await component.consider(...heard);
  }

  #wantPackage(
    component: string,
    wanted: { version: string; minCurrentVersion: string },
    version: string | null,
  ): void {
    const { robot, arch } = this.#options;
    const key = `${component} ${wanted.version} ${version}`;
    if (key === this.#lastWant || this.#wire?.isUp !== true) return;
    this.#lastWant = key;
    const facts = { robot, arch, component, version, wanted, now: this.#now() };
    const want = encodeMessage(reportWant(facts));
    const sent = this.#link().send(robotTopic(robot, 'want'), want, { retain: false, qos: 1 });
    void this.#tolerate('want', sent);
  }

  #facts() {
    const { robot, arch, model, tags } = this.#options;
    return { robot, agent: AGENT_VERSION, arch, model, tags, metrics: this.#telemetry };
  }

  #sendRetained(leaf: 'state' | 'online', payload: Uint8Array): Promise<void> {
    const topic = robotTopic(this.#options.robot, leaf);
    return this.#link().send(topic, payload, { retain: true, qos: 1 });
  }

  async #flush(): Promise<void> {
    if (this.#wire?.isUp !== true) return;
    const topic = robotTopic(this.#options.robot, 'events');
    await this.#outbox.flush((event) => this.#link().send(topic, event, { retain: false, qos: 1 }));
  }

  /** What could not be told now is told by the next report: an install never waits for it. */
  async #tolerate(what: string, request: Promise<void>): Promise<void> {
    try {
      await request;
    } catch (error) {
      this.#log.debug({ what, error: String(error) }, 'not sent');
    }
  }
}
