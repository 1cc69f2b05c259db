/** `drover doctor`: each finding that facts lead to, and none that they do not. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { examine, findingLines, hasFailed } from '../../../publisher/doctor/examine.ts';
import {
  known,
  unknown,
  type ApiFacts,
  type BrokerFacts,
  type Fact,
  type DoctorFacts,
  type RobotsFacts,
} from '../../../publisher/doctor/facts.ts';
import { FleetView } from '../../../publisher/rollout/fleet-report.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { publicKeyOf, seedSigner } from '../../../shared/crypto/ed25519.ts';
import { signAnnouncement, type RolloutFields } from '../../../shared/formats/announcement.ts';
import { signLease } from '../../../shared/formats/lease.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { encodeMessage, type ComponentStateFields } from '../../../shared/formats/messages.ts';
import { robotTopic } from '../../../shared/formats/topics.ts';
import type { TrustRoot } from '../../../shared/formats/trust.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const DAY = 86_400_000;
const at = (days: number): string => new Date(NOW + days * DAY).toISOString();

const [RELEASE, ROLLOUT, OTHER] = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const roleOf = (...seeds: Uint8Array[]) => ({ keys: seeds.map(publicKeyOf), threshold: 1 });
const TRUST: TrustRoot = {
  ...{ version: 2, fleet: 'acme', expires: NOW + 200 * DAY },
  roles: { root: roleOf(RELEASE), release: roleOf(RELEASE), rollout: roleOf(ROLLOUT) },
};

const failed = (code: ErrorCode): Fact<never> => ({
  kind: 'failed',
  problem: toProblem(new DroverError(code, 'it failed')),
});

const NO_ROBOTS: RobotsFacts = { rows: [], invalid: 0, isWhole: true };
const BROKER: BrokerFacts = {
  login: known({ username: 'ci' }),
  control: known({ announcement: null, lease: null, trustVersions: [] }),
  robots: known(NO_ROBOTS),
};
const API: ApiFacts = {
  ...{ aheadMs: 400, isHealthy: true, problems: [] },
  user: { name: 'ci', role: 'publisher', needsSignIn: true },
  engine: known({ isOwn: true }),
};
const GOOD: DoctorFacts = {
  ...{ now: NOW, node: '20.19.0', drover: '0.1.0' },
  disk: known({ folder: '/w', freeBytes: 2 ** 40 }),
  trust: known(TRUST),
  trustUnsafe: null,
  keys: [{ path: 'k', key: known({ publicKey: publicKeyOf(ROLLOUT), openMode: null }) }],
  brokerDoors: [{ address: 'b:1883', reach: known({ certificate: null }) }],
  broker: BROKER,
  apiDoor: { address: 'b:8080', reach: known({ certificate: null }) },
  api: known(API),
  bundle: unknown('none was given'),
};

/** `verdict text` of the findings about one subject. */
const told = (facts: DoctorFacts, check: string): string[] =>
  examine(facts)
    .filter((one) => one.check === check)
    .map(({ verdict, text }) => `${verdict} ${text}`);

const withApi = (more: Partial<ApiFacts>): DoctorFacts => ({
  ...GOOD,
  api: known({ ...API, ...more }),
});
const withBroker = (more: Partial<BrokerFacts>): DoctorFacts => ({
  ...GOOD,
  broker: { ...BROKER, ...more },
});

function robots(states: Readonly<Record<string, Partial<ComponentStateFields>>>): RobotsFacts {
  const view = new FleetView();
  for (const [robot, more] of Object.entries(states)) {
    const component = { name: 'app', version: '1.0.0', phase: 'idle' as const, ...more };
    const state = { robot_id: robot, at: at(0), arch: 'x86_64', components: [component] };
    view.take(robotTopic(robot as RobotId, 'state'), encodeMessage(state));
    view.take(robotTopic(robot as RobotId, 'online'), encodeMessage({ online: true }));
  }
  return { rows: view.rows, invalid: 0, isWhole: true };
}

const errorOf = (code: string) => ({ last_error: { code, message: 'no', at: at(0) } });

const bundle = (version: string, name = 'app'): DoctorFacts['bundle'] =>
  known({
    hasLogProof: false,
    manifest: parseManifest(
      utf8(
        JSON.stringify({
          ...{ name, version, target_arch: 'any', apply_strategy: 'atomic_swap' },
          ...{ min_current_version: '0.0.0', rollback_version: '0.0.0' },
          payload_sha256: 'a'.repeat(64),
        }),
      ),
    ),
  });

const ROLLOUT_FIELDS: RolloutFields = {
  ...{ id: 'app-1', manifest: 'e30=', signature: Buffer.alloc(64).toString('base64'), salt: '' },
  artifacts: [
    {
      ...{ kind: 'full', sha256: 'a'.repeat(64), size: 1, chunk_size: 262_144 },
      chunk_index: 'b'.repeat(64),
    },
  ],
  waves: [{ percent: 100 }],
};

const announced = async (
  issuedDays: number,
  endDays: number,
  { seed = ROLLOUT, rollouts = [] as RolloutFields[] } = {},
) =>
  await signAnnouncement(
    {
      ...{ fleet: 'acme', seq: 7, issued_at: at(issuedDays), expires_at: at(endDays) },
      rollouts,
    },
    [seedSigner(seed)],
  );

const leased = async (ageMs: number, seed = ROLLOUT) =>
  await signLease(
    {
      ...{ fleet: 'acme', controller: 'c1', term: 1, beat: 1 },
      issued_at: new Date(NOW - ageMs).toISOString(),
    },
    [seedSigner(seed)],
  );

describe('the findings of doctor', () => {
  it('are all ok where everything is, but for what was not asked', () => {
    const findings = examine(withApi({}));
    const others = findings.filter(({ verdict }) => verdict !== 'ok');
    assert.deepEqual(
      others.map(({ check, verdict }) => `${check} ${verdict}`),
      ['leader warn', 'bundle skip'],
    );
    assert.equal(hasFailed(findings), false);
  });

  it('have a hint wherever something is to be done', () => {
    const facts = {
      ...withBroker({ robots: known(robots({ r1: errorOf('DISK_FULL') })) }),
      ...{ trust: failed('TRUST_INVALID'), bundle: bundle('0.9.0'), api: failed('NOT_FOUND') },
    };
    const silent = examine(facts).filter(
      ({ verdict, hint }) => (verdict === 'warn' || verdict === 'fail') && !hint,
    );
    assert.deepEqual(silent, []);
  });

  it('know an old Node.js and a short disk', () => {
    assert.match(told({ ...GOOD, node: '20.18.9' }, 'programs').join(), /^fail .*too old/);
    assert.match(told({ ...GOOD, node: '22.0.0' }, 'programs').join(), /^ok /);
    const disk = (freeBytes: number) =>
      told({ ...GOOD, disk: known({ folder: '/w', freeBytes }) }, 'disk').join();
    assert.match(disk(1), /^fail 1 B are free/);
    assert.match(disk(2 ** 30), /^warn 1.0 GiB/);
    assert.match(told({ ...GOOD, disk: failed('FILE_UNREADABLE') }, 'disk').join(), /^fail /);
  });

  it('count the days of trust.json, and see shared keys and a newer version', () => {
    const trust = (more: Partial<TrustRoot>, broker = BROKER) =>
      told({ ...GOOD, trust: known({ ...TRUST, ...more }), broker }, 'trust');
    assert.match(trust({}).join(), /^ok trust.json 2 of fleet acme: 200 days left; root 1 of 1/);
    assert.match(trust({ expires: NOW + 3 * DAY }).join(), /^warn .*3 days.*TRUST_EXPIRING/);
    assert.match(trust({ expires: NOW - DAY }).join(), /^fail .*TRUST_EXPIRED/);
    const shared = { ...TRUST.roles, rollout: roleOf(RELEASE) };
    assert.match(trust({ roles: shared })[1] ?? '', /^warn one key .* both release and rollout/);
    const control = known({ announcement: null, lease: null, trustVersions: [1, 3] });
    const stale = trust({}, { ...BROKER, control });
    assert.match(stale[1] ?? '', /^warn trust.json 2 is not the newest: .* update to 3/);
    assert.match(told({ ...GOOD, trust: unknown('none') }, 'trust').join(), /^skip /);
  });

  it('judge each key by its mode and its role', () => {
    const key = (seed: Uint8Array, openMode: number | null, trust = GOOD.trust) => {
      const one = { path: 'a b.key', key: known({ publicKey: publicKeyOf(seed), openMode }) };
      return examine({ ...GOOD, trust, keys: [one] }).filter(({ check }) => check === 'key');
    };
    const [open, role] = key(RELEASE, 0o644);
    assert.deepEqual([open?.verdict, open?.hint], ['warn', "chmod 600 'a b.key'"]);
    assert.match(role?.text ?? '', /signs as root and release$/);
    assert.equal(key(OTHER, null)[0]?.verdict, 'fail');
    assert.equal(key(RELEASE, null, unknown('none'))[0]?.verdict, 'skip');
    const unread = { ...GOOD, keys: [{ path: 'k', key: failed('KEY_IS_PEM') }] };
    assert.match(told(unread, 'key').join(), /^fail it failed \(KEY_IS_PEM\)/);
  });

  it('judge addresses and certificates', () => {
    const door = (days: number, refusal: string | null = null) => {
      const certificate = { expiresMs: NOW + days * DAY, refusal };
      const reach = known({ certificate });
      return told({ ...GOOD, brokerDoors: [{ address: 'b:8883', reach }] }, 'broker').join();
    };
    assert.match(door(90), /^ok .*holds for 90 days/);
    assert.match(door(5), /^warn .*5 days/);
    assert.match(door(-1), /^fail .*expired at/);
    assert.match(door(90, 'SELF_SIGNED'), /^fail .*refused: SELF_SIGNED/);
    const named = { expiresMs: NOW + 90 * DAY, refusal: 'ERR_TLS_CERT_ALTNAME_INVALID' };
    const misnamed = { address: 'b:8883', reach: known({ certificate: named }) };
    const wrong = examine({ ...GOOD, brokerDoors: [misnamed] }).find(
      ({ verdict }) => verdict === 'fail',
    );
    assert.match(wrong?.hint ?? '', /stands in the certificate/);
    const dead = { address: 'c:1', reach: failed('BROKER_UNREACHABLE') };
    const cluster = { ...GOOD, brokerDoors: [...GOOD.brokerDoors, dead] };
    assert.match(told(cluster, 'broker')[1] ?? '', /^warn /);
    assert.match(told({ ...GOOD, brokerDoors: [dead] }, 'broker').join(), /^fail /);
  });

  it('say whether the user may publish only when it is known', () => {
    const role = (facts: DoctorFacts): string => told(facts, 'role').join();
    const user = (name: string | null, kind: string | null, needsSignIn = true) =>
      role(withApi({ user: { name, role: kind, needsSignIn } }));
    assert.match(user('ci', 'publisher'), /^ok /);
    assert.match(user('ci', 'technician'), /^fail ci is a technician/);
    assert.match(user('eva', 'publisher'), /^skip .* is of eva, and MQTT has the login of ci/);
    assert.match(user(null, null), /^skip /);
    assert.match(user(null, null, false), /^ok the broker has no users/);
    assert.match(role(withApi({ user: null })), /^skip /);
    assert.match(role(withApi({ engine: known({ isOwn: false }) })), /^skip .*external/);
    assert.match(role({ ...GOOD, api: unknown('none') }), /^skip only|^skip the right/);
    assert.match(role(withBroker({ robots: failed('ACCESS_DENIED') })), /^fail .*no publisher/);
    assert.match(role(withBroker({ login: failed('BROKER_AUTH_REFUSED') })), /^skip /);
  });

  it('compare the clocks', () => {
    const clock = (aheadMs: number | null) => told(withApi({ aheadMs }), 'clock').join();
    assert.match(clock(-20_000), /^ok /);
    assert.match(clock(90_000), /^warn .*90s ahead of/);
    assert.match(clock(-2 * DAY), /^fail .*2d behind/);
    assert.match(clock(null), /^skip /);
  });

  it('name what an unhealthy broker says', () => {
    const problems = [toProblem(new DroverError('DISK_FULL', 'write data'))];
    const found = told(withApi({ isHealthy: false, problems }), 'api');
    assert.deepEqual(found.slice(1), ['fail broker: write data (DISK_FULL)']);
    const denied = told(withApi({ engine: failed('HTTP_UNAUTHORIZED') }), 'api');
    assert.match(denied[2] ?? '', /^fail .*HTTP_UNAUTHORIZED/);
  });

  it('know who leads, and how long the announcement holds', async () => {
    const control = (announcement: Uint8Array | null, lease: Uint8Array | null) =>
      withBroker({ control: known({ announcement, lease, trustVersions: [] }) });
    const leader = (lease: Uint8Array) => told(control(null, lease), 'leader').join();
    assert.match(leader(await leased(1_000)), /^ok c1 leads/);
    assert.match(leader(await leased(DAY)), /^warn no controller leads; the last one/);
    assert.match(leader(await leased(1_000, OTHER)), /^warn the lease does not verify/);
    const news = (bytes: Uint8Array) => told(control(bytes, null), 'announcement').join();
    assert.match(news(await announced(-1, 20)), /^ok announcement 7 has no rollout/);
    assert.match(
      news(await announced(-1, 20, { seed: OTHER })),
      /^fail .*does not verify.*ENVELOPE_/,
    );
    const rollouts = [ROLLOUT_FIELDS];
    assert.match(news(await announced(-1, 20, { rollouts })), /^ok announcement 7 .*: 20 days/);
    assert.match(news(await announced(-28, 2, { rollouts })), /^warn .*ANNOUNCEMENT_EXPIRING/);
    assert.match(news(await announced(-9, -1, { rollouts })), /^fail .*ANNOUNCEMENT_EXPIRED/);
    const led = control(await announced(-28, 2, { rollouts }), await leased(1_000));
    assert.match(told(led, 'announcement').join(), /^ok .*announces it again in time/);
    const early = control(await announced(2, 20), null);
    assert.match(told(early, 'clock')[1] ?? '', /^fail announcement 7 was signed 2d ahead/);
    const blind = { ...early, trust: unknown('none') };
    assert.match(told(blind, 'leader').join() + told(blind, 'announcement').join(), /^skip.*skip/);
  });

  it('count the problems of robots by code', () => {
    const full = errorOf('DISK_FULL');
    const found = robots({ a: full, b: full, c: {}, d: errorOf('NEW_CODE') });
    assert.deepEqual(told(withBroker({ robots: known(found) }), 'robots'), [
      'ok 4 robots report, 4 online',
      'warn 2 robots report DISK_FULL: a, b',
      'warn 1 robot reports NEW_CODE: d',
    ]);
    const partial = { rows: [], invalid: 2, isWhole: false };
    const unsure = told(withBroker({ robots: known(partial) }), 'robots');
    assert.match(unsure.join(), /^warn .*,warn 2 reports .*,ok no robot has reported/);
  });

  it('foresee what robots would say to a bundle', () => {
    const fleet = known(robots({ a: {}, b: { version: '2.0.0' } }));
    const forecast = (given: DoctorFacts['bundle'], found: BrokerFacts['robots'] = fleet) =>
      told({ ...withBroker({ robots: found }), bundle: given }, 'forecast');
    assert.deepEqual(forecast(bundle('1.5.0')), [
      'ok robots: 1 will take it',
      'warn robots: 1 run something newer (NOT_NEWER): b',
    ]);
    assert.match(forecast(bundle('0.5.0')).join(), /^fail robots: 2 run something newer/);
    assert.match(forecast(bundle('1.5.0', 'other')).join(), /^fail .*without the component other/);
    assert.match(forecast(bundle('1.5.0'), known(NO_ROBOTS)).join(), /^skip .*none has reported/);
    assert.match(forecast(bundle('1.5.0'), failed('ACCESS_DENIED')).join(), /^skip /);
    assert.match(told({ ...GOOD, bundle: failed('BUNDLE_UNSIGNED') }, 'bundle').join(), /^fail /);
  });

  it('never reach a terminal with escape codes', () => {
    const facts = { ...GOOD, disk: known({ folder: '/\u001B[31mred', freeBytes: 1 }) };
    const lines = findingLines(examine(facts));
    assert.ok(lines.every((line) => !line.includes('\u001B')));
    assert.ok(lines.some((line) => line.includes('\\u{1b}[31mred')));
    assert.match(lines.at(-1) ?? '', /^\d+ ok, \d+ warn, 1 fail, \d+ skip$/);
  });
});
