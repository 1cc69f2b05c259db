/** Real processes: two bundles as one set, on a robot of two components. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const NAMES = ['system', 'app'] as const;

interface Stage {
  readonly site: Site;
  readonly broker: BrokerChild;
  readonly robot: Robot;
  publish(version: string, ...more: string[]): Promise<string>;
  both(version: string): Promise<void>;
}

/** A robot that runs 1.0.0 of both. */
async function stage(t: TestContext, { leads = false } = {}): Promise<Stage> {
  const site = await Site.open(t);
  const lead = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
  const trust = ['--trust', site.path('trust.json')];
  const broker = await startBrokerChild(t, { args: leads ? [...trust, ...lead] : [] });
  const robot = site.robot('r1', broker.url, ['--root', `system=${site.path('system')}`]);
  const publish = async (version: string, ...more: string[]): Promise<string> => {
    const bundles: string[] = [];
    for (const name of NAMES) bundles.push(await site.bundle(version, {}, '--name', name));
    const at = ['--broker', broker.url, '--waves', '100', '--soak', '0'];
    const keys = ['--key', site.path('rollout.key'), '--trust', site.path('trust.json')];
    return await site.drover('publish', ...bundles, '--together', ...at, ...keys, ...more);
  };
  const both = async (version: string): Promise<void> => {
    for (const name of NAMES) await robot.component(name).runs(version);
  };
  const said = await publish('1.0.0', '--id', 'first');
  assert.match(said, /announced set first.*\n\s+1\. system 1\.0\.0 as rollout first-system/);
  await both('1.0.0');
  return { site, broker, robot, publish, both };
}

describe('a set of two bundles', () => {
  it('is switched in its order, after both are staged, and confirmed as one', async (t) => {
    const { site, robot, publish, both } = await stage(t);
    const record = site.path('record');
    const note = (what: string): string => `echo "$DROVER_COMPONENT ${what}" >> ${record}`;
    await robot.hook('stop', note('stop'));
    await robot.hook('health', note('health'));
    await publish('2.0.0', '--health-timeout', '2s');
    await both('2.0.0');
    const lines = (await readFile(record, 'utf8')).trim().split('\n');
    const at = (line: string): number => lines.indexOf(line);
    assert.ok(at('system stop') < at('system health'), lines.join('\n'));
    assert.ok(at('system health') < at('app stop'), 'system is healthy before app is stopped');
    assert.ok(lines.lastIndexOf('system health') > at('app health'), 'it is asked once more');
  });

  it('is taken back as a whole when the second is unhealthy, and is not tried again', async (t) => {
    const { site, robot, publish, both } = await stage(t);
    await robot.hook('health', '[ "$DROVER_COMPONENT$DROVER_VERSION" != app2.0.0 ] || exit 70');
    await robot.hook('rolled-back', `echo "$DROVER_COMPONENT" >> ${site.path('record')}`);
    await publish('2.0.0', '--id', 'bad', '--health-timeout', '2s');
    await robot.component('app').until('went back', ({ blocked }) => blocked.includes('2.0.0'));
    await robot.component('system').until('went back with it', ({ phase, last_update: last }) => {
      return phase === 'idle' && last?.code === 'SET_FAILED';
    });
    await both('1.0.0');
    assert.equal(await readFile(site.path('record'), 'utf8'), 'app\nsystem\n');
    const { last_error: why, blocked } = await robot.status('system');
    assert.equal(why?.code, 'SET_FAILED');
    assert.match(why.message, /app 2\.0\.0/);
    assert.deepEqual(blocked, []);
    await robot.hook('health', 'exit 0');
    await publish('2.1.0', '--supersede', 'bad-app', '--health-timeout', '2s');
    await both('2.1.0');
  });

  it('is called back by its name, and no robot counts as failed', async (t) => {
    const { site, broker, publish, both } = await stage(t, { leads: true });
    await publish('2.0.0', '--id', 'third', '--supersede', 'first');
    await both('2.0.0');
    const rollout = async (verb: string, ...more: string[]): Promise<string> =>
      await site.drover('rollout', verb, 'third', '--api', broker.httpUrl, ...more);
    assert.match(await rollout('status'), /third-system: system 2\.0\.0[^]*third-app: app 2\.0\.0/);
    assert.match(await rollout('history'), /^third-system, system 2\.0\.0:[^]*\nthird-app, app/);
    const said = await rollout('rollback', '--yes');
    assert.match(said, /the command is about all of set third: third-system, third-app/);
    await both('1.0.0');
    await waitUntil('both rolled back', async () => {
      const status = await rollout('status');
      return status.match(/status +rolled back/g)?.length === 2;
    });
    const robots = await rollout('robots', '--all');
    assert.equal(robots.match(/went_back +WENT_BACK/g)?.length, 2, robots);
    assert.doesNotMatch(await rollout('status'), /[1-9] failed|: open|gate/);
    const watched = await site.tryDrover(
      {},
      ...['rollout', 'watch', 'third'],
      '--api',
      broker.httpUrl,
    );
    assert.equal(watched.ended?.code, 3, watched.describe());
    const all = await site.drover('rollout', 'list', '--api', broker.httpUrl);
    assert.match(all, /third-app \(set third\) +app 2\.0\.0 +rolled back/);
  });

  it('survives kill -9 while the first waits in good health, and when both are switched', async (t) => {
    const { site, robot, publish, both } = await stage(t);
    const go = site.path('go');
    await robot.hook('ready', `[ "$DROVER_COMPONENT" = system ] || [ -e ${go} ] || exit 75`);
    await robot.hook('health', `[ "$DROVER_COMPONENT" = system ] || [ -e ${site.path('well')} ]`);
    await publish('2.0.0');
    await robot.component('system').until('waits for app', ({ phase, waiting_for: why }) => {
      return phase === 'probation' && why?.includes('app 2.0.0 is staged') === true;
    });
    await robot.killAndRestart();
    await writeFile(go, '');
    await robot.component('app').until('is on trial', ({ phase }) => phase === 'probation');
    await robot.killAndRestart();
    await waitUntil('both on trial', async () => {
      const phases = await Promise.all(NAMES.map(async (name) => (await robot.status(name)).phase));
      return phases.every((phase) => phase === 'probation');
    });
    await writeFile(site.path('well'), '');
    await both('2.0.0');
  });

  it('brings what one of its bundles requires, which is refused alone; what would break it is too', async (t) => {
    const { site, broker, robot, both } = await stage(t);
    const at = ['--broker', broker.url, '--waves', '100', '--soak', '0'];
    const keys = ['--key', site.path('rollout.key'), '--trust', site.path('trust.json')];
    const publish = (...words: string[]): Promise<string> =>
      site.drover('publish', ...words, ...at, ...keys);
    const app = site.path('bundles', 'requiring');
    const from = [site.path('apps', 'app-1.0.0'), '--name', 'app', '--version', '2.0.0'];
    const needs = ['--arch', 'any', '--requires', 'system=>=2 <3', '--out', app];
    assert.match(await site.drover('build', ...from, ...needs), /requires system >=2 <3/);
    await site.drover('sign', app, '--key', site.path('release.key'));
    assert.match(await site.drover('inspect', app), /requires {4}system >=2 <3/);
    const refused = await publish(app).catch(String);
    assert.match(refused, /NO_ROBOT_TAKES_IT/);
    assert.match(refused, /REQUIRES_UNMET/);
    await publish(app, '--anyway', '--id', 'alone');
    await robot.component('app').until('says what is missing', ({ last_error: why }) => {
      return why?.code === 'REQUIRES_UNMET' && why.message.includes('system >=2 <3 (got 1.0.0)');
    });
    const system = await site.bundle('2.0.0', {}, '--name', 'system');
    await publish(system, app, '--together', '--supersede', 'alone');
    await both('2.0.0');
    const next = await site.bundle('3.0.0', {}, '--name', 'system');
    await publish(next);
    await robot.component('system').until('would break app', ({ last_error: why }) => {
      return why?.code === 'REQUIRES_BROKEN' && why.message.includes('app 2.0.0 requires system');
    });
    await both('2.0.0');
  });

  it('is refused by a robot that lacks one of its components, and the publisher says so', async (t) => {
    const { site, broker, publish, both } = await stage(t);
    const alone = site.robot('r2', broker.url);
    await alone.component('app').until('refuses', ({ last_error: why }) => {
      return why?.code === 'SET_INCOMPLETE';
    });
    const failed = await publish('2.0.0', '--robots', 'r2').catch(String);
    assert.match(failed, /NO_ROBOT_TAKES_IT|SET_INCOMPLETE/);
    await both('1.0.0');
    assert.equal((await alone.status('app')).version, null);
  });
});
