/**
 * The real Component over any disk, with chunks from memory: what a robot does from an announcement
 * until it is at rest again. Time stands still here, so that the same update leaves the same bytes.
 */

import { Component } from '../../robot-client/component.ts';
import { ALWAYS_OPEN, type InterlockRules } from '../../robot-client/local/interlock.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import type { Disk } from '../../robot-client/install/disk-port.ts';
import type { PullLink, PullListener } from '../../robot-client/update/download.ts';
import { recoverComponent } from '../../robot-client/recover/recover.ts';
import type { Recovery } from '../../robot-client/recover/recover-input.ts';
import { ATOMIC_SWAP } from '../../shared/formats/apply-strategy.ts';
import { openAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { stageArchive } from '../../robot-client/update/stage.ts';
import { makeDelta } from '../helpers/delta.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { payloadOf } from '../helpers/tar.ts';
import { file, folder, imageKey, link, type FileImage, type FolderImage } from './disk-image.ts';
import { BOARD_STRATEGY, ModelBoard } from './model-board.ts';
import { ModelDisk } from './model-disk.ts';
import { ModelZstd } from './model-zstd.ts';

export const ROOT = '/robot/app';
export const NOW = Date.parse('2026-06-01T00:00:00Z');
/** Version that a plain active folder is taken over as. */
export const ADOPTED = '0.0.0';
/** A verdict of a module wants three good answers: thousands of robots wait for it here. */
const HEALTH_INTERVAL_MS = 1;
/** A robot that waits for its application is asked again at once. */
const READY_INTERVAL_MS = 1;
const COMMON = { component: 'app', bootsMax: 3, adoptVersion: ADOPTED };

/** Noise that gzip cannot make smaller, the same each time. */
function noise(bytes: number, seed: string): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 32) {
    const block = Buffer.from(sha256Hex(new TextEncoder().encode(`${seed} ${at}`)), 'hex');
    out.set(block.subarray(0, Math.min(32, bytes - at)), at);
  }
  return out;
}

const program = (version: string): string => `#!/bin/sh\necho ${version}\n`;
const DATA_BYTES = 2 * LIMITS.chunkBytesMin + 1000;

/**
 * The version that there is a delta to, and the one it is from: all but a few lines are the same.
 */
export const PATCHED = { from: '1.0.0', to: '1.3.0' } as const;
const dataOf = (version: string): Uint8Array =>
  noise(DATA_BYTES, version === PATCHED.to ? PATCHED.from : version);

/** The tree of a complete release of that version, modes included. */
export const treeOf = (version: string): FolderImage =>
  folder({
    'VERSION.txt': file(version),
    bin: folder({ run: file(program(version), 0o755), tools: folder({ again: link('../run') }) }),
    data: file(dataOf(version), 0o640),
  });

const payloadOfVersion = (version: string): Promise<Buffer> =>
  payloadOf([
    { name: 'VERSION.txt', body: version, mode: 0o644 },
    { name: 'bin/run', body: program(version), mode: 0o755 },
    { name: 'bin/tools/again', type: 'symlink', linkname: '../run' },
    { name: 'data', body: dataOf(version), mode: 0o640 },
  ]);

/** The recipe of that version, as an installation leaves it. */
export async function recipeOf(version: string): Promise<FileImage> {
  const payload = await payloadOfVersion(version);
  const disk = new ModelDisk(folder({ payload: file(payload) }));
  await stageArchive({
    disk,
    payloadPath: '/payload',
    recipePath: '/recipe',
    intoFolder: '/tree',
    packedBytes: payload.byteLength,
  });
  return file((await disk.readFile('/recipe')) as Uint8Array, 0o600);
}

const rolloutOf = (version: string): string => `app-${version.replaceAll('.', '-')}`;

export interface Version {
  readonly key: string;
  readonly announcement: Announcement;
}

/** Everything that is announced to robots of the crash tests. */
export class Release {
  readonly versions = new Map<string, Version>();
  readonly chunks = new Map<Sha256Hex, Uint8Array>();
  readonly zstd = new ModelZstd();
  readonly #fleet = makeFleet();
  /** `apply_strategy` of all of them. */
  readonly strategy: string;

  constructor(strategy: string = ATOMIC_SWAP) {
    this.strategy = strategy;
  }

  get trust() {
    return this.#fleet.trust;
  }

  static async of(...versions: string[]): Promise<Release> {
    return await new Release().with(...versions);
  }

  async with(...versions: string[]): Promise<Release> {
    for (const version of versions) await this.#add(version);
    return this;
  }

  /** The board of a robot, where a module applies the releases. */
  boardOn(disk: Disk): { modules?: ModelBoard } {
    return this.strategy === BOARD_STRATEGY ? { modules: new ModelBoard(disk) } : {};
  }

  recall(version: string): Uint8Array {
    const back = { status: 'rolling_back', recall: true } as const;
    return this.#fleet.progress({ rollout: rolloutOf(version), seq: 1, ...back });
  }

  pause(version: string): Uint8Array {
    return this.#fleet.progress({ rollout: rolloutOf(version), seq: 1, status: 'paused' });
  }

  async #add(version: string): Promise<void> {
    const payload = new Uint8Array(await payloadOfVersion(version));
    const from = { version: PATCHED.from, payload: await payloadOfVersion(PATCHED.from) };
    const delta = version === PATCHED.to ? await makeDelta(from, payload) : null;
    const manifest = { ...delta?.manifest, apply_strategy: this.strategy };
    const bundle = await this.#fleet.makeBundle({ version, payload, manifest });
    for (const [hash, bytes] of [...bundle.chunks, ...(delta?.chunks ?? [])]) {
      this.chunks.set(hash, bytes);
    }
    const artifacts = [bundle.artifact, ...(delta ? [delta.artifact] : [])];
    const rollout = this.#fleet.makeRollout(rolloutOf(version), bundle, { artifacts });
    const bytes = this.#fleet.announce(this.versions.size + 1, [rollout]);
    const announcement = openAnnouncement(bytes, this.#fleet.trust);
    this.versions.set(version, { key: imageKey(treeOf(version)), announcement });
  }
}

export class MemoryLink implements PullLink {
  readonly isUp = true;
  readonly #chunks: ReadonlyMap<Sha256Hex, Uint8Array>;
  #listener: PullListener | null = null;
  #sending: Promise<void> = Promise.resolve();

  constructor(chunks: ReadonlyMap<Sha256Hex, Uint8Array>) {
    this.#chunks = chunks;
  }

  attach(listener: PullListener): () => void {
    this.#listener = listener;
    return () => {
      if (this.#listener === listener) this.#listener = null;
    };
  }

  subscribeChunks(hashes: readonly Sha256Hex[]): void {
    for (const hash of hashes) {
      const bytes = this.#chunks.get(hash);
      if (!bytes) throw new TypeError('memory link: nobody published that chunk');
      this.#sending = this.#sending.then(() => this.#listener?.onChunk(hash, bytes));
    }
  }

  unsubscribeChunks(): void {}
  wantChunks(): void {}
}

export interface RobotOptions {
  readonly disk: Disk;
  readonly release: Release;
  readonly hooksFolder: string;
  /** Differences from `ALWAYS_OPEN`. */
  readonly interlock?: Partial<InterlockRules>;
  /** Called when a change of phase is reported; `problem` is its code. */
  readonly onTold?: (phase: string, problem: string | null) => void;
}

/** Options of a component that nobody outside watches. */
export const UNWATCHED = {
  healthIntervalMs: 1,
  bytesPerSecondMax: null,
  facts: { robot: parseRobotId('r1'), arch: 'x86_64', tags: [] },
  log: makeLog('crash', 'silent'),
  now: (): number => NOW,
  onChange: (): void => {},
  tell: async (): Promise<void> => {},
  wantPackage: (): void => {},
};

export class Robot {
  readonly component: Component;
  readonly #release: Release;
  readonly #progress = new Map<string, Progress>();
  #offered: Announcement | null = null;
  #atRest: () => void = () => {};

  constructor({ disk, release, hooksFolder, interlock, onTold }: RobotOptions) {
    this.#release = release;
    this.component = new Component({
      ...{ ...COMMON, ...UNWATCHED },
      layout: layoutOf(ROOT),
      disk,
      link: new MemoryLink(release.chunks),
      trust: release.trust,
      patchProgram: release.zstd.on(disk),
      ...release.boardOn(disk),
      healthIntervalMs: HEALTH_INTERVAL_MS,
      interlock: { ...ALWAYS_OPEN, readyIntervalMs: READY_INTERVAL_MS, ...interlock },
      hooksFolder,
      tell: async ({ to, problem }) => onTold?.(to, problem?.code ?? null),
      onIdle: () => void this.#consider(),
    });
  }

  /** Starts the agent's part and announces a version; resolves when there is no more to do. */
  async open(version: string): Promise<void> {
    this.#offer(version);
    const rest = this.#rest();
    await this.component.open();
    await rest;
  }

  async update(version: string): Promise<void> {
    this.#offer(version);
    const rest = this.#rest();
    await this.#consider();
    await rest;
  }

  /** The rollout of a version is taken back while nothing is announced any more. */
  async recall(version: string): Promise<void> {
    const progress = openProgress(this.#release.recall(version), this.#release.trust);
    this.#progress.set(progress.rollout, progress);
    this.#offered = null;
    const rest = this.#rest();
    await this.#consider();
    await rest;
  }

  /** The rollout of a version is paused: an update that has not begun to switch is given up. */
  async pause(version: string): Promise<void> {
    const progress = openProgress(this.#release.pause(version), this.#release.trust);
    this.#progress.set(progress.rollout, progress);
    const rest = this.#rest();
    await this.#consider();
    await rest;
  }

  #offer(version: string): void {
    this.#offered = this.#release.versions.get(version)?.announcement ?? null;
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => (this.#atRest = resolve));
  }

  async #consider(): Promise<void> {
    await this.component.consider(this.#offered, {
      progress: this.#progress,
      completeSince: new Map(),
    });
    if (this.component.view.state.phase === 'idle') this.#atRest();
  }
}

export const recover = (disk: Disk, release: Release): Promise<Recovery> =>
  recoverComponent({
    ...{ ...COMMON, ...release.boardOn(disk) },
    ...{ root: ROOT, disk, hooksFolder: '/no-hooks' },
  });
