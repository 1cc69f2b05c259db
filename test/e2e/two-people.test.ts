/**
 * Two of three keys for each role, on several machines and devices: no key signs twice, none is
 * ever in the same command as another, and one of each three is lost and replaced.
 */

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Child } from '../helpers/child.ts';
import { startBrokerChild } from './broker-child.ts';
import { agentKey, hasSigningPeers, opensslKey, tokenKey, type DeviceKey } from './signing-keys.ts';
import { Site, type Robot } from './site.ts';
import { makeKey } from './site-making.ts';

const ROLES = ['root', 'release', 'rollout'] as const;
type RoleName = (typeof ROLES)[number];
/** Keys `a`, `c` and `d` are files; `b` is on a device, of another kind for each role. */
type Device = Readonly<Record<RoleName, DeviceKey>>;

class Fleet {
  readonly site: Site;
  readonly device: Device;
  readonly announcement: string;
  url = '';

  constructor(site: Site, device: Device) {
    this.site = site;
    this.device = device;
    this.announcement = site.path('next.announcement');
  }

  /** `a`, `b` and another one may sign for the role. */
  trio(role: RoleName, third: string): string[] {
    const files = ['a', third].map((name) => this.site.path(`${role}-${name}.pub`));
    return [...files, this.device[role].publicKey].flatMap((file) => [`--${role}`, file]);
  }

  trust(version: 1 | 2): string[] {
    return ['--trust', this.site.path(version === 1 ? 'trust.json' : 'trust-2.json')];
  }

  by(key: string): string[] {
    return ['--key', this.site.path(`${key}.key`)];
  }

  byDevice(role: RoleName): string[] {
    return ['--sign-command', this.device[role].signCommand];
  }

  async run(...words: string[]): Promise<Child> {
    return await this.site.tryDrover({}, ...words);
  }

  async publish(version: string, ...more: string[]): Promise<Child> {
    const bundle = this.site.path('bundles', version);
    return await this.run('publish', bundle, '--broker', this.url, '--soak', '0s', ...more);
  }

  async announce(file: string, trust: 1 | 2): Promise<Child> {
    return await this.run('announce', file, '--broker', this.url, ...this.trust(trust));
  }
}

async function openFleet(t: TestContext): Promise<Fleet> {
  const site = await Site.open(t);
  for (const role of ROLES) {
    for (const name of ['a', 'c', 'd']) await makeKey(site.path(`${role}-${name}`));
  }
  const fleet = new Fleet(site, {
    root: opensslKey(site.folder, 'root-b'),
    release: tokenKey(site.folder, 'release-b'),
    rollout: await agentKey(t, site.folder, 'rollout-b'),
  });
  await rm(site.path('trust.json')); // one key for each role
  const two = ROLES.flatMap((role) => [...fleet.trio(role, 'c'), `--${role}-threshold`, '2']);
  const out = ['--fleet', 'test', '--out', site.path('trust.json')];
  await site.drover('trust', 'init', ...two, ...out);
  return fleet;
}

function assertRefused(child: Child, code: number, words: RegExp): void {
  assert.equal(child.ended?.code, code, child.describe());
  assert.match(child.describe(), words);
}

/** The first release, whose second signature comes from a PKCS#11 token. */
async function signRelease(fleet: Fleet): Promise<void> {
  const bundle = await fleet.site.bundle('1.0.0');
  await rm(join(bundle, 'signature.sig')); // of the one key that other tests have
  await fleet.site.drover('sign', bundle, ...fleet.by('release-a'));
  const alone = await fleet.run('verify', bundle, ...fleet.trust(1));
  assertRefused(alone, 3, /BUNDLE_SIGNATURES_TOO_FEW/);
  const words = ['sign', bundle, '--add', ...fleet.byDevice('release')];
  assertRefused(await fleet.run(...words), 2, /name it with --public-key/);
  const named = ['--public-key', fleet.device.release.publicKey];
  assert.match(await fleet.site.drover(...words, ...named), /\(2 in all\)/);
  await fleet.site.drover('verify', bundle, ...fleet.trust(1));
}

/** It goes from hand to hand, and out only when two have signed. */
async function announceByTwo(fleet: Fleet): Promise<void> {
  const { announcement, site } = fleet;
  const words = ['--waves', '100', ...fleet.trust(1), ...fleet.by('rollout-a')];
  assertRefused(await fleet.publish('1.0.0', ...words), 3, /ENVELOPE_SIGNATURES_TOO_FEW/);
  const first = await fleet.publish('1.0.0', ...words, '--announcement-out', announcement);
  assert.match(first.stdout, /signed, not announced yet/, first.describe());
  assert.match(first.stdout, /1 of 2 signatures; next: drover sign .*next.announcement --add/);
  assertRefused(await fleet.announce(announcement, 1), 3, /ENVELOPE_SIGNATURES_TOO_FEW/);

  const sign = ['sign', announcement, '--add', ...fleet.trust(1)];
  const told = await site.drover(...sign, ...fleet.byDevice('rollout'));
  assert.match(told, /rollout app-1-0-0-\w+: app 1\.0\.0, waves 100 percent, soak 0, all robots/);
  assert.match(told, /2 of 2 signatures; next: drover announce/);
  const again = await site.drover(...sign, ...fleet.byDevice('rollout'));
  assert.match(again, /2 of 2 signatures/, 'a key signs once');
  const stranger = await fleet.run(...sign, ...fleet.by('release-a'));
  assertRefused(stranger, 3, /ENVELOPE_KEY_UNKNOWN/);

  const out = await fleet.announce(announcement, 1);
  assert.match(out.stdout, /announced seq \d+/, out.describe());
  assert.match((await fleet.announce(announcement, 1)).stdout, /is announced already/);
}

/** The keys `c` are lost: those that are left put `d` in their place. */
async function replaceLost(fleet: Fleet): Promise<void> {
  const { site } = fleet;
  const update = site.path('trust-2.json.update');
  const keys = ROLES.flatMap((role) => fleet.trio(role, 'd'));
  const out = ['--out', site.path('trust-2.json'), ...fleet.by('root-a')];
  const rotated = await site.drover('trust', 'rotate', ...fleet.trust(1), ...keys, ...out);
  assert.match(rotated, /lacks 1/);
  const signed = ['trust', 'sign', update, ...fleet.trust(1), ...fleet.byDevice('root')];
  assert.match(await site.drover(...signed), /next: drover trust publish/);
  await site.drover('trust', 'publish', update, ...fleet.trust(1), '--broker', fleet.url);
}

/** A second file that was made on the same announcement comes too late. */
async function announceNext(fleet: Fleet, robot: Robot): Promise<void> {
  const { announcement, site } = fleet;
  const bundle = await site.bundle('1.1.0');
  await rm(join(bundle, 'signature.sig'));
  await site.drover('sign', bundle, ...fleet.by('release-d'));
  await site.drover('sign', bundle, '--add', ...fleet.byDevice('release'), ...fleet.trust(2));
  await rm(announcement); // of the one before, which is out
  const words = ['--waves', '50,100', ...fleet.trust(2), ...fleet.by('rollout-d')];
  const first = await fleet.publish('1.1.0', ...words, '--announcement-out', announcement);
  assert.equal(first.ended?.code, 0, first.describe());
  const late = site.path('late.announcement');
  await writeFile(late, await readFile(announcement));
  const sign = (file: string, by: string[]) =>
    site.drover('sign', file, '--add', ...fleet.trust(2), ...by);
  await sign(announcement, fleet.byDevice('rollout'));
  assert.equal((await fleet.announce(announcement, 2)).ended?.code, 0);
  await robot.runs('1.1.0'); // the controller signs its progress with a key on a device as well
  await sign(late, fleet.by('rollout-a'));
  assertRefused(await fleet.announce(late, 2), 3, /SEQ_CONFLICT/);
}

test('a fleet lives on two of three keys, some of them on devices, and some lost', async (t) => {
  if (!hasSigningPeers(t)) return;
  const fleet = await openFleet(t);
  const broker = await startBrokerChild(t, {
    args: [
      ...fleet.trust(1),
      ...['--rollout-key', fleet.site.path('rollout-a.key')],
      ...['--rollout-sign-command', fleet.device.rollout.signCommand],
      ...['--controller-start', '0s', '--lease', '8s'],
    ],
  });
  fleet.url = broker.url;
  const robot = fleet.site.robot('r1', broker.url);
  await signRelease(fleet);
  await announceByTwo(fleet);
  await robot.runs('1.0.0');
  await replaceLost(fleet);
  await announceNext(fleet, robot);
});
