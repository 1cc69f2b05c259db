/**
 * One install with the robot's own code and nothing around it: the real component, disk and hooks,
 * with chunks handed over from memory instead of a broker. It exists to be killed at any system
 * call: it says when it has loaded, waits for SIGUSR2 (and for strace before that), and prints one
 * line of JSON when the component has come to rest.
 *
 * `node install-once.js <root> <hooks> <offer.json>`; `node install-once.js recover <root> <hooks>`.
 */

import { readFile } from 'node:fs/promises';
import { Component } from '../../robot-client/component.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import { ADOPTED_VERSION_DEFAULT } from '../../robot-client/recover/adoption.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import type { PullLink, PullListener } from '../../robot-client/update/download.ts';
import { recoverComponent } from '../../robot-client/recover/recover.ts';
import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { hexToBytes } from '../../shared/crypto/bytes.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseTrust } from '../../shared/formats/trust.ts';
import { READY } from './strace.ts';

/** The offered release, as a file: everything in base64 or hex. */
export interface Offer {
  readonly trust: string;
  readonly announcement: string;
  readonly chunks: Readonly<Record<string, string>>;
}

export interface Rest {
  readonly version: string | null;
  readonly blocked: readonly string[];
}

/** Answers each question for chunks at once, in order. */
class FolderLink implements PullLink {
  readonly isUp = true;
  readonly #chunks: Offer['chunks'];
  #listener: PullListener | null = null;
  #answered: Promise<void> = Promise.resolve();

  constructor(chunks: Offer['chunks']) {
    this.#chunks = chunks;
  }

  subscribeChunks(hashes: readonly Sha256Hex[]): void {
    for (const hash of hashes) {
      const bytes = hexToBytes(this.#chunks[hash] ?? '');
      if (!bytes) throw new TypeError(`no chunk ${hash} in the offer`);
      this.#answered = this.#answered.then(() => this.#listener?.onChunk(hash, bytes));
    }
  }

  unsubscribeChunks(): void {}

  wantChunks(): void {}

  attach(listener: PullListener): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = null;
    };
  }
}

/** Resolves when the offer was installed, or rolled back and blocked. */
export async function installOnce(root: string, hooksFolder: string, offer: Offer): Promise<Rest> {
  const trust = parseTrust(new TextEncoder().encode(offer.trust));
  const announcement = openAnnouncement(new TextEncoder().encode(offer.announcement), trust);
  const consider = (): void =>
    void component.consider(announcement, { progress: new Map(), completeSince: new Map() });
  let rest: (rest: Rest) => void;
  const atRest = new Promise<Rest>((resolve) => {
    rest = resolve;
  });
  const options = {
    component: 'app',
    layout: layoutOf(root),
    disk: realDisk,
    link: new FolderLink(offer.chunks),
    trust,
    hooksFolder,
    bytesPerSecondMax: null,
    healthIntervalMs: 5, // three good answers in a row, two hundred times over
    now: () => Date.now(),
    bootsMax: LIMITS.bootAttemptsMaxDefault,
    adoptVersion: ADOPTED_VERSION_DEFAULT,
    facts: { robot: parseRobotId('r1'), arch: 'any', tags: [] },
    log: makeLog('install-once', process.env['DROVER_LOG'] ?? 'silent'),
    onChange: () => {},
    tell: async () => {},
    wantPackage: () => {},
    // Idle and cleaned up: decides again until the offer is installed or blocked here.
    onIdle: (): void => {
      const { version, state } = component.view;
      const blocked = state.blocked.map((one) => one.version);
      const isOver = announcement.rollouts.every(({ id }) =>
        [version, ...blocked].some((one) => one !== null && id.endsWith(one.replaceAll('.', '-'))),
      );
      if (isOver) rest({ version, blocked });
      else consider();
    },
  };
  const component: Component = new Component(options);
  await component.open();
  const result = await atRest;
  await component.close();
  return result;
}

/** Nothing else keeps the process alive meanwhile. */
async function waitForGo(): Promise<void> {
  const alive = setInterval(() => {}, 1_000);
  const go = new Promise((resolve) => process.once('SIGUSR2', resolve));
  process.stdout.write(`${READY}\n`);
  await go;
  clearInterval(alive);
}

async function main(args: readonly string[]): Promise<void> {
  const [first = '', second = '', third = ''] = args;
  await waitForGo();
  if (first === 'recover') {
    const recovery = await recoverComponent({
      component: 'app',
      root: second,
      disk: realDisk,
      hooksFolder: third,
      bootsMax: LIMITS.bootAttemptsMaxDefault,
      adoptVersion: ADOPTED_VERSION_DEFAULT,
    });
    process.stdout.write(`${JSON.stringify(recovery)}\n`);
    return;
  }
  const offer = JSON.parse(await readFile(third, 'utf8')) as Offer;
  const rest = await installOnce(first, second, offer);
  process.stdout.write(`${JSON.stringify(rest)}\n`);
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
