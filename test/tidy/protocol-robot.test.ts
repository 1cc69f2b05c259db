/** docs/protocol.md §5, §6 and §10: what a robot checks, and in which order. */

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openAnnouncement, type RolloutFields } from '../../shared/formats/announcement.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { openProgress, type ProgressFields } from '../../shared/formats/progress.ts';
import { decideOffer } from '../../robot-client/update/decide.ts';
import type { RobotFacts } from '../../robot-client/update/verdict.ts';
import { Agent } from '../../robot-client/agent.ts';
import { Inbox } from '../../robot-client/fleet/inbox.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { makeFleet, type BundleInput } from '../helpers/fleet.ts';
import { startRawBroker } from '../helpers/raw-broker.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const fleet = makeFleet();
const NOW = Date.parse('2026-06-01T00:00:00Z');
const FACTS: RobotFacts = {
  robot: parseRobotId('r13'),
  component: 'app',
  arch: 'x86_64',
  tags: ['lab'],
  version: '1.0.0',
  blocked: [],
  trust: fleet.trust,
  progress: new Map(),
  completeSince: new Map(),
  joined: null,
  now: NOW,
};

async function rolloutOf(input: BundleInput, more: Partial<RolloutFields> = {}) {
  return fleet.makeRollout(
    `r-${input.version.replaceAll('.', '-')}`,
    await fleet.makeBundle(input),
    more,
  );
}

function decide(rollouts: readonly RolloutFields[], facts: Partial<RobotFacts> = {}) {
  const announcement = openAnnouncement(fleet.announce(1, rollouts), fleet.trust);
  return decideOffer(announcement, { ...FACTS, ...facts });
}

/** The code of the answer, or its kind when there is none. */
function answer(rollouts: readonly RolloutFields[], facts: Partial<RobotFacts> = {}): string {
  const { verdict } = decide(rollouts, facts);
  return 'problem' in verdict ? verdict.problem.code : verdict.kind;
}

test('a target narrows by arch, id and tags [P-5.4]', async () => {
  const rollout = await rolloutOf({ version: '1.1.0' });
  const to = (target: RolloutFields['target']) => answer([{ ...rollout, target }]);
  assert.equal(to({ arch: 'amd64', robots: ['r13'], tags: ['lab'] }), 'take');
  assert.equal(to({ arch: 'arm64' }), 'notForUs');
  assert.equal(to({ robots: ['r1'] }), 'notForUs');
  assert.equal(to({ tags: ['lab', 'night'] }), 'notForUs');
});

test('the artifact is the payload that a release key signed [P-5.3]', async () => {
  const rollout = await rolloutOf({ version: '1.1.0' });
  const [artifact] = rollout.artifacts;
  assert.ok(artifact);
  const having = (change: object) =>
    answer([{ ...rollout, artifacts: [{ ...artifact, ...change }] }]);
  assert.equal(having({}), 'take');
  assert.equal(having({ sha256: 'ab'.repeat(32) }), 'ANNOUNCEMENT_INVALID');
  assert.equal(having({ size: artifact.size + 1 }), 'ANNOUNCEMENT_INVALID');
  assert.equal(having({ kind: 'zstd-patch' }), 'ANNOUNCEMENT_INVALID');
});

test('the floor of seq is on the disk before anybody acts [P-5.6] [P-10.1]', async (t) => {
  const folder = await tempFolder(t);
  await mkdir(join(folder, 'state'));
  const path = join(folder, 'state/seen.json');
  const load = async (trust = fleet.trust): Promise<Inbox> => {
    const inbox = new Inbox(realDisk, path, trust);
    await inbox.load();
    return inbox;
  };
  await (await load()).acceptAnnouncement(fleet.announce(5, []), NOW);
  assert.match(await readFile(path, 'utf8'), /"announcement":5/);
  const replay = fleet.announce(4, []);
  await assert.rejects((await load()).acceptAnnouncement(replay, NOW), {
    code: 'ANNOUNCEMENT_REPLAYED',
  });
  // An expired trust.json is found before anything of the message is read.
  const expired = await load({ ...fleet.trust, expires: NOW });
  await assert.rejects(expired.acceptAnnouncement(new Uint8Array([1]), NOW), {
    code: 'TRUST_EXPIRED',
  });
});

test('an announcement that is cleared offers nothing and withdraws nothing [P-2.4]', async (t) => {
  const broker = await startRawBroker(t);
  const folder = await tempFolder(t);
  const refused: unknown[] = [];
  const agent = new Agent({
    ...{ robot: FACTS.robot, trust: fleet.trust, arch: FACTS.arch, model: '', tags: [] },
    ...{ bytesPerSecondMax: null, bootsMax: 3, adoptVersion: '1.0.0' },
    roots: [{ component: 'app', root: join(folder, 'root') }],
    hooksFolder: join(folder, 'hooks.d'),
    link: { url: broker.url },
    disk: realDisk,
    log: { debug() {}, info() {}, warn: (facts) => void refused.push(facts), error() {} },
  });
  await agent.open();
  t.after(() => agent.close());
  await waitUntil('the subscription', () => broker.received.some(({ cmd }) => cmd === 'subscribe'));
  const tell = (topic: string, payload: Uint8Array): void =>
    broker.send({
      ...{ cmd: 'publish', qos: 0, dup: false, retain: true, topic },
      payload: Buffer.from(payload),
    });
  const seqIs = (seq: number) => (): boolean =>
    JSON.stringify(agent.status()).includes(`"announcement":{"seq":${seq},`);
  tell(UPDATES_TOPIC, fleet.announce(1, []));
  await waitUntil('announcement 1', seqIs(1));
  tell(UPDATES_TOPIC, new Uint8Array());
  tell('fleet/rollouts/r-1', new Uint8Array());
  assert.ok(seqIs(1)());
  tell(UPDATES_TOPIC, fleet.announce(2, []));
  await waitUntil('announcement 2', seqIs(2));
  assert.deepEqual(refused, []);
});

test('without progress only an emergency or a single wave of 100 is open [P-6.3]', async () => {
  const rollout = await rolloutOf({ version: '1.1.0' });
  const id = rollout.id;
  const waves = [{ percent: 10 }, { percent: 100 }];
  const inWaves = { ...rollout, waves, salt: 'example-salt' };
  assert.equal(answer([rollout]), 'take');
  assert.equal(answer([inWaves]), 'COHORT_CLOSED');
  assert.equal(answer([{ ...inWaves, emergency: true }]), 'take');
  const given = (fields: Partial<ProgressFields>) => ({
    progress: new Map([
      [id, openProgress(fleet.progress({ rollout: id, seq: 1, ...fields }), fleet.trust)],
    ]),
  });
  // The fraction of r13 under this salt is 0.0548 [P-6.2].
  assert.equal(answer([inWaves], given({ threshold: 0.06 })), 'take');
  assert.equal(answer([inWaves], given({ threshold: 0.05 })), 'COHORT_CLOSED');
  for (const status of ['paused', 'halted', 'rolling_back'] as const) {
    assert.equal(answer([{ ...rollout, emergency: true }], given({ status })), 'ROLLOUT_STOPPED');
  }
});

test('the first check that fails is the answer [P-10.2]', async () => {
  const waves = [{ percent: 10 }, { percent: 100 }];
  const all = { target_arch: 'riscv64', min_current_version: '5.0.0', name: 'nav' };
  const wrong = async (version: string, manifest: object, facts: Partial<RobotFacts> = {}) => {
    const rollout = await rolloutOf({ version, manifest }, { waves });
    const artifacts = rollout.artifacts.map((one) => ({ ...one, size: one.size + 1 }));
    return answer([{ ...rollout, artifacts }], facts);
  };
  assert.equal(await wrong('0.9.0', all), 'notForUs');
  const { name, ...ours } = all;
  assert.equal(name, 'nav');
  assert.equal(await wrong('0.9.0', ours), 'ARCH_WRONG');
  const { target_arch, ...fitting } = ours;
  assert.equal(target_arch, 'riscv64');
  assert.equal(await wrong('0.9.0', fitting), 'NOT_NEWER');
  assert.equal(await wrong('1.1.0', fitting), 'TOO_OLD');
  assert.equal(await wrong('1.1.0', fitting, { version: null }), 'ANNOUNCEMENT_INVALID');
  assert.equal(await wrong('1.1.0', {}), 'ANNOUNCEMENT_INVALID');
  assert.equal(answer([await rolloutOf({ version: '1.1.0' }, { waves })]), 'COHORT_CLOSED');
});

test('of several that fit, the highest version is taken [P-10.3]', async () => {
  const versions = ['1.1.0', '1.3.0', '1.2.0'];
  const rollouts = await Promise.all(versions.map((version) => rolloutOf({ version })));
  const { verdict } = decide(rollouts);
  assert.equal(verdict.kind === 'take' && verdict.job.version, '1.3.0');
});

test('a release that failed here is not taken again, another payload is [P-10.5]', async () => {
  const bundle = await fleet.makeBundle({ version: '1.1.0' });
  const rollout = fleet.makeRollout('r-1', bundle);
  const payloadSha256 = sha256Hex(bundle.payload);
  const blocked = [{ version: '1.1.0', payloadSha256, code: 'HEALTH_FAILED' }];
  assert.equal(answer([rollout], { blocked }), 'FAILED_BEFORE');
  const other = await rolloutOf({ version: '1.1.0', payload: new Uint8Array([1]) });
  assert.equal(answer([other], { blocked }), 'take');
});
