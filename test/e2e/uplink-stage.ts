/**
 * A cloud and two sites behind relays, each in a network namespace of its own, so that a byte can
 * only come over a cable that is counted. Every program is a real process, with credentials on both
 * sides of each relay's link. The kernel counts all frames on each site's cable, both ways.
 */

import { randomFillSync } from 'node:crypto';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NetStage, type Place, type Traffic } from '../helpers/net-stage.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import type { Role } from '../../broker/access/access.ts';
import { makeToken } from '../../broker/access/credentials.ts';
import type { Login } from './credentials.ts';
import type { ApiRobot } from './relay-child.ts';
import { Site } from './site.ts';

const MiB = 1024 * 1024;
const VERSION = '1.0.0';
const SITES = ['a', 'b'] as const;
const ROBOTS = new URL('./site-robots.js', import.meta.url);

export interface UplinkRun {
  readonly bundleBytes: number;
  readonly robots: number;
  readonly seconds: number;
  readonly sites: readonly { readonly name: string; readonly traffic: Traffic }[];
  /** The bytes on the busiest cable, both ways together, in multiples of the bundle. */
  readonly ratio: number;
}

interface Cloud {
  readonly api: string;
  readonly token: string;
  readonly child: Child;
}

/** Cleans up behind itself in `scope`. */
export async function runUplink(
  scope: Scope,
  size: { mebibytes: number; robotsPerSite: number; timeoutMs: number },
): Promise<UplinkRun> {
  const site = await Site.open(scope);
  const stage = new NetStage(scope);
  const users = await makeUsers(site);
  const cloud = await startCloud(stage, site, users);
  const bundle = await makeBundle(site, size.mebibytes);
  const places = SITES.map((name, at) => ({ name, place: stage.place(at + 1) }));
  for (const one of places) await startSite(one, site, { users, count: size.robotsPerSite });
  const robots = SITES.length * size.robotsPerSite;
  await untilFleet(cloud, `${robots} robots`, 60_000, (fleet) => {
    return fleet.length === robots && fleet.every((robot) => robot.online);
  });

  const before = places.map(({ place }) => place.traffic);
  const startedMs = performance.now();
  await publish(stage, site, bundle, users.publisher);
  await untilFleet(cloud, `${VERSION} everywhere`, size.timeoutMs, (fleet) =>
    fleet.every(({ version, phase, via }) => {
      return version === VERSION && phase === 'idle' && via?.startsWith('site-') === true;
    }),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  const sites = places.map(({ name, place }, at) => ({
    name,
    traffic: between(before[at] as Traffic, place.traffic),
  }));
  const bundleBytes = size.mebibytes * MiB;
  const ratio = Math.max(...sites.map(({ traffic }) => (traffic.up + traffic.down) / bundleBytes));
  return { bundleBytes, robots, seconds, sites, ratio };
}

const between = (a: Traffic, b: Traffic): Traffic => ({ up: b.up - a.up, down: b.down - a.down });

interface Users {
  readonly file: string;
  readonly publisher: Login;
  readonly technician: Login;
  readonly relays: readonly Login[];
}

async function makeUsers(site: Site): Promise<Users> {
  const file = site.path('credentials.json');
  const make = (username: string, role: Role) => ({ username, role, ...makeToken() });
  const relays = SITES.map((name) => make(`site-${name}`, 'relay'));
  const [publisher, technician] = [make('ci', 'publisher'), make('eye', 'technician')];
  const users = [publisher, technician, ...relays].map(({ username, role, sha256 }) => {
    return { username, role, token_sha256: sha256 };
  });
  await writeFile(file, JSON.stringify({ users }));
  const login = ({ username, token }: { username: string; token: string }): Login => {
    return { username, password: token };
  };
  return {
    file,
    publisher: login(publisher),
    technician: login(technician),
    relays: relays.map(login),
  };
}

async function startCloud(stage: NetStage, site: Site, users: Users): Promise<Cloud> {
  const child = stage.run('broker', [
    ...['--data', site.path('cloud'), '--host', '0.0.0.0', '--mqtt', '1883', '--http', '8080'],
    ...['--trust', site.path('trust.json'), '--credentials', users.file, '--json'],
  ]);
  await child.waitForOutput(/^\{"mqtt":/m, 30_000);
  return { api: `http://${stage.centre}:8080`, token: users.technician.password, child };
}

/** A relay and its robots; to robots the relay is the only broker there is. */
async function startSite(
  { name, place }: { name: string; place: Place },
  site: Site,
  { users, count }: { users: Users; count: number },
): Promise<void> {
  const login = users.relays.find(({ username }) => username === `site-${name}`);
  if (!login) throw new Error(`no credential of ${name}`);
  const passwordFile = site.path(`password-${name}`);
  await writeFile(passwordFile, login.password);
  const trust = site.path('trust.json');
  const relay = place.run('broker', [
    ...['--data', site.path(`relay-${name}`), '--mqtt', '1883', '--http', '8080', '--json'],
    ...['--trust', trust, '--upstream', `mqtt://${place.centre}:1883`],
    ...['--upstream-name', `site-${name}`, '--upstream-username', login.username],
    ...['--upstream-password-file', passwordFile],
  ]);
  await relay.waitForOutput(/^\{"mqtt":/m, 30_000);
  const folder = site.path(`robots-${name}`);
  const robots = [`${name}-`, String(count), 'mqtt://127.0.0.1:1883', trust, folder];
  await place.run(ROBOTS, robots).waitForOutput(/^ready$/m, 60_000);
}

/** Noise, so that what travels is as large as what was built. */
async function makeBundle(site: Site, mebibytes: number): Promise<string> {
  const app = site.path('app');
  await mkdir(app);
  const file = await open(join(app, 'noise'), 'w');
  const block = Buffer.alloc(MiB);
  for (let at = 0; at < mebibytes; at += 1) await file.write(randomFillSync(block));
  await file.close();
  const bundle = site.path('bundle');
  await site.drover('build', app, '--version', VERSION, '--arch', 'any', '--out', bundle);
  await site.drover('sign', bundle, '--key', site.path('release.key'));
  await rm(app, { recursive: true });
  return bundle;
}

async function publish(stage: NetStage, site: Site, bundle: string, who: Login): Promise<void> {
  const env = { DROVER_USERNAME: who.username, DROVER_PASSWORD: who.password };
  const args = site.publishArgs('mqtt://127.0.0.1:1883', bundle);
  const child = stage.run('publisher', args, { env });
  await child.exit;
  if (child.ended?.code !== 0) throw new Error(child.describe());
}

async function untilFleet(
  cloud: Cloud,
  what: string,
  timeoutMs: number,
  holds: (fleet: readonly ApiRobot[]) => boolean,
): Promise<void> {
  let last = '';
  await waitUntil(
    what,
    async () => {
      const headers = { authorization: `Bearer ${cloud.token}` };
      const response = await fetch(`${cloud.api}/robots`, { headers });
      const { robots } = (await response.json()) as { robots: ApiRobot[] };
      last = robots.map(({ robot_id, version, phase }) => [robot_id, version, phase]).join(' ');
      return holds(robots);
    },
    { timeoutMs, look: () => `${last}\n${cloud.child.describe()}` },
  );
}
