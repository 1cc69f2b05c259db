/**
 * The robot's agent: one link, one memory of accepted documents, any number of components. It takes
 * orders of the fleet (orders.ts) and reports to it.
 */

import { inBackground } from '../shared/base/in-background.ts';
import { DroverError, toProblem, type Problem } from '../shared/base/errors.ts';
import type { EpochMs } from '../shared/base/ids.ts';
import { LIMITS } from '../shared/base/limits.ts';
import type { Log, Wire } from '../shared/base/ports.ts';
import { encodeMessage, type RobotEventFields } from '../shared/formats/messages.ts';
import { robotClientId } from '../shared/formats/client-ids.ts';
import { orderFilters, robotTopic } from '../shared/formats/topics.ts';
import { LiveTrust } from '../shared/formats/trust-chain.ts';
import { isTrustEnding } from '../shared/rules/trust-life.ts';
import { PRODUCT_VERSION } from '../shared/io/cli.ts';
import { openMqttWire } from '../shared/io/mqtt-wire.ts';
import { subscribeGently } from '../shared/io/wait-up.ts';
import { settingsOf, type AgentOptions } from './agent-options.ts';
import { ComponentSet } from './component-set.ts';
import { Component } from './component.ts';
import { ChunkLink } from './fleet/chunk-link.ts';
import type { HealthWatch } from './fleet/health-watch.ts';
import { Inbox } from './fleet/inbox.ts';
import { MachineReport } from './fleet/machine-report.ts';
import { Memory } from './fleet/memory.ts';
import { OwnerWatch } from './fleet/owner-watch.ts';
import { Outbox, OUTBOX } from './fleet/outbox.ts';
import { ProgressTopics } from './fleet/progress-topics.ts';
import { iso, type ComponentView } from './fleet/report.ts';
import { Reporter, isWatched, Telemetry } from './fleet/reporter.ts';
import { StateCopies } from './fleet/state-copies.ts';
import { TrustFile } from './fleet/trust-store.ts';
import { TwinWatch } from './fleet/twin-watch.ts';
import { Wants } from './fleet/wants.ts';
import { makeHealthWatch } from './fleet/watch.ts';
import { setCleanMark } from './install/marks.ts';
import { layoutOf } from './install/layout.ts';
import { explainRobot, showTrust } from './local/explain.ts';
import type { ClosedDoor } from './local/ready-word.ts';
import { LogDesk, LOG_RULES } from './logs/log-desk.ts';
import { NO_MODULES } from './modules/module-folder.ts';
import { Unheard } from './fleet/unheard.ts';
import { Orders } from './orders.ts';
import { SetBoard } from './update/set-board.ts';
import { SwapClaims } from './update/swap-claims.ts';

const OFFLINE = encodeMessage({ online: false });

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #components: ComponentSet;
  readonly #swapClaims = new SwapClaims();
  readonly #sets: SetBoard;
  readonly #machine: MachineReport;
  readonly #chunks: ChunkLink;
  readonly #trust: LiveTrust;
  readonly #trustFile: TrustFile;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #reporter: Reporter;
  readonly telemetry: Telemetry;
  readonly #watch: HealthWatch;
  readonly #orders: Orders;
  readonly #unheard = new Unheard();
  readonly #progressTopics: ProgressTopics;
  readonly #owners: OwnerWatch;
  readonly #twins: TwinWatch;
  readonly #memory: Memory;
  readonly #logs: LogDesk;
  #wire: Wire | null = null;
  readonly #wants: Wants;
  /** When `online` was sent last; infinity once the robot has reported that it goes offline. */
  #saidOnlineMs = Number.NEGATIVE_INFINITY;

  constructor(options: AgentOptions) {
    this.#options = options;
    [this.#log, this.#sets] = [options.log, new SetBoard(options.computers)];
    this.#machine = new MachineReport(options);
    const soon = (): void => this.#reporter.soon(true);
    this.#owners = new OwnerWatch({ ...options, onChange: soon });
    this.#twins = new TwinWatch(options.log, () => this.#wire?.endings ?? 0);
    const [first] = options.roots;
    if (!first) throw new TypeError('Agent: no component');
    const { state } = layoutOf(first.root);
    this.#trust = new LiveTrust(options.trust);
    const copies = new StateCopies(options);
    this.#trustFile = new TrustFile(options.disk, `${state}/trust.json`, this.#trust, copies);
    this.#inbox = new Inbox(options.disk, `${state}/seen.json`, this.#trust, copies);
    this.#outbox = new Outbox(options.disk, `${state}/${OUTBOX}`, options.log);
    this.#reporter = new Reporter({
      ...{ disk: options.disk, log: options.log, usagePath: `${state}/usage.json` },
      heartbeatMs: options.reportHeartbeatMs ?? LIMITS.reportHeartbeatMs,
      intervalMs: options.reportIntervalMs ?? LIMITS.reportIntervalMs,
      ...{ now: () => this.#now(), facts: () => this.#facts(), views: () => this.#views },
      elsewhere: options.computers,
      ...{ canSend: () => this.#wire?.isUp === true, isWatched: () => this.#isWatched },
      onHeartbeat: () => this.#onHeartbeat(),
      send: (state) => this.#report(state),
    });
    const [trust, trustFile, inbox] = [this.#trust, this.#trustFile, this.#inbox];
    const files = [this.#outbox, this.#reporter];
    this.#memory = new Memory({ ...options, root: first.root, trust, trustFile, inbox, files });
    const names = options.roots.map(({ component }) => component);
    this.telemetry = new Telemetry(names, this.#reporter);
    this.#logs = new LogDesk({
      ...{ ...options, rules: options.logs ?? LOG_RULES, now: () => this.#now() },
      ...{ wire: () => this.#wire, onKept: soon },
    });
    this.#wants = new Wants(options, () => this.#wire);
    this.#chunks = new ChunkLink(options.robot, () => this.#wire, options.log);
    const all = options.roots.map((one) => this.#makeComponent(one));
    this.#components = new ComponentSet(all, options.log);
    this.#progressTopics = new ProgressTopics({
      subscribe: (filters) => this.#link().subscribe(filters, 0), // live ones come by the wildcard
      unsubscribe: (filters) => this.#link().unsubscribe(filters),
      onAnswered: () => void this.#orders.consider(),
      log: options.log,
    });
    this.#orders = new Orders({
      ...{ components: this.#components, inbox, memory: this.#memory, trust, trustFile },
      ...{ log: options.log, now: () => this.#now() },
      ...{ unheard: this.#unheard, isTwin: () => this.#twins.endings > 0 },
      ...{ progressTopics: this.#progressTopics, lookMs: options.ordersLookMs },
      isWatched: () => this.#isWatched,
      ...{ onUnheard: soon, onTrust: soon, askAgain: () => this.#askAgain() },
    });
    this.#attachComputers();
    this.#watch = makeHealthWatch(options, { components: all, reporter: this.#reporter });
  }

  #attachComputers(): void {
    this.#options.computers?.attach({
      ...{ board: this.#sets, pulls: this.#chunks, heard: () => this.#orders.heard },
      ...{ tell: (event) => this.#tell(event), want: (wanted) => this.#wants.send(wanted) },
      askOrders: (nextTrust) => this.#link().subscribe(orderFilters(nextTrust), 1),
      ...{ onNews: () => this.#reporter.soon(true), onViews: () => void this.#orders.consider() },
    });
  }

  /** People and disks may have changed the slots or the modules. */
  #onHeartbeat(): void {
    inBackground(this.#log, 'look at the slots', this.#components.refresh());
    this.#memory.settle().catch(this.#untold('floors'));
    inBackground(this.#log, 'look at the modules', this.refreshModules());
    inBackground(this.#log, 'look at the owners', this.#owners.look());
  }

  /** Also when a person asks for another try: the module may have been put there meanwhile. */
  async refreshModules(): Promise<void> {
    const { modules = NO_MODULES } = this.#options;
    const before = modules.names.join();
    await modules.look();
    if (modules.names.join() !== before) this.#reporter.soon(true);
  }

  /** Continues from the state on the disk, then connects. Resolves before the link is up. */
  async open(): Promise<void> {
    const unknown = await this.#memory.open();
    await this.#machine.open();
    const isLinkUp = (): boolean => this.#wire?.isUp === true;
    this.#options.self?.join({ isLinkUp, ...this.#components.self });
    await this.#components.open();
    await this.#options.computers?.open();
    this.#options.self?.start();
    await this.#owners.look();
    if (unknown) await this.#components.refuse(unknown, { stays: true });
    await this.#orders.tellDamages();
    this.#reporter.start();
    this.#watch.start();
    this.#orders.start();
    const { robot, link, openWire = openMqttWire } = this.#options;
    this.#wire = openWire(
      {
        ...{ ...link, clientId: robotClientId(robot) },
        will: { topic: robotTopic(robot, 'online'), payload: OFFLINE, retain: true },
      },
      {
        onMessage: async (topic, payload) => {
          if (this.#logs.take(topic, payload)) return;
          this.#options.computers?.carry(topic, payload);
          if (!(await this.#orders.take(topic, payload))) await this.#chunks.deliver(payload);
        },
        ...{ onUp: () => void this.#onUp(), onFailed: (one) => this.#twins.failed(one) },
        onDown: (reason) => {
          this.#twins.down(reason);
          this.#chunks.down();
        },
      },
      this.#log,
    );
  }

  /**
   * Takes leave, so that no will is published.
   * @returns false when something still writes under a root: its lock has to stay
   */
  async close(): Promise<boolean> {
    this.#saidOnlineMs = Number.POSITIVE_INFINITY;
    this.#watch.close();
    this.#logs.close();
    this.#orders.close();
    await this.#options.computers?.close();
    const ended = await this.#components.close();
    await this.#tolerate('usage', this.#reporter.close());
    await this.#tolerate('count of starts', this.#options.self?.close());
    for (const { component, root } of this.#options.roots) {
      if (!ended.has(component)) continue;
      await this.#tolerate('clean', setCleanMark(this.#options.disk, layoutOf(root)));
    }
    if (this.#wire?.isUp) {
      await this.#tolerate('goodbye', this.#sendRetained('online', OFFLINE));
    }
    await this.#wire?.close();
    return ended.size === this.#options.roots.length;
  }

  /**
   * Nothing is swapped while the application cannot reach the socket. Null when the usual socket is
   * open.
   */
  hold(door: ClosedDoor | null): void {
    inBackground(this.#log, 'hold the components', this.#components.hold(door));
  }

  /** Connects again, as with a renewed certificate. */
  reconnect(why: DroverError): void {
    this.#wire?.renew?.(why);
  }

  get components(): ComponentSet {
    return this.#components;
  }

  /** As reports show them. */
  get #views(): ComponentView[] {
    const [computers = null] = this.#options.computers?.problems ?? [];
    const all = this.#components.views.map((view) => ({ ...view, computers }));
    return this.#unheard.over(this.#owners.over(all), this.#inbox.announcement);
  }

  get #isWatched(): boolean {
    return isWatched(this.#inbox, this.#components.views, this.#now());
  }

  /** GET /status of the local API. */
  status(): object {
    const { announcement } = this.#inbox;
    return {
      ...this.#reporter.state(),
      trust: showTrust(this.#trust, this.#now()),
      link: {
        ...{ up: this.#wire?.isUp ?? false, broker: this.#options.link.url },
        problem: this.#linkProblem,
        certificate: this.#options.certificate?.() ?? null,
      },
      announcement: announcement && {
        ...{ seq: announcement.seq, expires_at: iso(announcement.expires_at) },
      },
      events_waiting: this.#outbox.waiting,
      warnings: this.#owners.warned,
    };
  }

  explain(): string[] {
    const { robot, link } = this.#options;
    const facts = {
      ...{ robot, broker: link.url },
      isUp: this.#wire?.isUp === true,
      linkProblem: this.#linkProblem,
      announcementSeq: this.#inbox.announcement?.seq ?? null,
      eventsWaiting: this.#outbox.waiting,
      ...{ endings: this.#twins.endings, trust: this.#trust },
      logPolicy: this.#options.logPolicy ?? null,
      warned: this.#owners.warned,
      certificate: this.#options.certificate?.() ?? null,
    };
    const elsewhere = this.#options.computers?.explain() ?? [];
    return [...explainRobot(facts, this.#views, this.#now()), ...elsewhere];
  }

  /** Why there is no link; null when there is one. */
  get #linkProblem(): Problem | null {
    const { isUp = false, lastError = null } = this.#wire ?? {};
    return isUp || lastError === null ? null : toProblem(lastError);
  }

  #now(): EpochMs {
    return (this.#options.now ?? Date.now)();
  }

  #link(): Wire {
    if (!this.#wire) throw new DroverError('BROKER_UNREACHABLE', 'reach broker: not connected yet');
    return this.#wire;
  }

  #makeComponent({ component, root }: AgentOptions['roots'][number]): Component {
    return new Component({
      ...settingsOf(this.#options, { component, root }),
      ...{ link: this.#chunks, trust: this.#trust, image: this.#machine.image },
      ...{ claim: this.#swapClaims.of(component), sets: this.#sets },
      assertOwn: () => this.#owners.assertOwn(component),
      ...this.#logs.join(component, layoutOf(root)),
      now: () => this.#now(),
      onChange: (urgent) => {
        if (urgent) this.#watch.stepAside();
        this.#reporter.soon(urgent);
      },
      onIdle: () => void this.#orders.consider(),
      tell: (event) => this.#tell(event),
      wantPackage: (wanted, version) =>
        this.#wants.ask({ component, wanted, version }, this.#now()),
    });
  }

  async #tell(event: Omit<RobotEventFields, 'event_seq'>): Promise<void> {
    await this.#outbox.add(event);
    inBackground(this.#log, 'send events', this.#flush());
  }

  async #onUp(): Promise<void> {
    this.#twins.up(this.#options.link.url);
    try {
      await this.#listen();
      await this.#sayOnline();
    } catch (error) {
      // A lost link is followed by another `onUp`. A cluster that has just lost a node refuses for a
      // while; other refusals wait for an operator.
      this.#log.warn({ problem: toProblem(error) }, 'could not subscribe to announcements');
      setTimeout(() => void (this.#wire?.isUp && this.#onUp()), LIMITS.retrySoonMs).unref();
      return;
    }
    this.#chunks.up();
    this.#logs.up();
    this.#wants.forget();
    this.#reporter.soon(true);
    inBackground(this.#log, 'send events', this.#flush());
  }

  /**
   * Subscribes again, so that the broker delivers orders again. Never awaited in a message: it
   * comes behind that.
   */
  #askAgain(): void {
    if (this.#wire?.isUp) this.#listen().catch(this.#untold('subscription'));
  }

  async #listen(): Promise<void> {
    await subscribeGently(this.#link(), orderFilters(this.#trust.version + 1));
    this.#progressTopics.askAgain();
  }

  #facts() {
    const { robot } = this.#options;
    const { version: trustVersion } = this.#trust;
    const { epoch: instance } = this.#outbox;
    const { seq: announcementSeq } = this.#inbox;
    const { endings } = this.#twins;
    const metrics = this.telemetry.totals;
    const trustEndsMs = isTrustEnding(this.#trust, this.#now()) ? this.#trust.expires : null;
    const progressRefused = this.#unheard.fieldsOf(this.#inbox.announcement);
    const seqs = { announcementSeq, progressRefused };
    const told = { trustVersion, trustEndsMs, ...seqs, instance, endings, metrics };
    return { robot, agent: PRODUCT_VERSION, ...this.#machine.value, ...told };
  }

  /** `online` is repeated now and then: another client of an engine may have cleared it. */
  async #report(state: Uint8Array): Promise<void> {
    await this.#sendRetained('state', state);
    this.#options.self?.noteHeard();
    const { reportHeartbeatMs = LIMITS.reportHeartbeatMs } = this.#options;
    const againMs = this.#saidOnlineMs + LIMITS.onlineHeartbeats * reportHeartbeatMs;
    if (performance.now() >= againMs) await this.#sayOnline();
  }

  async #sayOnline(): Promise<void> {
    if (this.#saidOnlineMs < Infinity) this.#saidOnlineMs = performance.now();
    await this.#sendRetained('online', encodeMessage({ online: true }));
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

  /** The next report contains what could not be sent now: an install never waits for it. */
  async #tolerate(what: string, request: Promise<unknown> | undefined): Promise<void> {
    await request?.catch(this.#untold(what));
  }

  readonly #untold = (what: string) => (error: unknown) =>
    this.#log.debug({ what, error: String(error) }, 'not done now');
}
