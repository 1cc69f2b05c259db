/**
 * A disk that dies by parts: real EIO from the block layer on reads of a release, on reads of the
 * state, and on every write. `recover` leads to a release or reports the reason, and neither it nor
 * the agent removes what `active` or `rollback` lead to.
 */

import assert from 'node:assert/strict';
import { readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { requireBlockDevices } from '../helpers/block-device.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { FAILING_DISK_PROGRAMS, FailingDisk } from '../power/failing-disk.ts';
import { HardRound } from './hard-round.ts';
import { KillSite } from './kill-site.ts';
import { whatBoots } from './tree-check.ts';
import type { AppVersion } from './versions.ts';

const APP = { fileCount: 8, fileBytes: 16_000, chunkBytes: 64 * 1024 };
const WRITE_CODES = ['DISK_READ_ONLY', 'DISK_WRITE_FAILED'];

interface Recovered {
  readonly code: number | null;
  readonly components: readonly { version: string | null; actions: string[] }[];
  readonly text: string;
}

/** A robot on a disk of its own. */
class Patient {
  readonly disk: FailingDisk;
  readonly site: KillSite;
  readonly round: HardRound;

  private constructor(disk: FailingDisk, site: KillSite) {
    this.disk = disk;
    this.site = site;
    const root = join(disk.folder, 'robot');
    this.round = new HardRound(site, 'r1', { root, random: Math.random });
  }

  static async open(t: TestContext): Promise<Patient> {
    const disk = await FailingDisk.open(t);
    return new Patient(disk, await KillSite.open(t, APP));
  }

  /**
   * Installs two versions, one to go back to; kills the agent, so that `recover` reads every byte.
   */
  async withTwo(): Promise<[AppVersion, AppVersion]> {
    const agent = await this.round.installed();
    const to = await this.round.announce();
    await this.round.ends(to, agent);
    await this.round.killed(agent);
    return this.round.known as [AppVersion, AppVersion];
  }

  at(...parts: string[]): string {
    return join(this.round.root, ...parts);
  }

  /** After a boot, reads of what stands at `path` fail. */
  async unreadable(path: string): Promise<void> {
    const sectors = this.disk.sectorsOf(path);
    await this.disk.comeBack({ kind: 'reads', sectors });
  }

  async recover(): Promise<Recovered> {
    const child = this.site.startRecover('r1', { root: this.round.root });
    const { code } = await child.exit;
    const text = child.describe();
    const said = child.stdout === '' ? { components: [] } : (JSON.parse(child.stdout) as object);
    const { components = [] } = said as { components?: Recovered['components'] };
    return { code, components, text };
  }

  async boots(): Promise<string | null> {
    return (await whatBoots(this.round.root, this.round.known)).app?.version ?? null;
  }

  /** The agent on the repaired disk takes the next version. */
  async mends(): Promise<void> {
    await this.disk.mend();
    const agent = this.round.start();
    await this.round.ends(await this.round.announce(), agent);
    await agent.stop();
  }
}

const canRun = (t: TestContext): boolean =>
  requireBlockDevices(t, FAILING_DISK_PROGRAMS, ['/dev/fuse']);

test('a release of which the disk cannot read a file is left for the one before', async (t) => {
  if (!canRun(t)) return;
  const patient = await Patient.open(t);
  const [before, after] = await patient.withTwo();
  await patient.unreadable(patient.at('releases', after.version, 'VERSION'));
  await assert.rejects(readFile(patient.at('active/VERSION')), { code: 'EIO' });
  const { code, text } = await patient.recover();
  assert.equal(code, 0, text);
  assert.match(text, /RELEASE_DAMAGED/);
  assert.equal(await patient.boots(), before.version);
  await patient.mends();
});

test('the running release stays when the disk cannot read the release before', async (t) => {
  if (!canRun(t)) return;
  const patient = await Patient.open(t);
  const [before, after] = await patient.withTwo();
  await patient.unreadable(patient.at('releases', before.version, 'VERSION'));
  const { code, text } = await patient.recover();
  assert.equal(code, 0, text);
  assert.equal(await patient.boots(), after.version);
  await patient.mends();
});

test('a damaged release stays when the disk cannot read the one before, and it is said', async (t) => {
  if (!canRun(t)) return;
  const patient = await Patient.open(t);
  const [before, after] = await patient.withTwo();
  await rm(patient.at('releases', after.version, 'VERSION'));
  await patient.unreadable(patient.at('releases', before.version, 'VERSION'));
  const links = () => Promise.all(['active', 'rollback'].map((one) => readlink(patient.at(one))));
  const led = await links();
  const { code, text } = await patient.recover();
  assert.equal(code, 3, text);
  assert.match(text, /RELEASE_DAMAGED/);
  const problem =
    /"code": ?"DISK_WRITE_FAILED",\s*"message": ?"look at [\d.]+, the way back: [^"]*EIO/;
  assert.match(text, problem, 'the disk could not read the way back');
  assert.deepEqual(await links(), led, 'a release that cannot be read is no better');
  const agent = patient.round.start();
  await waitUntil(
    'the fleet to hear of the release',
    async () => {
      if (agent.ended) throw new Error('the agent ended');
      return (await patient.site.codeOf('r1')) === 'RELEASE_DAMAGED';
    },
    { timeoutMs: 60_000, look: () => agent.describe() },
  );
  await patient.round.killed(agent);
  assert.deepEqual(await links(), led);
  await patient.mends();
});

test('an adopted application that the disk cannot read is left for its rollback', async (t) => {
  if (!canRun(t)) return;
  const patient = await Patient.open(t);
  const { site, round } = patient;
  const old = await site.placeByHand(patient.at('rollback'), '0.0.0-rollback');
  round.known.push(old, await site.placeByHand(patient.at('active'), '0.0.0'));
  assert.equal((await patient.recover()).code, 0);
  assert.equal(await patient.boots(), '0.0.0');
  await patient.unreadable(patient.at('releases/0.0.0/VERSION'));
  const { code, text } = await patient.recover();
  assert.equal(code, 0, text);
  assert.match(text, /RELEASE_DAMAGED/);
  assert.equal(await patient.boots(), '0.0.0-rollback');
});

test('a state that the disk cannot read counts as lost', async (t) => {
  if (!canRun(t)) return;
  const patient = await Patient.open(t);
  const [before, after] = await patient.withTwo();
  await patient.unreadable(patient.at('state/machine.json'));
  const { code, text } = await patient.recover();
  assert.equal(code, 0, text);
  assert.match(text, /STATE_LOST/);
  // The kernel reads ahead around a bad sector; then a file of the release may fail as well.
  const isHit = /RELEASE_DAMAGED/.test(text);
  if (isHit) assert.match(text, /look at release .*EIO/);
  else assert.match(text, /"phase": ?"probation"/);
  assert.equal(await patient.boots(), isHit ? before.version : after.version);
  await patient.mends();
});

for (const kind of ['writes', 'flushes'] as const) {
  test(`a disk on which ${kind} fail keeps the release that boots, and the robot reports it`, async (t) => {
    if (!canRun(t)) return;
    const patient = await Patient.open(t);
    const [, after] = await patient.withTwo();
    await patient.disk.fallSick({ kind });
    const { code, text } = await patient.recover();
    assert.equal(code, 3, text);
    assert.match(text, /DISK_READ_ONLY|DISK_WRITE_FAILED/);
    assert.equal(await patient.boots(), after.version);
    const agent = patient.round.start();
    await patient.round.announce();
    await waitUntil(
      'the fleet to hear of the disk',
      async () => {
        if (agent.ended) throw new Error('the agent ended');
        return WRITE_CODES.includes((await patient.site.codeOf('r1')) ?? '');
      },
      { timeoutMs: 60_000, look: () => agent.describe() },
    );
    await patient.round.killed(agent);
    assert.equal(await patient.boots(), after.version);
    await patient.mends();
  });
}
