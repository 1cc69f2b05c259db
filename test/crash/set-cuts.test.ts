/**
 * A set of two bundles on the model disk, with the power cut after any operation of it: `recover`
 * runs for each root alone, then the agent, and in the end the robot runs both or none.
 */

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { Component } from '../../robot-client/component.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import { recoverComponent } from '../../robot-client/recover/recover.ts';
import { SetBoard } from '../../robot-client/update/set-board.ts';
import { encodeMachineState, freshState } from '../../robot-client/update/state.ts';
import { SwapClaims } from '../../robot-client/update/swap-claims.ts';
import { openAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { crashStates } from './crash-states.ts';
import { file, folder, imageKey, link, type FolderImage } from './disk-image.ts';
import { ModelDisk } from './model-disk.ts';
import { MemoryLink, UNWATCHED } from './robot.ts';

const NAMES = ['system', 'app'];
const [OLD, NEW] = ['1.0.0', '1.1.0'];
const ONE_IN = 400;
const COMMON = { bootsMax: 3, adoptVersion: '0.0.0' };

const fleet = makeFleet();
const chunks = new Map<Sha256Hex, Uint8Array>();
const announcement = await announceSet();

async function announceSet(): Promise<Announcement> {
  const all = await Promise.all(
    NAMES.map(async (name) => {
      const bundle = await fleet.makeBundle({ version: NEW, manifest: { name } });
      for (const [hash, bytes] of bundle.chunks) chunks.set(hash, bytes);
      return { name, bundle, rollout: fleet.makeRollout(`s-${name}`, bundle) };
    }),
  );
  const members = all.map(({ name, bundle, rollout }) => ({
    ...{ rollout: rollout.id, component: name, version: NEW },
    payload_sha256: bundle.artifact.sha256,
  }));
  const rollouts = all.map(({ rollout }) => ({ ...rollout, set: { id: 's', members } }));
  return openAnnouncement(fleet.announce(1, rollouts), fleet.trust);
}

const installed = (): FolderImage => {
  const state = folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) });
  const releases = folder({ [OLD]: folder({ 'VERSION.txt': file(`${OLD}\n`) }) });
  const empty = { bases: folder({}), staging: folder({}) };
  return folder({ releases, active: link(`releases/${OLD}`), state, ...empty });
};
const START = folder({ robot: folder({ system: installed(), app: installed() }) });
const rootOf = (name: string): string => `/robot/${name}`;

/** Both components of one robot, from the start of the agent until both are at rest. */
class Robot {
  readonly components: readonly Component[];
  #atRest: () => void = () => {};

  constructor(disk: ModelDisk, hooksFolder: string) {
    const [claims, sets] = [new SwapClaims(), new SetBoard()];
    this.components = NAMES.map(
      (component) =>
        new Component({
          ...UNWATCHED,
          ...{ ...COMMON, component, disk, sets, hooksFolder },
          layout: layoutOf(rootOf(component), NAMES.map(rootOf)),
          claim: claims.of(component),
          link: new MemoryLink(chunks),
          trust: fleet.trust,
          onIdle: () => void this.#consider(),
        }),
    );
  }

  get versions(): (string | null)[] {
    return this.components.map(({ view }) => view.version);
  }

  async run(): Promise<void> {
    const rest = new Promise<void>((resolve) => (this.#atRest = resolve));
    for (const one of this.components) await one.load();
    for (const one of this.components) await one.start();
    await rest;
  }

  async close(): Promise<void> {
    for (const one of this.components) await one.close();
  }

  async #consider(): Promise<void> {
    const heard = { progress: new Map(), completeSince: new Map() };
    for (const one of this.components) await one.consider(announcement, heard);
    if (this.components.every(({ view }) => view.state.phase === 'idle')) this.#atRest();
  }
}

interface Case {
  readonly name: string;
  readonly hooks: string;
  readonly ends: string;
}

/** Boots that image as a robot does, and returns the versions that it runs in the end. */
async function bootFrom(image: FolderImage, hooksFolder: string): Promise<(string | null)[]> {
  const disk = new ModelDisk(image);
  for (const component of NAMES) {
    const siblings = NAMES.map(rootOf);
    const asked = { ...COMMON, component, root: rootOf(component), disk, siblings };
    await recoverComponent({ ...asked, hooksFolder: '/no-hooks' });
  }
  const robot = new Robot(disk, hooksFolder);
  try {
    await robot.run();
    return robot.versions;
  } finally {
    await robot.close();
  }
}

/** The component and its step, without the file. */
const kindOf = ({ at }: { readonly at: string }): string => at.split('/').slice(0, 4).join('/');

async function hooksOf(t: TestContext, script: string): Promise<string> {
  if (script === '') return '/no-hooks';
  const at = await tempFolder(t);
  await writeFile(`${at}/start`, `#!/bin/sh\n${script}\n`);
  await chmod(`${at}/start`, 0o755);
  return at;
}

const CASES: readonly Case[] = [
  { name: 'that is good', hooks: '', ends: NEW },
  {
    name: 'whose second bundle does not start',
    hooks: `[ "$DROVER_COMPONENT$DROVER_VERSION" != "app${NEW}" ]`,
    ends: OLD,
  },
];

describe('a power cut after any operation of a set', () => {
  for (const { name, hooks, ends } of CASES) {
    it(`${name}: the robot runs all of it or none of it`, async (t) => {
      const hooksFolder = await hooksOf(t, hooks);
      const found: { at: string; image: FolderImage }[] = [];
      const seen = new Set<string>();
      const disk = new ModelDisk(START);
      disk.hooks = {
        onOperation: (operation, path) => {
          for (const image of crashStates(disk)) {
            const key = imageKey(image);
            if (seen.has(key)) continue;
            seen.add(key);
            found.push({ at: `${operation} ${path}`, image });
          }
        },
      };
      const robot = new Robot(disk, hooksFolder);
      await robot.run();
      await robot.close();
      assert.deepEqual(robot.versions, [ends, ends]);
      assert.ok(seen.size > 300, `${seen.size} states`);
      const share = new Share(ONE_IN, seedOfRun());
      t.diagnostic(`${seen.size} states, ${share.said}`);
      for (const { at, image } of share.of(found, kindOf)) {
        assert.deepEqual(await bootFrom(image, hooksFolder), [ends, ends], at);
      }
    });
  }
});
