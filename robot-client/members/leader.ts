/**
 * The side of the leader: it receives the reports of all members, decides about sets over several
 * computers (commit.ts), carries the orders and chunks of the fleet to them, and reports all
 * components as those of one robot.
 */

import { randomBytes } from 'node:crypto';
import { inBackground } from '../../shared/base/in-background.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs, RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { parseWant, type ComponentStateFields } from '../../shared/formats/messages.ts';
import { endsWithin } from '../../shared/io/within.ts';
import type { Disk } from '../install/disk-port.ts';
import type { CommitDecision } from '../update/joint-set.ts';
import { Changes } from '../update/swap-claims.ts';
import type { MemberView, MemberViews } from '../update/set-verdict.ts';
import { CarriedOrders } from './carried-orders.ts';
import { CommitBook, type SetFacts } from './commit-book.ts';
import type { AgentSide, Computers } from './computers.ts';
import type { Elsewhere } from '../update/blocks.ts';
import { declareGone, goneEvent, goneProblem, type GoneAnswer, type GoneRequest } from './gone.ts';
import { HandOn } from './hand-on.ts';
import { LeaderTroubles } from './leader-troubles.ts';
import { LeaderDoor, type DoorKeeper } from './leader-door.ts';
import { MemberDesk } from './member-desk.ts';
import type { Held } from '../fleet/report.ts';
import { encodeNews, eventOf, parseReport, viewFields, whatRuns } from './messages.ts';
import type { Pair } from './pair-file.ts';
import { awaited, explainComputers, explainTold, Roster } from './roster.ts';
import { ReportFile } from './report-file.ts';
import { factsOfSet, setsOver, unledOf } from './set-facts.ts';
import type { Address } from './secure-link.ts';
import { causeIn, commitsForOlder, decisionIn, isRecalledIn, openIn } from './told-commits.ts';

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
  readonly #startedMs: MonoMs = performance.now();
  #version = 1;
  #side: AgentSide | null = null;
  #handOn: HandOn | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #troubles: LeaderTroubles;
  #isLooking = false;
  #isLookDue = false;
  #isClosed = false;
  #looked = Promise.resolve();
  readonly #roster: Roster;
  #nextTrust = Number.POSITIVE_INFINITY;

  constructor(options: LeaderOptions) {
    this.#options = options;
    const { pairs, disk, folder, log } = options;
    const now = performance.now();
    this.#desks = new Map(pairs.map((pair) => [pair.computer, new MemberDesk(pair, now)]));
    this.#roster = new Roster(this.#desks, log);
    this.#book = new CommitBook(disk, folder);
    this.#reports = new ReportFile(disk, `${folder}/reports.json`, log);
    this.#door = new LeaderDoor(pairs, this, log);
    this.#troubles = new LeaderTroubles({
      ...{ log, now: () => this.#now(), onNews: () => this.#side?.onNews() },
      missing: options.missing ?? [],
    });
  }

  attach(side: AgentSide): void {
    this.#side = side;
    side.board.onChange = () => this.#news();
    const { disk, folder, log } = this.#options;
    this.#handOn = new HandOn(disk, `${folder}/chunks`, { pulls: side.pulls, log });
  }

  /** Never rejects: a disk or an address that is not there yet is tried again at each look. */
  async open(): Promise<void> {
    await this.#openDoor();
    this.#timer = setInterval(() => this.#look(), LIMITS.memberLookMs);
    const { log } = this.#options;
    log.info({ port: this.port, members: [...this.#desks.keys()] }, 'leads the robot');
    this.#news();
    // A disk that hangs must not keep the agent from the fleet.
    await endsWithin(this.#looked, LIMITS.retrySoonMs);
  }

  /** Its own components follow what it reads here, as any member. */
  async #prepare(): Promise<void> {
    const [first] = this.#side?.board.localViews.values() ?? [];
    // The folder of a disk that is not there may be an empty one in its place.
    if (this.#book.isRead || this.#isClosed || first === null) return;
    const { disk, folder, log } = this.#options;
    try {
      await disk.mkdir(folder);
      const damage = await this.#book.load();
      if (damage) log.error({ ...damage }, 'a record of decisions was damaged');
      if (damage?.isLost) this.#troubles.note('record', damage.problem);
      this.#troubles.note('disk', null);
    } catch (thrown) {
      this.#troubles.note('disk', toProblem(thrown));
      return;
    }
    await this.#reports.load(this.#desks);
    await this.#handOn?.open();
    this.#spread();
  }

  async #openDoor(): Promise<void> {
    this.#troubles.note('door', await this.#door.open(this.#options.listen));
  }

  /** Where members reach it; 0 until it is open. */
  get port(): number {
    return this.#door.port;
  }

  get problems(): readonly Held[] {
    return this.#troubles.all;
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#isClosed = true;
    this.#handOn?.close();
    this.#changes.tell();
    await this.#door.close();
    // No decision is stored after that; a disk that hangs must not keep the agent from its end.
    await endsWithin(this.#looked, LIMITS.retrySoonMs);
  }

  // The facts about the other computers.

  get views(): ReadonlyMap<string, MemberView | null> {
    return new Map([...this.#desks.values()].flatMap(({ views }) => [...views]));
  }

  awayFor(set: RolloutSet): string | null {
    const refused = this.#troubles.of('disk');
    if (refused) return `${refused.message} (${refused.code})`;
    const local = new Set(this.#side?.board.localViews.keys());
    return awaited(this.#roster.computers, set) ?? unledOf(set, local, this.views);
  }

  decisionOn(commitId: string): CommitDecision {
    return decisionIn(this.#book.told, commitId);
  }

  causeOf(commitId: string): string | null {
    return causeIn(this.#book.told, commitId);
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
    return [
      ...explainComputers(this.#roster.computers),
      ...explainTold(this.told),
      ...this.#book.explain(),
      ...this.#troubles.explain(),
      ...this.#door.refused.explain(),
    ];
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
    const looked = this.#decideAll();
    inBackground(this.#options.log, 'decide about the computers', looked);
    this.#looked = looked.catch(() => {}); // logged above
  }

  async #decideAll(): Promise<void> {
    try {
      while (this.#isLookDue && !this.#isClosed) {
        this.#isLookDue = false;
        await this.#openDoor();
        await this.#prepare();
        this.#notePresence();
        this.#changes.tell(); // an announcement that had to wait
        const now = performance.now();
        const factsOf = (set: RolloutSet): SetFacts => this.#factsOf(set);
        const { isNew, problem } = await this.#book.step(this.#sets(), factsOf, now);
        if (this.#book.isRead) this.#troubles.note('disk', problem);
        this.#troubles.note('decision', this.#book.lostProblem);
        if (!isNew) continue;
        const commits = this.#book.told?.commits ?? [];
        if (commits.some(({ decision }) => decision === 'prepare'))
          this.#troubles.note('record', null);
        for (const { set, decision, id } of commits)
          this.#options.log.info({ set: set.id, decision, id }, `set ${set.id}: ${decision}`);
        this.#spread();
        this.#isLookDue = true;
      }
    } finally {
      this.#isLooking = false;
    }
  }

  #notePresence(): void {
    if (!this.#roster.look()) return;
    this.#spread();
    this.#side?.onNews();
  }

  /** The leader has decided or noticed something: members receive it, its own components look. */
  #spread(): void {
    this.#version += 1;
    this.#changes.tell();
    this.#side?.board.changed({ isElsewhere: true });
  }

  #sets(): RolloutSet[] {
    return setsOver(this.#side?.board.views ?? new Map(), this.views);
  }

  #factsOf(set: RolloutSet): SetFacts {
    return factsOfSet(set, {
      views: this.#side?.board.views ?? new Map(),
      local: new Set(this.#side?.board.localViews.keys()),
      desks: [...this.#desks.values()],
      ...{ epoch: this.#epoch, startedMs: this.#startedMs },
      progress: this.#side?.heard().progress ?? new Map(),
      ...{ now: performance.now(), clock: this.#now() },
    });
  }

  async gone(request: GoneRequest): Promise<GoneAnswer> {
    const { robot, log } = this.#options;
    const { components, decisions } = await declareGone(request, {
      ...{ book: this.#book, desks: this.#desks, sets: this.#sets(), now: performance.now() },
      local: new Set(this.#side?.board.localViews.keys()),
      factsOf: (set) => this.#factsOf(set),
      knocking: this.#door.refused.current[0] ?? null,
    });
    for (const one of request.isSaid ? decisions : []) {
      log.warn({ problem: goneProblem(one, components) }, 'goes on without a computer');
      await this.#side?.tell(goneEvent(one, components, { robot, at: this.#now() }));
    }
    if (request.isSaid) this.#news();
    const told = decisions.map(({ set, decision }) => ({ set: set.id, decision }));
    return { components, decisions: told };
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
    const desk = this.#desks.get(computer);
    desk?.heard(performance.now(), this.#now(), asked.me);
    if (asked.nextTrust > 0 && asked.nextTrust < this.#nextTrust)
      await this.#askTrust(asked.nextTrust);
    const after = asked.epoch === this.#epoch ? asked.after : 0;
    const isOlder = asked.me === '';
    // An older member goes back without its decision in the list, so its report comes first.
    const mayHear = (): boolean => !isOlder || desk?.hasReported === true;
    if (!mayHear() || this.#told <= after) await this.#changes.next(signal, LIMITS.memberPollMs);
    const [version, book] = [this.#told, this.#book.told];
    if (version <= after || book === null || !mayHear()) return null;
    const { board } = this.#side ?? {};
    const own: MemberViews = desk?.views ?? new Map();
    const views = [...(board?.views ?? [])].filter(([name]) => !own.has(name));
    return encodeNews({
      ...{ epoch: this.#epoch, version },
      commits: isOlder ? commitsForOlder(book, own) : [...book.commits],
      record: book.record,
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
    if (!this.#book.isRead) return 0; // without the decisions, a member would take them for none
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
    try {
      const report = parseReport(body);
      if (report.state && report.state.robot_id !== this.#options.robot) {
        const ids = `(got ${report.state.robot_id}, want ${this.#options.robot})`;
        throw new DroverError('MEMBER_REFUSED', `hear computer ${computer}: another robot ${ids}`);
      }
      if (!desk.take(report, performance.now(), this.#now())) return;
    } catch (thrown) {
      // A start that another one has followed says nothing about that one.
      if (toProblem(thrown).code !== 'MEMBER_TWICE') desk.refused();
      throw thrown;
    }
    await this.#reports.keep(this.#desks);
    this.#side?.onNews();
    if (whatRuns(before) !== whatRuns(desk.views)) this.#side?.onViews();
    if (JSON.stringify([...before]) === JSON.stringify([...desk.views])) return;
    this.#side?.board.changed({ isElsewhere: true });
    this.#news();
  }

  async takeEvent(pair: Pair, body: Uint8Array): Promise<void> {
    await this.#side?.tell(eventOf(pair, body, this.#options.robot));
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
