/**
 * A robot of three computers, each with a model disk of its own: the real leader and members with
 * the real components. Only the encrypted connection between them is left out: a member asks the
 * leader by a call, and waits as long.
 */

import { Component } from '../../robot-client/component.ts';
import type { Disk } from '../../robot-client/install/disk-port.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import type { Computers } from '../../robot-client/members/computers.ts';
import { LeaderSide } from '../../robot-client/members/leader.ts';
import { MemberSide } from '../../robot-client/members/member.ts';
import type { Pair } from '../../robot-client/members/pair-file.ts';
import type { Asking, LinkAnswer } from '../../robot-client/members/secure-link.ts';
import { recoverComponent } from '../../robot-client/recover/recover.ts';
import { SetBoard } from '../../robot-client/update/set-board.ts';
import { encodeMachineState, freshState } from '../../robot-client/update/state.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { openAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { file, folder, link, type FolderImage } from './disk-image.ts';
import { MemoryLink, UNWATCHED } from './robot.ts';

export const [OLD, NEW] = ['1.0.0', '1.1.0'] as const;
/** The computer of the first one leads. */
export const NAMES = ['app', 'vision', 'arm'] as const;
const ROOT = '/robot';
const COMMON = { bootsMax: 3, adoptVersion: '0.0.0' };
const [ROBOT, LOG] = [parseRobotId('r1'), makeLog('crash', 'silent')];
const EMPTY = new Uint8Array();
const IDLE = new AbortController().signal;

const fleet = makeFleet();
const chunks = new Map<Sha256Hex, Uint8Array>();
const announcement = await announceSet();

async function announceSet(): Promise<Announcement> {
  const all = [];
  for (const name of NAMES) {
    const bundle = await fleet.makeBundle({ version: NEW, manifest: { name } });
    for (const [hash, bytes] of bundle.chunks) chunks.set(hash, bytes);
    all.push({ name, bundle, rollout: fleet.makeRollout(`s-${name}`, bundle) });
  }
  const members = all.map(({ name, bundle, rollout }) => ({
    ...{ rollout: rollout.id, component: name, version: NEW },
    payload_sha256: bundle.artifact.sha256,
  }));
  const rollouts = all.map(({ rollout }) => ({ ...rollout, set: { id: 's', members } }));
  return openAnnouncement(fleet.announce(1, rollouts), fleet.trust);
}

/** A computer that runs the old version. */
export const installed = (): FolderImage => {
  const state = folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) });
  const releases = folder({ [OLD]: folder({ 'VERSION.txt': file(`${OLD}\n`) }) });
  const empty = { bases: folder({}), staging: folder({}) };
  const root = folder({ releases, active: link(`releases/${OLD}`), state, ...empty });
  return folder({ robot: root });
};

const PAIRS = NAMES.slice(1).map((name): Pair => {
  return { robot: ROBOT, computer: name, components: [name], secret: Buffer.alloc(32) };
});

/** A member's way to a leader of the same process. */
function callsOf(leader: LeaderSide, pair: Pair): Asking {
  const answer = async (path: string, body: Uint8Array, signal: AbortSignal) => {
    const { pathname, searchParams: query } = new URL(path, 'https://leader');
    if (pathname === '/report') {
      await leader.takeReport(pair, body);
      return null;
    }
    const [after, nextTrust] = [Number(query.get('after')), Number(query.get('trust'))];
    const [epoch, me] = [query.get('epoch') ?? '', query.get('me') ?? ''];
    return await leader.newsFor(pair, { epoch, after, nextTrust, me }, signal);
  };
  return {
    close: () => {},
    ask: async (_method, path, more): Promise<LinkAnswer> => {
      try {
        const news = await answer(path, more?.body ?? EMPTY, more?.signal ?? IDLE);
        return { status: news ? 200 : 204, body: news ?? EMPTY };
      } catch (thrown) {
        more?.signal?.throwIfAborted();
        const said = JSON.stringify(toProblem(thrown));
        return { status: 400, body: new TextEncoder().encode(said) };
      }
    },
  };
}

interface Watch {
  /** False when all was taken before: a component that goes back is not offered the set again. */
  readonly isOffered: boolean;
  /** A component has taken a step, which is on its disk, or was refused. */
  onStep(): void;
}

export class ModelRobot {
  readonly leader: LeaderSide;
  readonly components: readonly Component[];
  readonly #sides: readonly Computers[];
  readonly #wires: { close(): Promise<void> }[] = [];
  readonly #boards: readonly SetBoard[];
  readonly #watch: Watch;
  #atRest: () => void = () => {};
  /** Each was asked for what it takes when it had the states of the others. */
  #isConsidered = false;

  /** @param disks in the order of `NAMES` */
  constructor(disks: readonly Disk[], watch: Watch) {
    this.#watch = watch;
    const [disk] = disks;
    if (!disk) throw new TypeError('a robot without a computer');
    const machine = { arch: 'x86_64', compatible: [], log: LOG };
    this.leader = new LeaderSide({
      ...{ ...machine, robot: ROBOT, pairs: PAIRS, disk, folder: `${ROOT}/state/members` },
      listen: { host: '127.0.0.1', port: 0 },
    });
    const members = PAIRS.map(
      (pair) =>
        new MemberSide({
          ...{ ...machine, pair, link: callsOf(this.leader, pair) },
          leader: { host: 'none', port: 0 },
        }),
    );
    this.#sides = [this.leader, ...members];
    this.#boards = this.#sides.map((side) => new SetBoard(side));
    this.components = NAMES.map((component, at) => this.#component(component, at, disks));
    for (const [at, side] of this.#sides.entries()) this.#attach(side, at);
  }

  get versions(): (string | null)[] {
    return this.components.map(({ view }) => view.version);
  }

  /** Until all are at rest. */
  async run(): Promise<void> {
    const rest = new Promise<void>((resolve) => (this.#atRest = resolve));
    for (const one of this.components) await one.load();
    for (const one of this.components) await one.start();
    await this.leader.open();
    for (const side of this.#sides) {
      if (!(side instanceof MemberSide)) continue;
      this.#wires.push(side.openWire({}, { onMessage: () => {} }, LOG));
    }
    await rest;
  }

  async close(): Promise<void> {
    await Promise.all([
      this.leader.close(),
      ...this.#wires.map((wire) => wire.close()),
      ...this.components.map((one) => one.close()),
    ]);
  }

  #component(component: string, at: number, disks: readonly Disk[]): Component {
    const board = this.#boards[at];
    const disk = disks[at];
    if (!board || !disk) throw new TypeError('a computer without a disk');
    return new Component({
      ...{ ...UNWATCHED, ...COMMON, component, disk, sets: board },
      hooksFolder: '/no-hooks',
      layout: layoutOf(ROOT),
      link: new MemoryLink(chunks),
      trust: fleet.trust,
      onChange: () => {
        const side = this.#sides[at];
        if (side instanceof MemberSide) side.reportSoon();
        this.#watch.onStep();
        this.#look();
      },
      onIdle: () => void this.#consider(),
    });
  }

  #attach(side: Computers, at: number): void {
    const board = this.#boards[at];
    if (!board) throw new TypeError('a computer without a board');
    const nothing = (): Promise<void> => Promise.resolve();
    side.attach({
      ...{ board, tell: nothing, want: nothing, askOrders: nothing },
      pulls: {
        ...{ isUp: true, subscribeChunks: () => {}, unsubscribeChunks: () => {} },
        ...{ wantChunks: () => {}, attach: () => () => {} },
      },
      heard: () => ({ progress: new Map(), completeSince: new Map() }),
      ...{ onViews: () => void this.#consider(), onNews: () => {} },
    });
  }

  /** A computer without the states of the others takes no set, and is idle for no good reason. */
  get #isWhole(): boolean {
    return this.#boards.every(({ views }) =>
      NAMES.every((name) => (views.get(name) ?? null) !== null),
    );
  }

  async #consider(): Promise<void> {
    if (!this.#isWhole) return; // each look costs signatures
    const heard = { progress: new Map(), completeSince: new Map() };
    const offered = this.#watch.isOffered ? announcement : null;
    for (const one of this.components) await one.consider(offered, heard);
    this.#isConsidered = true;
    this.#look();
  }

  /** One that gave up waits for a later announcement, and the others stay staged, and free. */
  #look(): void {
    const states = this.components.map(({ view }) => view.state);
    const isFree = states.every(({ phase, job }) => phase === 'idle' || job?.commitId === null);
    const areIdle = states.filter(({ phase }) => phase === 'idle').length;
    const wait = states.filter(({ phase }) => phase === 'waiting').length;
    const isRest = isFree && areIdle > 0 && areIdle + wait === states.length;
    if (this.#isConsidered && isRest) this.#atRest();
  }
}

/** As at each boot of each computer. */
export async function bootAll(disks: readonly Disk[]): Promise<void> {
  for (const [at, component] of NAMES.entries()) {
    const disk = disks[at];
    if (!disk) throw new DroverError('INTERNAL', 'a computer without a disk');
    const asked = { ...COMMON, component, root: ROOT, disk, hooksFolder: '/no-hooks' };
    await recoverComponent({ ...asked, siblings: [ROOT] });
  }
}
