/**
 * Robots in every phase of an update when an operator replaces it by an emergency or takes it out
 * of the announcement. A phase is held by a bound on the rate, SIGSTOP or a hook.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import type { Phase } from '../../shared/formats/messages.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

/** Half a megabyte for the one that downloads slowly, many files for the one that unpacks. */
function heavyFiles(): Record<string, string | Uint8Array> {
  const many = Array.from({ length: 200 }, (_, at) => [`data/${at}`, `${at}`] as const);
  return { ...Object.fromEntries(many), noise: randomBytes(600_000) };
}

class Stage {
  readonly site: Site;
  readonly broker: BrokerChild;
  readonly robots: Readonly<Record<'loads' | 'stages' | 'waits' | 'proves' | 'fails', Robot>>;

  private constructor(site: Site, broker: BrokerChild) {
    this.site = site;
    this.broker = broker;
    const robot = (id: string, ...more: string[]): Robot => site.robot(id, broker.url, more);
    this.robots = {
      loads: robot('loads', '--max-rate', '20k'),
      stages: robot('stages'),
      waits: robot('waits'),
      proves: robot('proves'),
      fails: robot('fails'),
    };
  }

  get all(): readonly Robot[] {
    return Object.values(this.robots);
  }

  /** Every robot runs 1.0.0, and each is in another phase of the update to 1.1.0. */
  static async open(t: TestContext): Promise<Stage> {
    const site = await Site.open(t);
    const lead = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
    const args = ['--trust', site.path('trust.json'), ...lead];
    const stage = new Stage(site, await startBrokerChild(t, { args }));
    const { loads, stages, waits, proves, fails } = stage.robots;
    await stage.publish('1.0.0', '--id', 'first', '--soak', '0');
    for (const robot of stage.all) await robot.runs('1.0.0');
    await waits.hook('ready', `test -e ${site.path('dock')} || { echo on its way; exit 75; }`);
    await stages.hook('ready', `[ "$DROVER_TARGET_VERSION" != 1.1.0 ] || exit 75`);
    const isOld = '[ "$DROVER_VERSION" != 1.1.0 ]';
    await proves.hook('health', `${isOld} || test -e ${site.path('well')}`);
    await fails.hook('health', `${isOld} || { test -e ${site.path('well')} && exit 70; exit 1; }`);
    const bundle = await site.bundle('1.1.0', heavyFiles());
    // One of five is allowed to fail: a halt would end the update before the operator does.
    const gates = ['--gate', 'apply_success_min=0', '--health-timeout', '3m'];
    const slow = ['--id', 'slow', '--supersede', 'first', ...gates];
    await site.publish(stage.broker.url, bundle, ...slow);
    const held: Promise<unknown>[] = [
      stopWhileStaging(stages),
      ...[
        waits.until('waits', phaseIs('waiting'), 60_000),
        loads.until('loads', phaseIs('downloading'), 60_000),
      ],
      ...[proves, fails].map((one) => one.until('proves', phaseIs('probation'), 60_000)),
    ];
    await Promise.all(held);
    return stage;
  }

  async publish(version: string, ...more: string[]): Promise<string> {
    const bundle = await this.site.bundle(version);
    return await this.site.drover(...this.site.publishArgs(this.broker.url, bundle, ...more));
  }

  async rollout(...words: string[]): Promise<string> {
    return await this.site.drover('rollout', ...words, '--api', this.broker.httpUrl);
  }

  /** Lets the robots that were held go on. */
  async letGo(): Promise<void> {
    this.robots.stages.child.kill('SIGCONT');
    await writeFile(this.site.path('well'), '');
  }
}

/** By its log, which is faster than its socket. On a busy machine it may already wait. */
async function stopWhileStaging({ child }: Robot): Promise<void> {
  const staging = (): boolean => child.stderr.includes('staging 1.1.0');
  await waitUntil('it to stage', staging, { timeoutMs: 60_000 });
  child.kill('SIGSTOP');
  assert.doesNotMatch(child.stderr, /swapping 1\.1\.0/);
}

const phaseIs =
  (phase: Phase) =>
  (status: { phase: Phase }): boolean =>
    status.phase === phase;

test('an emergency reaches robots that download, stage, wait and prove what it replaces', async (t) => {
  const stage = await Stage.open(t);
  const { loads, stages, waits, proves, fails } = stage.robots;
  const emergency = ['--emergency', '--yes', '--id', 'urgent'];
  const said = await stage.publish('1.2.0', ...emergency);
  assert.match(said, /^ended slow$/m);
  await stage.letGo();
  for (const robot of [loads, stages, proves, fails]) await robot.runs('1.2.0', 60_000);
  assert.equal((await proves.status()).previous_version, '1.1.0', 'it was proved first');
  assert.equal((await fails.status()).previous_version, '1.0.0', 'it went back first');
  await waitUntil('the busy one to have it ready', () =>
    existsSync(`${waits.root}/releases/1.2.0`),
  );
  const busy = await waits.until('waits again', phaseIs('waiting'));
  assert.equal(busy.version, '1.0.0');
  assert.match(busy.waiting_for ?? '', /the robot is busy: .*on its way/);
  await writeFile(stage.site.path('dock'), '');
  await waits.runs('1.2.0', 60_000);
  let status = '';
  const allRun = async (): Promise<boolean> => {
    status = await stage.rollout('status', 'urgent');
    return status.includes('5 targeted: 5 run it');
  };
  await waitUntil('all to run the emergency', allRun, { timeoutMs: 60_000, look: () => status });
  const history = await stage.rollout('history', 'slow');
  assert.match(history, /superseded by the emergency urgent while it was rolling/);
});

test('robots in the middle of what is withdrawn stop or finish, and take the next one', async (t) => {
  const stage = await Stage.open(t);
  const { loads, stages, waits, proves, fails } = stage.robots;
  const { url } = stage.broker;
  const keys = [
    ...['--key', stage.site.path('rollout.key')],
    ...['--trust', stage.site.path('trust.json')],
  ];
  const withdraw = ['rollout', 'withdraw', 'slow', '--broker', url, ...keys, '--yes'];
  const early = await stage.site.tryDrover({}, ...withdraw);
  assert.equal(early.ended?.code, 3, early.describe());
  assert.match(early.stderr, /it is rolling[^]*drover rollout abort slow/);
  await stage.rollout('abort', 'slow', '--yes');
  assert.match(await stage.site.drover(...withdraw), /^withdrew rollout slow, .*nothing is/);
  await stage.letGo();
  for (const robot of [loads, stages, waits, fails]) await robot.runs('1.0.0', 60_000);
  await proves.runs('1.1.0', 60_000);
  await writeFile(stage.site.path('dock'), '');
  await stage.publish('1.2.0', '--id', 'next', '--soak', '0');
  for (const robot of stage.all) await robot.runs('1.2.0', 60_000);
  assert.match(await stage.rollout('history', 'slow'), /it is no longer announced/);
});
