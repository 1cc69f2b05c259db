/**
 * The side of a member: its link to the fleet goes through the leader, and looks to the agent like
 * any other link (Wire). Orders and chunks come from the leader as they came from the fleet, and
 * are verified here with the trust of this computer. Decisions about sets come from the leader
 * alone.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../shared/base/backoff.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import type { Log, Wire, WireHandlers } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { ComponentStateFields, RobotStateFields } from '../../shared/formats/messages.ts';
import { parseTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { Elsewhere } from '../update/blocks.ts';
import type { CommitDecision } from '../update/joint-set.ts';
import type { MemberView } from '../update/set-verdict.ts';
import { ChunkFetch } from './chunk-fetch.ts';
import type { AgentSide, Computers } from './computers.ts';
import { encodeReport, parseNews, viewFields, whatRuns, type News } from './messages.ts';
import type { Pair } from './pair-file.ts';
import { awaited, explainComputers } from './roster.ts';
import { LeaderLink, type Address, type Asking, type LinkAnswer } from './secure-link.ts';
import { causeIn, decisionIn, isRecalledIn, openIn, type ToldBook } from './told-commits.ts';

const EPOCH_BYTES = 8;

export interface MemberOptions {
  readonly pair: Pair;
  readonly leader: Address;
  /** By default an encrypted one to that address. */
  readonly link?: Asking;
  readonly arch: string;
  readonly compatible: readonly string[];
  readonly roots?: Elsewhere['roots'];
  readonly log: Log;
}

export class MemberSide implements Computers {
  readonly isMember = true;
  readonly #options: MemberOptions;
  readonly #link: Asking;
  readonly #epoch = randomBytes(EPOCH_BYTES).toString('hex');
  readonly #reports = new SerialQueue();
  #nth = 0;
  #side: AgentSide | null = null;
  #state: RobotStateFields | null = null;
  /** Null before the first news since the start. */
  #book: ToldBook | null = null;
  #views: ReadonlyMap<string, MemberView | null> = new Map();
  #computers: News['computers'] = [];
  #wire: LeaderWire | null = null;
  #isReportDue = false;
  #leaderEpoch = '';
  /** Why the leader did not take the last report; null when it did. */
  #refusal: Problem | null = null;
  readonly #seldom: SeldomLog;

  constructor(options: MemberOptions) {
    this.#options = options;
    const everyMs = LIMITS.memberTroubleLogMs;
    this.#seldom = new SeldomLog(options.log, everyMs, () => performance.now());
    this.#link = options.link ?? new LeaderLink(options.pair, options.leader);
  }

  attach(side: AgentSide): void {
    this.#side = side;
    side.board.onChange = () => this.reportSoon();
  }

  /** The link of the agent (`openWire` of its options). */
  readonly openWire = (_options: unknown, handlers: WireHandlers, log: Log): Wire => {
    this.#wire = new LeaderWire({
      ...{ link: this.#link, handlers, log, me: this.#epoch },
      onNews: (news) => this.#take(news),
      onHeard: () => void (this.#isReportDue && this.reportSoon()),
      onState: (state) => this.#keepState(state),
    });
    return this.#wire;
  };

  async open(): Promise<void> {
    // The agent opens the link itself.
  }

  async close(): Promise<void> {
    await this.#reports.idle();
    this.#link.close();
  }

  carry(): void {
    // A member has no members.
  }

  gone(): Promise<never> {
    const hint =
      'say it on the leader of this robot; one that is gone for good itself has to be replaced first, with the same --id: any computer of the robot can lead (docs/members.md)';
    const message = 'go on without another computer: this one leads none';
    return Promise.reject(new DroverError('NOT_FOUND', message, { hint }));
  }

  readonly told: readonly ComponentStateFields[] = [];
  readonly countedBy = '';
  readonly problems = [];

  explain(): string[] {
    const { host, port } = this.#options.leader;
    const says =
      this.#wire?.isUp === true ? 'is there' : SAYS[this.#wire?.whyDown ?? 'LEADER_AWAY'];
    const lines = [
      `computer ${this.#options.pair.computer}: its leader at ${host}:${port} ${says}`,
    ];
    if (this.#wire?.isUp !== true) return lines;
    const refusal = this.#refusal ? explainRefusal(this.#refusal) : [];
    return [...lines, ...refusal, ...explainComputers(this.#computers)];
  }

  get #machine() {
    const { pair, arch, compatible, roots } = this.#options;
    return { arch, compatible, computer: pair.computer, roots };
  }

  get views(): ReadonlyMap<string, MemberView | null> {
    return this.#views;
  }

  awayFor(set: RolloutSet): string | null {
    if (this.#wire?.isUp === true) return awaited(this.#computers, set);
    return `the leader of this robot (${this.#wire?.whyDown ?? 'LEADER_AWAY'})`;
  }

  decisionOn(commitId: string): CommitDecision {
    return decisionIn(this.#book, commitId);
  }

  causeOf(commitId: string): string | null {
    return causeIn(this.#book, commitId);
  }

  openFor(set: RolloutSet, component: string): string | null {
    return openIn(this.#book, set, component);
  }

  isRecalled(set: RolloutSet): boolean {
    return isRecalledIn(this.#book, set);
  }

  #take({ epoch, commits, record, views, computers }: News): void {
    this.#computers = computers;
    // A leader that has started again knows no report of this computer.
    if (epoch !== this.#leaderEpoch) this.#isReportDue = true;
    this.#leaderEpoch = epoch;
    const before = whatRuns(this.#views);
    this.#book = { commits, record };
    this.#views = new Map(views.map(({ name, view }) => [name, view]));
    this.#side?.board.changed({ isElsewhere: true });
    if (whatRuns(this.#views) !== before) this.#side?.onViews();
  }

  /** Called after a state of a component is on the disk: only then the leader may get it. */
  reportSoon(): void {
    this.#isReportDue = true;
    // One that runs may have read older states; a second one behind it has all.
    if (this.#reports.size >= 2) return;
    // It is sent again with each answer of the leader: one that refuses it does so for long.
    this.#report().catch((thrown: unknown) => {
      const problem = toProblem(thrown);
      this.#seldom.warn(problem.code, { problem }, 'a report to the leader was not taken');
    });
  }

  async #keepState(state: Uint8Array): Promise<void> {
    this.#state = JSON.parse(new TextDecoder().decode(state)) as RobotStateFields;
    this.#isReportDue = true;
    await this.#report();
  }

  /** One report after another: each has all that is true when it is sent. */
  async #report(): Promise<void> {
    await this.#reports.run(async () => {
      if (!this.#isReportDue || this.#wire?.isUp !== true) return;
      this.#isReportDue = false;
      this.#nth += 1;
      const views = [...(this.#side?.board.localViews ?? [])];
      const body = encodeReport({
        ...{ epoch: this.#epoch, nth: this.#nth, state: this.#state },
        heard: this.#leaderEpoch,
        views: views.map(([name, view]) => viewFields(name, view, this.#machine)),
      });
      try {
        assertTaken('report', await this.#link.ask('POST', '/report', { body }));
        this.#refusal = null;
      } catch (thrown) {
        this.#isReportDue = true;
        this.#refusal = toProblem(thrown);
        this.#wire?.noteProblem(thrown);
        throw thrown;
      }
    });
  }
}

/** Words for `drover-robot explain`, by why there is no link. */
const SAYS = {
  LEADER_AWAY: 'is away',
  LEADER_REFUSES: 'refuses it',
  NO_LEADER_THERE: 'is not there: what answers is no leader',
} as const;

const explainRefusal = ({ code, message, hint }: Problem): string[] => [
  `it takes no report of this computer: ${message} (${code})`,
  `  hint: ${hint}`,
];

/** @throws DroverError with what the leader said: MEMBER_TWICE, else MEMBER_REFUSED */
function assertTaken(what: string, { status, body }: LinkAnswer): void {
  if (status < 300) return;
  const text = new TextDecoder().decode(body);
  const said = /"message":"([^"]{0,300})/.exec(text)?.[1];
  const code = text.includes('"code":"MEMBER_TWICE"') ? 'MEMBER_TWICE' : 'MEMBER_REFUSED';
  throw new DroverError(code, `send ${what} to the leader: ${said ?? `status ${status}`}`);
}

interface LeaderWireOptions {
  readonly link: Asking;
  readonly handlers: WireHandlers;
  readonly log: Log;
  /** Name of this start of the agent. */
  readonly me: string;
  onNews(news: News): void;
  /** The leader has answered. */
  onHeard(): void;
  onState(state: Uint8Array): Promise<void>;
}

/** The link of the agent of a member: it asks the leader for news again and again. */
class LeaderWire implements Wire {
  readonly #options: LeaderWireOptions;
  readonly #queue = new SerialQueue();
  readonly #chunks: ChunkFetch;
  readonly #closed = new AbortController();
  readonly #ended: Promise<void>;
  #replay = new AbortController();
  #isUp = false;
  #lastError: DroverError | null = null;
  readonly #seldom: SeldomLog;
  #at = { epoch: '', after: 0 };
  #nextTrust = 1;

  constructor(options: LeaderWireOptions) {
    this.#options = options;
    const everyMs = LIMITS.memberTroubleLogMs;
    this.#seldom = new SeldomLog(options.log, everyMs, () => performance.now());
    this.#chunks = new ChunkFetch(options.link, (topic, bytes) => this.#deliver(topic, bytes));
    this.#ended = this.#listen();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get lastError(): DroverError | null {
    return this.#lastError;
  }

  /** The code of why there is no link. */
  get whyDown(): keyof typeof SAYS {
    const code = this.#lastError?.code;
    return code === 'LEADER_REFUSES' || code === 'NO_LEADER_THERE' ? code : 'LEADER_AWAY';
  }

  noteProblem(thrown: unknown): void {
    if (thrown instanceof DroverError) this.#lastError = thrown;
  }

  async send(topic: string, payload: Uint8Array): Promise<void> {
    const parsed = parseTopic(topic);
    if (parsed?.kind !== 'robot') return;
    if (!this.#isUp) throw new DroverError('LEADER_AWAY', 'send to the leader: it is away');
    const { link, onState } = this.#options;
    if (parsed.leaf === 'state') await onState(payload);
    else if (parsed.leaf === 'events' || parsed.leaf === 'want')
      assertTaken(parsed.leaf, await link.ask('POST', `/${parsed.leaf}`, { body: payload }));
  }

  /** Orders are delivered again, as a broker does with retained messages. */
  async subscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) {
      const parsed = parseTopic(filter);
      if (parsed?.kind === 'chunk') this.#chunks.want(parsed.hash);
      if (parsed?.kind === 'trust') this.#nextTrust = parsed.version;
    }
    if (!filters.includes(UPDATES_TOPIC)) return;
    this.#at = { epoch: '', after: 0 };
    this.#replay.abort();
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) {
      const parsed = parseTopic(filter);
      if (parsed?.kind === 'chunk') this.#chunks.forget(parsed.hash);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#chunks.close();
    await this.#ended;
    this.#isUp = false;
  }

  async #listen(): Promise<void> {
    const { signal } = this.#closed;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#hear(signal);
        failures = 0;
      } catch (thrown) {
        if (signal.aborted) return;
        this.#down(thrown);
        const bounds = { minMs: LIMITS.memberRetryMsMin, maxMs: LIMITS.memberRetryMsMax };
        const waitMs = backoffMs(failures, bounds, Math.random());
        failures += 1;
        await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {}); // closed meanwhile
      }
    }
  }

  async #hear(closed: AbortSignal): Promise<void> {
    this.#replay = new AbortController();
    const { epoch, after } = this.#at;
    const path = `/news?epoch=${epoch}&after=${after}&trust=${this.#nextTrust}&me=${this.#options.me}`;
    const signal = AbortSignal.any([closed, this.#replay.signal]);
    let answer: LinkAnswer;
    try {
      answer = await this.#options.link.ask('GET', path, { signal });
    } catch (thrown) {
      if (this.#replay.signal.aborted) return;
      throw thrown;
    }
    assertTaken('question for news', answer);
    const news = answer.status === 200 ? parseNews(answer.body) : null;
    if (news && !this.#replay.signal.aborted) this.#at = { epoch: news.epoch, after: news.version };
    if (news) this.#options.onNews(news);
    if (!this.#isUp) this.#up();
    this.#options.onHeard();
    for (const { topic, payload } of news?.orders ?? []) await this.#deliver(topic, payload);
  }

  async #deliver(topic: string, payload: Uint8Array): Promise<void> {
    await this.#queue.run(async () => await this.#options.handlers.onMessage(topic, payload, true));
  }

  #up(): void {
    this.#isUp = true;
    this.#lastError = null;
    this.#options.log.info({}, 'the leader of this robot is there');
    this.#options.handlers.onUp?.();
  }

  #down(thrown: unknown): void {
    const problem = toProblem(thrown);
    if (thrown instanceof DroverError) this.#lastError = thrown;
    // Each reason at once; the same again seldom, while it lasts.
    const what = { LEADER_REFUSES: 'refuses this computer', NO_LEADER_THERE: 'is not there' };
    const says = problem.code in what ? what[problem.code as keyof typeof what] : 'is away';
    if (!this.#isUp) {
      this.#seldom.warn(problem.code, { problem }, `the leader of this robot ${says}`);
      return;
    }
    this.#isUp = false;
    this.#options.log.warn({ problem }, `the leader of this robot ${says}`);
    this.#options.handlers.onDown?.(problem.message);
  }
}
