/**
 * A robot that is a whole machine: the disk of examples/ab-grub with the agent in it, a real broker
 * and `drover` on the host, and an observer of the reports. Tests read the disk while the machine
 * runs and after a power cut: the slots that may boot, and the bytes in them.
 */

import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BootMark } from '../../robot-client/boot/boot-mark.ts';
import { chooseCopy, GRUB_ENV_BYTES } from '../../robot-client/boot/grub-env.ts';
import { GRUB_COPIES } from '../../robot-client/boot/grub.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotState, type ComponentState } from '../../shared/formats/messages.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { robotId } from '../broker/reports.ts';
import { startBrokerChild, type BrokerChild } from '../e2e/broker-child.ts';
import { Site } from '../e2e/site.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { GuestDisk, imageIn, makeImage, relabelImage, SLOT_AT } from './guest-disk.ts';
import { Machine } from './machine.ts';

export type SlotName = 'A' | 'B';
/** `sick` boots and fails its health check, `no-system` is no file system at all. */
export type ImageKind = 'good' | 'sick' | 'panics' | 'hangs' | 'no-system';

const ROBOT = 'guest-1';
export const FACTORY = '1.0.0';
/** Of an update: two boots and the writing between them; a system that hangs has three tries of two minutes. */
const UPDATE_MS_MAX = 900_000;
const INITS = {
  panics: '#!/bin/sh\necho "drover: about to panic"\nexit 1\n',
  hangs: '#!/bin/sh\necho "drover: about to hang"\nwhile :; do sleep 1; done\n',
} as const;
const HEAD_BYTES = 4096;
const NO_SYSTEM_BYTES = 8 * 1024 * 1024;

export interface GuestImage {
  readonly version: string;
  readonly kind: ImageKind;
  readonly bytes: number;
  readonly sha256: string;
}

/** Images of a slot from which those of each version are made. */
type Bases = Readonly<Record<'good' | 'panics' | 'hangs', string>>;

interface SlotFinding {
  readonly slot: SlotName;
  /** Null when the slot holds no image that was ever signed. */
  readonly image: GuestImage | null;
}

export interface DiskFinding {
  readonly mark: BootMark | null;
  /** The slots that GRUB may boot, the one that it takes next before the other one. */
  readonly bootable: readonly SlotFinding[];
}

export class GuestRobot {
  readonly #scope: Scope;
  readonly #site: Site;
  readonly #broker: BrokerChild;
  readonly disk: GuestDisk;
  /** Offsets on the disk of the two copies of the mark: nothing moves them. */
  readonly #copiesAt: readonly number[];
  readonly #bases: Bases;
  readonly images: GuestImage[] = [];
  readonly #reports: ComponentState[] = [];
  /** Reports before the last start of the machine. */
  #old = 0;

  private constructor(
    parts: { scope: Scope; site: Site; broker: BrokerChild; disk: GuestDisk },
    bases: Bases,
    copiesAt: readonly number[],
  ) {
    this.#scope = parts.scope;
    this.#site = parts.site;
    this.#broker = parts.broker;
    this.disk = parts.disk;
    this.#bases = bases;
    this.#copiesAt = copiesAt;
  }

  /** The disk as it leaves the factory: slot A holds FACTORY, and no image of an update. */
  static async open(scope: Scope): Promise<GuestRobot> {
    const site = await Site.open(scope);
    const broker = await startBrokerChild(scope, { args: ['--trust', site.path('trust.json')] });
    const data = site.path('data');
    await mkdir(data);
    await copyFile(site.path('trust.json'), join(data, 'trust.json'));
    // 10.0.2.2 is the host, as the guest sees it.
    const url = `mqtt://10.0.2.2:${broker.port}`;
    await writeFile(join(data, 'robot.conf'), `ID=${ROBOT}\nBROKER=${url}\n`);
    const made = await makeImage(site.path('good'), '--agent-on-data', '--data', data);
    const bases: Record<keyof Bases, string> = { good: imageIn(made), panics: '', hangs: '' };
    for (const kind of ['panics', 'hangs'] as const) {
      const init = site.path(`init-${kind}`);
      await writeFile(init, INITS[kind]);
      const more = ['--small', '--slot-only', '--init', init];
      bases[kind] = imageIn(await makeImage(site.path(kind), ...more));
    }
    const disk = await GuestDisk.copy(join(made, 'disk.img'), site.path('machine.img'));
    const copiesAt: number[] = [];
    for (const name of GRUB_COPIES) copiesAt.push(await disk.placeOf(`/grub/${name}`));
    const robot = new GuestRobot({ scope, site, broker, disk }, bases, copiesAt);
    robot.images.push(await describe(bases.good, FACTORY, 'good'));
    await robot.#observe();
    return robot;
  }

  async #observe(): Promise<void> {
    const topic = robotTopic(robotId(ROBOT), 'state');
    const onMessage = (_: string, payload: Uint8Array): void => {
      const [component] = parseRobotState(payload).components;
      if (component) this.#reports.push(component);
    };
    const options = { url: this.#broker.url, clientId: 'observer' };
    const wire = await connectWire(options, { onMessage }, makeLog('test', 'silent'));
    this.#scope.after(() => wire.close());
    await wire.subscribe([topic], 1);
  }

  /** Makes an image, signs it and announces it to the robot. */
  async publish(version: string, kind: ImageKind): Promise<GuestImage> {
    const file = this.#site.path(`image-${version}.img`);
    if (kind === 'no-system') {
      await writeFile(file, `no system ${version}\n`);
      await truncate(file, NO_SYSTEM_BYTES);
    } else {
      const label = kind === 'sick' ? `${version} sick` : version;
      await relabelImage(this.#bases[kind === 'sick' ? 'good' : kind], file, label);
    }
    const image = await describe(file, version, kind);
    this.images.push(image);
    const out = this.#site.path('bundles', version);
    const named = ['--name', 'system', '--version', version, '--arch', 'any'];
    await this.#site.drover('build', '--image', file, ...named, '--out', out);
    await this.#site.drover('sign', out, '--key', this.#site.path('release.key'));
    const id = `s-${version.replaceAll('.', '-')}`;
    const args = this.#site.publishArgs(this.#broker.url, out, '--id', id);
    await this.#site.drover(...args, '--health-timeout', '60s');
    return image;
  }

  /**
   * @param hasWatchdog GRUB starts it. A busy host can make a good system too slow for it, so only
   *   the test of a system that hangs has one.
   */
  async start(hasWatchdog = false): Promise<Machine> {
    this.#old = this.#reports.length;
    const devices = ['-nic', 'user,model=virtio-net-pci'];
    if (hasWatchdog) devices.push('-device', 'i6300esb');
    return await Machine.start(this.#scope, this.disk.path, devices);
  }

  /** The last report of the robot since its machine was started. */
  get report(): ComponentState | null {
    return this.#reports.slice(this.#old).at(-1) ?? null;
  }

  /** Waits for a report of this run of the machine. */
  async until(
    what: string,
    machine: Machine,
    holds: (report: ComponentState) => boolean,
  ): Promise<ComponentState> {
    const look = (): string => `${JSON.stringify(this.report)}\n${machine.seen.slice(-4_000)}`;
    return await waitUntil(
      `the guest to report ${what}`,
      () => {
        if (machine.hasEnded) throw new Error('QEMU ended');
        return this.report !== null && holds(this.report) ? this.report : null;
      },
      { timeoutMs: UPDATE_MS_MAX, look },
    );
  }

  async untilRuns(version: string, machine: Machine): Promise<ComponentState> {
    const isThere = (report: ComponentState): boolean =>
      report.version === version && report.phase === 'idle';
    return await this.until(`${version} at rest`, machine, isThere);
  }

  /** The mark that GRUB would read now; null while both copies are damaged. */
  mark(): BootMark | null {
    return chooseCopy(this.#copiesAt.map((at) => this.#bytes(at, GRUB_ENV_BYTES)));
  }

  /** The first bytes of a slot: no two images begin alike, since each says when it was made. */
  head(slot: SlotName): string {
    return this.#bytes(SLOT_AT[slot], HEAD_BYTES).toString('base64');
  }

  /** The slot that GRUB does not come back to, and how it begins. */
  spare(): { slot: SlotName; head: string } {
    const slot = this.mark()?.confirmed === ('A' as string) ? 'B' : 'A';
    return { slot, head: this.head(slot) };
  }

  /**
   * Null when the disk keeps the promise: GRUB can read its mark, each slot that it may boot holds
   * a signed image to its last byte, and it comes back to one that is good.
   */
  violation(): string | null {
    const { mark, bootable } = this.look();
    if (mark === null) return 'both copies of the mark are damaged';
    for (const { slot, image } of bootable) {
      if (image === null) return `slot ${slot} may boot and holds no whole image`;
    }
    const comesBackTo = bootable.find(({ slot }) => slot === (mark.confirmed as string));
    if (comesBackTo?.image?.kind === 'good') return null;
    const version = comesBackTo?.image?.version;
    return `${JSON.stringify(mark)}: the confirmed slot holds ${version}`;
  }

  look(): DiskFinding {
    const mark = this.mark();
    if (mark === null) return { mark, bootable: [] };
    const confirmed: SlotName = mark.confirmed === ('A' as string) ? 'A' : 'B';
    const other = confirmed === 'A' ? 'B' : 'A';
    const names: SlotName[] = [confirmed];
    if (mark.other === '+') names.push(other);
    if (Number(mark.other) > 0) names.unshift(other);
    return { mark, bootable: names.map((slot) => ({ slot, image: this.imageIn(slot) })) };
  }

  /** Null when it holds no image that was ever signed, or a part of one. */
  imageIn(slot: SlotName): GuestImage | null {
    const hashes = new Map<number, string>();
    const hashOf = (bytes: number): string => {
      const known = hashes.get(bytes);
      if (known !== undefined) return known;
      const hash = createHash('sha256').update(this.#bytes(SLOT_AT[slot], bytes)).digest('hex');
      hashes.set(bytes, hash);
      return hash;
    };
    return this.images.find(({ bytes, sha256 }) => hashOf(bytes) === sha256) ?? null;
  }

  #bytes(atByte: number, length: number): Buffer {
    const file = openSync(this.disk.path, 'r');
    try {
      const bytes = Buffer.alloc(length);
      readSync(file, bytes, 0, length, atByte);
      return bytes;
    } finally {
      closeSync(file);
    }
  }
}

async function describe(file: string, version: string, kind: ImageKind): Promise<GuestImage> {
  const content = await readFile(file);
  return { version, kind, bytes: content.length, sha256: sha256Hex(content) };
}

/** The system that came up last, as it says itself on the console. */
export function upIn({ seen }: Machine): { slot: string; version: string } {
  const said = [...seen.matchAll(/drover: up in slot ([AB]), (\S+)/g)].at(-1);
  return { slot: said?.[1] ?? '', version: said?.[2] ?? '' };
}
