/**
 * A component of a robot on a test bench: the real Component on the real disk with real hook
 * scripts; only the carrier of chunks stands in memory, and the disk has a gate. The bench plays
 * the agent around it: it offers the current announcement whenever the component is idle.
 */

import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ComponentOptions } from '../../robot-client/component-options.ts';
import { Component } from '../../robot-client/component.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import type { PullLink, PullListener } from '../../robot-client/update/download.ts';
import {
  openAnnouncement,
  type Announcement,
  type RolloutFields,
} from '../../shared/formats/announcement.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import type { Phase } from '../../shared/formats/messages.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import { makeFleet, type SignedBundle } from '../helpers/fleet.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { faultyDisk, type Gate } from './faulty-disk.ts';

export const fleet = makeFleet();
const ROBOT = parseRobotId('r1');
/** The version with which every bench starts. */
export const OLD = '1.0.0';
/** Short: what hangs is to be noticed soon. */
const HOOK_TIMEOUT_MS = 500;
/** Short too: some tests leave an operation hanging. */
const CLOSE_WAIT_MS = 300;

const rolloutOf = (version: string): string => `app-${version.replaceAll('.', '-')}`;

/** Answers with whatever it was given, unless `answers` says no. */
class MemoryCarrier implements PullLink {
  readonly chunks = new Map<Sha256Hex, Uint8Array>();
  readonly isUp = true;
  /** Chunks that went out. */
  sent = 0;
  answers: (hash: Sha256Hex) => boolean = () => true;
  #listener: PullListener | null = null;
  #sending: Promise<void> = Promise.resolve();

  attach(listener: PullListener): () => void {
    this.#listener = listener;
    return () => {
      if (this.#listener === listener) this.#listener = null;
    };
  }

  subscribeChunks(hashes: readonly Sha256Hex[]): void {
    for (const hash of hashes) {
      const bytes = this.answers(hash) ? this.chunks.get(hash) : undefined;
      if (!bytes) continue;
      this.sent += 1;
      this.#sending = this.#sending.then(() => this.#listener?.onChunk(sha256Hex(bytes), bytes));
    }
  }

  unsubscribeChunks(): void {}
  wantChunks(): void {}
}

export class Bench {
  readonly root: string;
  readonly carrier = new MemoryCarrier();
  /** Reported phases in their order; `⚡` where the power was cut. */
  readonly phases: string[] = [];
  readonly codes: string[] = [];
  /** Reasons for waiting, as a person would have read them. */
  readonly waits: string[] = [];
  gate: Gate = () => {};
  /** The error of the robot's clock. */
  clockOffMs = 0;
  /** Called when a phase is reported, before anything else can happen to the component. */
  onPhase: (phase: Phase) => void = () => {};
  component: Component;
  /** For a gate: an operation that does not end while the test lasts. */
  readonly forever = (): Promise<void> => new Promise((_, reject) => this.#hung.push(reject));
  readonly #hung: ((reason: Error) => void)[] = [];
  readonly #more: Partial<ComponentOptions>;
  #announcement: Announcement | null = null;
  #progress = new Map<string, Progress>();
  #seq = 0;
  #recalls = 0;
  #life = 0;

  private constructor(root: string, more: Partial<ComponentOptions>) {
    this.root = root;
    this.#more = more;
    this.component = this.#makeComponent();
  }

  static async open(
    scope: Scope,
    more: Partial<ComponentOptions> = {},
    folder?: string,
  ): Promise<Bench> {
    const bench = new Bench(folder ?? (await tempFolder(scope)), more);
    const release = join(bench.root, 'releases', OLD);
    await mkdir(release, { recursive: true });
    await writeFile(join(release, 'VERSION.txt'), `${OLD}\n`);
    await symlink(`releases/${OLD}`, join(bench.root, 'active'));
    await bench.component.open();
    scope.after(async () => {
      await bench.component.close();
      // Operations that hung end now and let go of their files, as at the end of a process.
      for (const end of bench.#hung) end(new Error('the test is over'));
    });
    return bench;
  }

  get hooks(): string {
    return join(this.root, 'hooks');
  }

  #makeComponent(): Component {
    this.#life += 1;
    const life = this.#life;
    const isAlive = (): boolean => life === this.#life;
    return new Component({
      component: 'app',
      layout: layoutOf(this.root),
      disk: faultyDisk((operation) => {
        if (!isAlive()) throw new Error('the power is off');
        return this.gate(operation);
      }),
      link: this.carrier,
      trust: fleet.trust,
      hooksFolder: this.hooks,
      hookTimeoutMs: HOOK_TIMEOUT_MS,
      bytesPerSecondMax: null,
      bootsMax: 3,
      closeWaitMs: CLOSE_WAIT_MS,
      adoptVersion: '0.0.0',
      facts: { robot: ROBOT, arch: 'x86_64', tags: [] },
      log: makeLog('bench', 'silent'),
      now: () => Date.now() + this.clockOffMs,
      onChange: () => {
        const reason = isAlive() ? this.component.view.live.waitingFor : null;
        if (reason !== null && this.waits.at(-1) !== reason) this.waits.push(reason);
      },
      tell: async (event) => {
        if (!isAlive()) return;
        if (event.problem) this.codes.push(event.problem.code);
        if (event.event === 'refused' && event.from === event.to) return;
        this.phases.push(event.to);
        this.onPhase(event.to);
      },
      wantPackage: () => {},
      onIdle: () => {
        if (isAlive()) this.offer();
      },
      ...this.#more,
    });
  }

  /** Offers the newest announcement, as the agent does whenever there is a reason. */
  offer(): void {
    const heard = { progress: this.#progress, completeSince: new Map() };
    // As in the agent: the component has told and logged what failed.
    this.component.consider(this.#announcement, heard).catch(() => {});
  }

  announce(bundle: SignedBundle, version: string, more: Partial<RolloutFields> = {}): void {
    for (const [hash, bytes] of bundle.chunks) this.carrier.chunks.set(hash, bytes);
    this.#seq += 1;
    const rollout = fleet.makeRollout(rolloutOf(version), bundle, more);
    const bytes = fleet.announce(this.#seq, [rollout]);
    this.#announcement = openAnnouncement(bytes, fleet.trust);
    this.offer();
  }

  halt(version: string): void {
    const rollout = rolloutOf(version);
    const bytes = fleet.progress({ rollout, seq: 1, status: 'halted' });
    this.#progress.set(rollout, openProgress(bytes, fleet.trust));
    this.offer();
  }

  /** The rollout of that version is taken back: who took it goes back. */
  recall(version: string): void {
    const rollout = rolloutOf(version);
    this.#recalls += 1;
    const fields = {
      rollout,
      seq: 1 + this.#recalls,
      status: 'rolling_back',
      recall: true,
    } as const;
    this.#progress.set(rollout, openProgress(fleet.progress(fields), fleet.trust));
    this.offer();
  }

  /** From this instant nothing reaches the disk; then a new agent starts on it. */
  async cutPower(): Promise<void> {
    const dead = this.component;
    this.phases.push('⚡');
    this.component = this.#makeComponent();
    await dead.close();
    await this.component.open();
    this.offer();
  }

  async hook(name: string, script: string): Promise<void> {
    await mkdir(this.hooks, { recursive: true });
    await writeFile(join(this.hooks, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(this.hooks, name), 0o755);
  }

  /** Every cause of trouble is gone. */
  async heal(): Promise<void> {
    this.gate = () => {};
    this.carrier.answers = () => true;
    this.onPhase = () => {};
    await rm(this.hooks, { recursive: true, force: true });
  }

  async runs(version: string): Promise<void> {
    await waitUntil(
      `the bench to run ${version}`,
      () => this.component.view.version === version && this.component.view.state.phase === 'idle',
      { look: () => this.describe() },
    );
  }

  describe(): string {
    const { state, live, version } = this.component.view;
    const view = JSON.stringify({ version, phase: state.phase, live, last: state.lastProblem });
    return `${this.phases.join(' ')}\n${this.codes.join(' ')}\n${view}`;
  }
}
