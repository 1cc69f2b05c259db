/**
 * The side of the leader: it receives the reports of all members, decides about sets over several
 * computers (commit.ts), carries the orders and chunks of the fleet to them, and reports all
 * components as those of one robot.
 */

import { randomBytes } from 'node:crypto';
import { inBackground } from '../../shared/base/in-background.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import {
  parseRobotEvent,
  parseWant,
  type ComponentStateFields,
  type RobotEventFields,
} from '../../shared/formats/messages.ts';
import type { Disk } from '../install/disk-port.ts';
import { decideRecall } from '../update/decide.ts';
import type { CommitDecision } from '../update/joint-set.ts';
import { Changes } from '../update/swap-claims.ts';
import { canGoBack, setOf, stepOf, type MemberView } from '../update/set-verdict.ts';
import { isSameSet, type ComponentFact } from './commit.ts';
import { CarriedOrders } from './carried-orders.ts';
import { CommitBook, type SetFacts } from './commit-book.ts';
import type { AgentSide, Computers } from './computers.ts';
import type { Held } from '../fleet/report.ts';
import type { Elsewhere } from '../update/blocks.ts';
import { HandOn } from './hand-on.ts';
import { LeaderDoor, type DoorKeeper } from './leader-door.ts';
import { MemberDesk } from './member-desk.ts';
import { encodeNews, parseReport, viewFields, whatRuns } from './messages.ts';
import type { Pair } from './pair-file.ts';
import { awaited, explainComputers, Roster } from './roster.ts';
import { ReportFile } from './report-file.ts';
import type { Address } from './secure-link.ts';
import { decisionIn, isRecalledIn, openIn } from './told-commits.ts';

const EPOCH_BYTES = 8;

export interface LeaderOptions {
  readonly robot: RobotId;
  readonly pairs: readonly Pair[];
  readonly listen: Address;
  readonly disk: Disk;
  /** Folder for its decisions, the last reports of members and their chunks. */
  readonly folder: string;
  readonly arch: string;
  readonly compatible: readonly string[];
  readonly roots?: Elsewhere['roots'];
  /** Why pair files were not taken: their computers are missing. */
  readonly missing?: readonly Problem[];
  readonly log: Log;
  readonly now?: (() => EpochMs) | undefined;
}

export class LeaderSide implements Computers, DoorKeeper {
  readonly isMember = false;
  readonly #options: LeaderOptions;
  readonly #desks: ReadonlyMap<string, MemberDesk>;
  readonly #book: CommitBook;
  readonly #reports: ReportFile;
  readonly #orders = new CarriedOrders();
  readonly #door: LeaderDoor;
  readonly #epoch = randomBytes(EPOCH_BYTES).toString('hex');
  readonly #changes = new Changes();
  #version = 1;
  readonly #startedMs: EpochMs;
  #side: AgentSide | null = null;
  #handOn: HandOn | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Null while its disk takes its decisions. */
  #problem: Problem | null = null;
  #isLooking = false;
  #isLookDue = false;
  readonly #roster: Roster;
  #nextTrust = Number.POSITIVE_INFINITY;
  /** Where members reach it, once it is open. */
  port = 0;

  constructor(options: LeaderOptions) {
    this.#options = options;
    const { pairs, disk, folder, log } = options;
    const now = performance.now();
    this.#startedMs = this.#now();
    for (const problem of options.missing ?? [])
      log.warn({ problem }, 'a computer of this robot is left out');
    this.#desks = new Map(pairs.map((pair) => [pair.computer, new MemberDesk(pair, now)]));
    this.#roster = new Roster(this.#desks, log);
    this.#book = new CommitBook(disk, `${folder}/commits.json`);
    this.#reports = new ReportFile(disk, `${folder}/reports.json`, log);
    this.#door = new LeaderDoor(pairs, this, log);
  }

  attach(side: AgentSide): void {
    this.#side = side;
    side.board.onChange = () => this.#news();
    const { disk, folder, log } = this.#options;
    this.#handOn = new HandOn(disk, `${folder}/chunks`, { pulls: side.pulls, log });
  }

  get problems(): readonly Held[] {
    const { missing = [] } = this.#options;
    return missing.map((problem) => ({ problem, atMs: this.#startedMs }));
  }

  /** @throws DroverError of the disk, LISTEN_FAILED */
  async open(): Promise<void> {
    const { disk, folder, log, listen } = this.#options;
    await disk.mkdir(folder);
    const damage = await this.#book.load();
    if (damage) log.error({ problem: damage }, 'decisions about other computers were lost');
    await this.#reports.load(this.#desks);
    await this.#handOn?.open();
    this.port = await this.#door.open(listen);
    this.#timer = setInterval(() => this.#look(), LIMITS.memberLookMs);
    log.info({ port: this.port, members: [...this.#desks.keys()] }, 'leads the robot');
    this.#news();
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#handOn?.close();
    this.#changes.tell();
    await this.#door.close();
  }

  // The facts about the other computers.

  get views(): ReadonlyMap<string, MemberView | null> {
    return new Map([...this.#desks.values()].flatMap(({ views }) => [...views]));
  }

  awayFor(set: RolloutSet): string | null {
    if (this.#problem) return `${this.#problem.message} (${this.#problem.code})`;
    return awaited(this.#roster.computers, set);
  }

  decisionOn(commitId: string): CommitDecision {
    return decisionIn(this.#book.told, commitId);
  }

  openFor(set: RolloutSet, component: string): string | null {
    return openIn(this.#book.told, set, component);
  }

  isRecalled(set: RolloutSet): boolean {
    return isRecalledIn(this.#book.told, set);
  }

  get told(): ComponentStateFields[] {
    const [now, clock] = [performance.now(), this.#now()];
    return [...this.#desks.values()].flatMap((desk) => desk.told(now, clock));
  }

  get countedBy(): string {
    return [...this.#desks.values()].map(({ kept }) => kept?.countedBy ?? '').join();
  }

  explain(): string[] {
    const lines = explainComputers(this.#roster.computers);
    const decisions = this.#book.told.map(
      ({ set, decision, asked }) =>
        `set ${set.id}: the decision is to ${decision}${asked === null ? '' : `, waits for ${asked}`}`,
    );
    const problems = this.problems.flatMap(({ problem: { code, message, hint } }) => [
      `cannot lead as it should: ${message} (${code})`,
      `  hint: ${hint}`,
    ]);
    return [...lines, ...decisions, ...problems, ...this.#door.refused.explain()];
  }

  // Decisions.

  /** Something has changed here or on a member: all receive it, and the decisions look again. */
  #news(): void {
    this.#version += 1;
    this.#changes.tell();
    this.#look();
  }

  #look(): void {
    this.#isLookDue = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    inBackground(this.#options.log, 'decide about the computers', this.#decideAll());
  }

  async #decideAll(): Promise<void> {
    try {
      while (this.#isLookDue) {
        this.#isLookDue = false;
        this.#notePresence();
        this.#changes.tell(); // an announcement that had to wait
        const now = performance.now();
        const factsOf = (set: RolloutSet): SetFacts => this.#factsOf(set);
        const { isNew, problem } = await this.#book.step(this.#sets(), factsOf, now);
        if (problem && problem.code !== this.#problem?.code)
          this.#options.log.error({ problem }, 'no decision: the disk refuses it');
        this.#problem = problem;
        if (!isNew) continue;
        for (const { set, decision, id } of this.#book.told)
          this.#options.log.info({ set: set.id, decision, id }, `set ${set.id}: ${decision}`);
        this.#version += 1;
        this.#changes.tell();
        this.#side?.board.changed({ isElsewhere: true });
        this.#isLookDue = true;
      }
    } finally {
      this.#isLooking = false;
    }
  }

  #notePresence(): void {
    if (!this.#roster.look()) return;
    this.#version += 1; // the other members receive it
    this.#changes.tell();
    this.#side?.board.changed({ isElsewhere: true });
    this.#side?.onNews();
  }

  /** The sets over several computers that a component works on, or has confirmed. */
  #sets(): RolloutSet[] {
    const sets: RolloutSet[] = [];
    const remote = this.views;
    for (const view of this.#side?.board.views.values() ?? []) {
      const set = view && setOf(view.state);
      if (!set?.members.some(({ component }) => remote.has(component))) continue;
      if (!sets.some((one) => isSameSet(one, set))) sets.push(set);
    }
    return sets;
  }

  #factsOf(set: RolloutSet): SetFacts {
    const views = this.#side?.board.views ?? new Map<string, MemberView | null>();
    const now = performance.now();
    const progress = this.#side?.heard().progress ?? new Map<string, never>();
    let isRecalled = false;
    const components = set.members.map((member): ComponentFact => {
      const view = views.get(member.component);
      const desk = [...this.#desks.values()].find((one) => one.views.has(member.component));
      const step = stepOf(member, view);
      const isOfSet = view && (view.state.job ?? view.state.installed)?.rollout === member.rollout;
      if (isOfSet && decideRecall({ ...view, progress, now: this.#now() })) isRecalled = true;
      return {
        component: member.component,
        step,
        commitId: view?.state.job?.commitId ?? null,
        awayMs: desk?.awayMs(now) ?? 0,
        canGoBack: view ? canGoBack(view) : false,
      };
    });
    return { components, isRecalled };
  }

  // The door.

  carry(topic: string, payload: Uint8Array): void {
    if (!this.#orders.take(topic, payload, this.#version + 1)) return;
    this.#version += 1;
    this.#changes.tell();
  }

  async newsFor(
    { computer }: Pair,
    asked: Parameters<DoorKeeper['newsFor']>[1],
    signal: AbortSignal,
  ): Promise<Uint8Array | null> {
    this.#desks.get(computer)?.heard(performance.now(), this.#now(), asked.me);
    if (asked.nextTrust > 0 && asked.nextTrust < this.#nextTrust)
      await this.#askTrust(asked.nextTrust);
    const after = asked.epoch === this.#epoch ? asked.after : 0;
    if (this.#told <= after) await this.#changes.next(signal, LIMITS.memberPollMs);
    const version = this.#told;
    if (version <= after) return null;
    const { board } = this.#side ?? {};
    const own = this.#desks.get(computer)?.views;
    const views = [...(board?.views ?? [])].filter(([name]) => !own?.has(name));
    return encodeNews({
      epoch: this.#epoch,
      version,
      commits: [...this.#book.told],
      views: views.map(([name, view]) => viewFields(name, view, this.#options)),
      orders: this.#orders.between(after, version),
      computers: this.#roster.computers,
    });
  }

  /**
   * The version up to which members receive news. An announcement waits until the fleet had the
   * time to send the progress of its rollouts, which may have stopped one of them.
   */
  get #told(): number {
    const { unanswered } = this.#side?.heard() ?? {};
    if (unanswered === undefined || unanswered.size === 0) return this.#version;
    return Math.min(this.#version, this.#orders.announcedIn - 1);
  }

  /** A member with an older root of trust needs those between, which this computer has no more. */
  async #askTrust(nextTrust: number): Promise<void> {
    try {
      await this.#side?.askOrders(nextTrust);
      this.#nextTrust = nextTrust;
    } catch (thrown) {
      this.#options.log.debug({ problem: toProblem(thrown) }, 'orders for a member: asked later');
    }
  }

  async takeReport({ computer }: Pair, body: Uint8Array): Promise<void> {
    const desk = this.#desks.get(computer);
    if (!desk) return;
    desk.heard(performance.now(), this.#now());
    const before = desk.views;
    const report = parseReport(body);
    if (report.state && report.state.robot_id !== this.#options.robot) {
      const ids = `(got ${report.state.robot_id}, want ${this.#options.robot})`;
      throw new DroverError('MEMBER_REFUSED', `hear computer ${computer}: another robot ${ids}`);
    }
    if (!desk.take(report, this.#now())) return;
    await this.#reports.keep(this.#desks);
    this.#side?.onNews();
    if (whatRuns(before) !== whatRuns(desk.views)) this.#side?.onViews();
    if (JSON.stringify([...before]) === JSON.stringify([...desk.views])) return;
    this.#side?.board.changed({ isElsewhere: true });
    this.#news();
  }

  async takeEvent(pair: Pair, body: Uint8Array): Promise<void> {
    const { component, robot_id: robot } = parseRobotEvent(body);
    if (!pair.components.includes(component) || robot !== this.#options.robot) {
      const what = `${component} of robot ${robot}`;
      throw new DroverError('MEMBER_REFUSED', `take event of ${pair.computer}: it is of ${what}`);
    }
    const fields = JSON.parse(new TextDecoder().decode(body)) as RobotEventFields;
    const { event_seq: _seq, event_epoch: _epoch, ...event } = fields;
    await this.#side?.tell(event);
  }

  /** A wanted package goes to the fleet; chunks come through `chunk`. */
  async takeWant(_pair: Pair, body: Uint8Array): Promise<void> {
    const want = parseWant(body);
    if (want.robot_id === this.#options.robot && want.package) await this.#side?.want(body);
  }

  lost({ computer }: Pair): void {
    this.#desks.get(computer)?.lost();
  }

  async chunk(hash: Sha256Hex): Promise<Uint8Array | null> {
    return (await this.#handOn?.get(hash)) ?? null;
  }

  #now(): EpochMs {
    return (this.#options.now ?? Date.now)();
  }
}
