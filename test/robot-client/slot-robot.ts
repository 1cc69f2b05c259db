/**
 * A robot with two system slots for tests: the real component on the real disk, files in place of
 * the slots, and a boot loader in memory whose restarts start the agent again.
 */

import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ComponentOptions } from '../../robot-client/component-options.ts';
import { reportComponent } from '../../robot-client/fleet/report.ts';
import { ALWAYS_OPEN, type InterlockRules } from '../../robot-client/local/interlock.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { tarGz, type SignedBundle } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { Bench, fleet, OLD } from './bench.ts';
import { A } from './boot/boot-loaders.ts';
import { ModelMachine } from './boot/model-machine.ts';

export const NEW = '1.1.0';
export const SLOT_BYTES = 640 * 1024;
export const IMAGE_BYTES = 400_000;

/** Mostly zeroes, as images are: it packs to far less than any tree may. */
export const imageOf = (version: string): Buffer => {
  const image = Buffer.alloc(IMAGE_BYTES);
  image.write(`system ${version}`, 300_000);
  return image;
};

export async function bundleOf(version: string, image = imageOf(version)): Promise<SignedBundle> {
  const payload = await tarGz({ image: image.toString('latin1') });
  const facts = { size: image.byteLength, sha256: sha256Hex(image) };
  const manifest = { apply_strategy: 'slot_image', image: facts };
  return await fleet.makeBundle({ version, payload, manifest });
}

export interface Robot {
  readonly bench: Bench;
  readonly machine: ModelMachine;
  /** The bytes of a slot. */
  readonly slot: (name: 'A' | 'B') => Promise<Buffer>;
}

interface RobotOptions {
  readonly reports?: boolean;
  readonly hasBoot?: boolean;
  readonly rules?: Partial<InterlockRules>;
  /** The image in slot A. */
  readonly image?: Buffer;
  readonly more?: Partial<ComponentOptions>;
}

/** A robot that runs 1.0.0 from slot A, as this agent wrote it there. */
export async function robotWith(t: TestContext, options: RobotOptions = {}): Promise<Robot> {
  const { reports = true, hasBoot = true, rules = {}, image = imageOf(OLD) } = options;
  const [folder, devices] = [await tempFolder(t), await tempFolder(t)];
  const machine = new ModelMachine();
  machine.reports = reports;
  machine.devices = { A: join(devices, 'a'), B: join(devices, 'b') };
  for (const path of Object.values(machine.devices)) {
    await writeFile(path, path === machine.devices.A ? image : '');
    await truncate(path, SLOT_BYTES);
  }
  await mkdir(join(folder, 'strategies'));
  await writeFile(join(folder, 'strategies', OLD), 'slot_image\n');
  await mkdir(join(folder, 'system-slots'));
  const record = { version: OLD, sha256: sha256Hex(image), size: image.byteLength };
  await writeFile(join(folder, 'system-slots', A), JSON.stringify(record));
  const interlock = { ...ALWAYS_OPEN, readyIntervalMs: 10, ...rules };
  const own = { healthIntervalMs: 5, interlock, ...(hasBoot && { system: machine }) };
  const more = { ...own, ...options.more };
  const bench = await Bench.open(t, more, folder);
  machine.onReboot = () => setImmediate(() => void restart({ bench, machine }));
  const slot = (name: 'A' | 'B'): Promise<Buffer> => readFile(machine.devices[name] ?? '');
  return { bench, machine, slot };
}

export async function restart({ bench, machine }: Pick<Robot, 'bench' | 'machine'>): Promise<void> {
  machine.restart();
  await bench.cutPower();
}

export async function offered({ bench }: Robot, version: string): Promise<void> {
  bench.announce(await bundleOf(version), version);
}

export const blockOf = ({ bench }: Robot, version = NEW): string | undefined =>
  bench.component.view.state.blocked.find((one) => one.version === version)?.code;

export const errorOf = ({ bench }: Robot): string | undefined =>
  reportComponent(bench.component.view).last_error?.code;
