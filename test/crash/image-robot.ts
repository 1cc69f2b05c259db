/**
 * A robot with a system image and an application on the model disk: `recover` for each root, then
 * the agent, then the boot loader again after each restart. The slots are files, and the boot
 * loader is a model. At every moment `active` of the application has to lead to the release that
 * belongs to the slot that runs.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Component } from '../../robot-client/component.ts';
import { encodeMark } from '../../robot-client/boot/boot-mark.ts';
import { SystemImage } from '../../robot-client/boot/system-image.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import { ALWAYS_OPEN } from '../../robot-client/local/interlock.ts';
import { recoverComponent } from '../../robot-client/recover/recover.ts';
import type { Recovery } from '../../robot-client/recover/recover-input.ts';
import { SetBoard } from '../../robot-client/update/set-board.ts';
import {
  encodeMachineState,
  freshState,
  type MachineState,
} from '../../robot-client/update/state.ts';
import { SwapClaims } from '../../robot-client/update/swap-claims.ts';
import { openAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { makeFleet, tarGz, type SignedBundle } from '../helpers/fleet.ts';
import { B } from '../robot-client/boot/boot-loaders.ts';
import { ModelMachine } from '../robot-client/boot/model-machine.ts';
import { file, folder, imageAt, link, type FolderImage } from './disk-image.ts';
import { ModelDisk } from './model-disk.ts';
import { MemoryLink, UNWATCHED } from './robot.ts';

export const NAMES = ['system', 'app'] as const;
export const [OLD, NEW] = ['1.0.0', '1.1.0'];
const COMMON = { bootsMax: 3, adoptVersion: '0.0.0' };
const IMAGE_BYTES = 16 * 1024;
const SLOT_BYTES = 32 * 1024;
/** Boots of one robot until it is at rest: more is a loop. */
const BOOTS_MAX = 20;

const fleet = makeFleet();
const chunks = new Map<Sha256Hex, Uint8Array>();
const systemOf = (version: string): Buffer => {
  const image = Buffer.alloc(IMAGE_BYTES);
  image.write(`system ${version}`, 300);
  return image;
};

async function bundleOf(name: string): Promise<SignedBundle> {
  if (name !== 'system') return await fleet.makeBundle({ version: NEW, manifest: { name } });
  const image = systemOf(NEW);
  const facts = { size: image.byteLength, sha256: sha256Hex(image) };
  const payload = await tarGz({ image: image.toString('latin1') });
  const manifest = { name, apply_strategy: 'slot_image', image: facts };
  return await fleet.makeBundle({ version: NEW, payload, manifest });
}

async function announceSet(): Promise<Announcement> {
  const all = await Promise.all(
    NAMES.map(async (name) => {
      const bundle = await bundleOf(name);
      for (const [hash, bytes] of bundle.chunks) chunks.set(hash, bytes);
      return { name, bundle, rollout: fleet.makeRollout(`s-${name}`, bundle) };
    }),
  );
  const members = all.map(({ name, bundle, rollout }) => ({
    ...{ rollout: rollout.id, component: name, version: NEW },
    payload_sha256: bundle.artifact.sha256,
  }));
  const set = { id: 's', members, image: 'system' };
  const rollouts = all.map(({ rollout }) => ({ ...rollout, set }));
  return openAnnouncement(fleet.announce(1, rollouts), fleet.trust);
}

const announcement = await announceSet();

const installed = (more: Parameters<typeof folder>[0]): FolderImage => {
  const state = folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) });
  const releases = folder({ [OLD]: folder({ 'VERSION.txt': file(`${OLD}\n`) }) });
  const empty = { bases: folder({}), staging: folder({}) };
  return folder({ releases, active: link(`releases/${OLD}`), state, ...empty, ...more });
};

const record = { version: OLD, sha256: sha256Hex(systemOf(OLD)), size: IMAGE_BYTES };

/** Both run 1.0.0, the system from slot A. */
export const START = folder({
  robot: folder({
    system: installed({
      strategies: folder({ [OLD]: file('slot_image\n', 0o600) }),
      'system-slots': folder({ A: file(JSON.stringify(record), 0o600) }),
    }),
    app: installed({}),
  }),
});
export const rootOf = (name: string): string => `/robot/${name}`;

/** The two slots as files. @param isStaged true when slot B holds the new image */
export async function slotsIn(
  folderOf: string,
  isStaged: boolean,
): Promise<ModelMachine['devices']> {
  const devices = { A: join(folderOf, 'a'), B: join(folderOf, 'b') };
  for (const [slot, path] of Object.entries(devices)) {
    const bytes = Buffer.alloc(SLOT_BYTES);
    if (slot === 'A' || isStaged) systemOf(slot === 'A' ? OLD : NEW).copy(bytes);
    await writeFile(path, bytes);
  }
  return devices;
}

export interface LifeOptions {
  readonly disk: ModelDisk;
  readonly machine: ModelMachine;
  readonly hooksFolder: string;
  /** Ends the life of the agent, as a power cut. */
  readonly cut?: AbortSignal;
  /** False for a `recover` without `--boot`. */
  readonly recoverAsks?: (boot: number) => boolean;
  /** False when the agent starts again and the machine does not: no `recover` runs. */
  readonly isBoot?: boolean;
  /** False while nothing is announced, as without a link to the broker. */
  readonly hears?: boolean;
  /** Called with the states of both at the end of each boot, also of the last one. */
  onEnd?(states: readonly MachineState[]): void;
  /** Called with what `recover` did at a boot, before the agent starts. */
  onBoot?(boot: number, recoveries: readonly Recovery[]): void;
}

/** Version that `active` of the application leads to. */
export function appIn(image: FolderImage): string {
  const found = imageAt(image, '/robot/app/active');
  return found?.kind === 'link' ? found.target.replace('releases/', '') : 'nothing';
}

const stateIn = (image: FolderImage, name: string): string => {
  const found = imageAt(image, `${rootOf(name)}/state/machine.json`);
  return found?.kind === 'file' ? new TextDecoder().decode(found.bytes) : '';
};

/** True when both bundles are staged: nothing was switched before that. */
export const areStaged = (image: FolderImage): boolean =>
  NAMES.every((name) => stateIn(image, name).includes('"phase":"waiting"'));

/** Null while the application belongs to the system that runs. */
export function mixture(image: FolderImage, machine: ModelMachine): string | null {
  const [system, app] = [machine.running === B ? NEW : OLD, appIn(image)];
  return system === app ? null : `app ${app} on system ${system}`;
}

/**
 * Boots until the robot is at rest, or until it is cut.
 * @returns versions of both; null when it was cut
 */
export async function live(on: LifeOptions): Promise<(string | null)[] | null> {
  for (let boot = 1; boot <= BOOTS_MAX; boot += 1) {
    if (boot > 1 || on.isBoot !== false) on.onBoot?.(boot, await recoverAll(on, boot));
    const robot = new Robot(on);
    try {
      const end = await robot.run();
      if (end === 'cut') return null;
      if (end === 'rest') return robot.versions;
    } finally {
      await robot.close();
      on.onEnd?.(robot.states);
    }
    on.machine.restart();
  }
  throw new Error(`the robot boots on and on: ${encodeMark(on.machine.mark)}`);
}

const imageSide = ({ disk, machine }: LifeOptions): SystemImage =>
  new SystemImage({ component: 'system', root: rootOf('system'), disk, side: machine });

export async function recoverAll(on: LifeOptions, boot: number): Promise<Recovery[]> {
  const siblings = NAMES.map(rootOf);
  const image = (on.recoverAsks?.(boot) ?? true) ? imageSide(on) : undefined;
  const recoveries: Recovery[] = [];
  for (const component of NAMES) {
    const asked = { ...COMMON, component, root: rootOf(component), disk: on.disk, siblings };
    recoveries.push(await recoverComponent({ ...asked, hooksFolder: '/no-hooks', image }));
  }
  return recoveries;
}

/** Both components of one robot, from a start of the agent until both are at rest. */
class Robot {
  readonly #components: readonly Component[];
  readonly #on: LifeOptions;
  #end: (how: 'rest' | 'reboot' | 'cut') => void = () => {};

  constructor(on: LifeOptions) {
    this.#on = on;
    const [claims, sets] = [new SwapClaims(), new SetBoard()];
    const { disk, machine, hooksFolder } = on;
    this.#components = NAMES.map(
      (component) =>
        new Component({
          ...UNWATCHED,
          ...{ ...COMMON, component, disk, sets, hooksFolder, image: imageSide(on) },
          layout: layoutOf(rootOf(component), NAMES.map(rootOf)),
          ...(component === 'system' && { system: machine }),
          claim: claims.of(component),
          link: new MemoryLink(chunks),
          trust: fleet.trust,
          interlock: { ...ALWAYS_OPEN, readyIntervalMs: 1 },
          onIdle: () => void this.#consider(),
        }),
    );
  }

  get versions(): (string | null)[] {
    return this.#components.map(({ view }) => view.version);
  }

  get states(): MachineState[] {
    return this.#components.map(({ view }) => view.state);
  }

  async run(): Promise<'rest' | 'reboot' | 'cut'> {
    const { cut, machine } = this.#on;
    const ended = new Promise<'rest' | 'reboot' | 'cut'>((resolve) => (this.#end = resolve));
    machine.onReboot = () => this.#end('reboot');
    cut?.addEventListener('abort', () => this.#end('cut'));
    if (cut?.aborted) return 'cut';
    for (const one of this.#components) await one.load();
    for (const one of this.#components) await one.start();
    return await ended;
  }

  async close(): Promise<void> {
    for (const one of this.#components) await one.close();
  }

  async #consider(): Promise<void> {
    const heard = { progress: new Map(), completeSince: new Map() };
    const offered = this.#on.hears === false ? null : announcement;
    for (const one of this.#components) await one.consider(offered, heard);
    // With nothing on offer it rests when it has also found out what runs.
    const isAtRest = ({ view }: Component): boolean =>
      view.state.phase === 'idle' && (offered !== null || view.live.module !== undefined);
    if (this.#components.every(isAtRest)) this.#end('rest');
  }
}
