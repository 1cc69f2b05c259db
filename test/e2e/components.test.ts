/**
 * A robot with several components, each under a root of its own, as one real agent: it starts, a
 * component is added to a robot that has one, and each is updated by itself.
 */

import assert from 'node:assert/strict';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { heard, untilHeard } from './mounted-roots.ts';
import { Site } from './site.ts';

describe('a robot with several components', () => {
  it('starts with three, on fresh roots and on roots that hold releases', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const roots = ['nav', 'arm'].flatMap((name) => ['--root', `${name}=${site.path(name)}`]);
    const robot = site.robot('r1', broker.url, roots);
    for (const name of ['app', 'nav', 'arm']) {
      await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', name));
    }
    for (const name of ['app', 'nav', 'arm']) await robot.component(name).runs('1.0.0');
    await robot.killAndRestart();
    for (const name of ['app', 'nav', 'arm']) await robot.component(name).runs('1.0.0');
  });

  it('takes a second component beside the one that it has', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await robot.kill();
    robot.start('--root', `nav=${site.path('nav')}`);
    await robot.runs('1.0.0');
    await waitUntil('the fleet to know of nav', async () => {
      return (await heard(broker)).some(({ name }) => name === 'nav');
    });
    await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', 'nav'));
    await robot.component('nav').runs('2.0.0');
    assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.0.0');
    assert.equal(await readlink(site.path('nav/active')), 'releases/2.0.0');
  });

  it('keeps a halt to the one of three that it is about, and all go on', async (t) => {
    const site = await Site.open(t);
    const lead = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
    const broker = await startBrokerChild(t, {
      args: ['--trust', site.path('trust.json'), ...lead],
    });
    const rootsOf = (id: string): string[] =>
      ['nav', 'arm'].flatMap((name) => ['--root', `${name}=${site.path(`${id}-${name}`)}`]);
    const robots = ['r1', 'r2'].map((id) => site.robot(id, broker.url, rootsOf(id)));
    const publish = async (name: string, version: string, ...more: string[]): Promise<void> =>
      site.publish(broker.url, await site.bundle(version, {}, '--name', name), ...more);
    const rollout = (...words: string[]): Promise<string> =>
      site.drover('rollout', ...words, '--api', broker.httpUrl);
    for (const name of ['app', 'nav', 'arm']) {
      await publish(name, '1.0.0', '--id', `${name}-first`, '--soak', '0');
      for (const robot of robots) await robot.component(name).runs('1.0.0');
    }
    const isBad = '[ "$DROVER_COMPONENT $DROVER_VERSION" = "nav 2.0.0" ]';
    for (const robot of robots) await robot.hook('health', `if ${isBad}; then exit 70; fi`);
    const waves = ['--waves', '50,100', '--soak', '0', '--anyway'];
    await publish('nav', '2.0.0', '--id', 'bad', '--supersede', 'nav-first', ...waves);
    await waitUntil(
      'the halt',
      async () => {
        return /"status": *"halted"/.test(await rollout('status', 'bad', '--json'));
      },
      { timeoutMs: 60_000 },
    );
    for (const robot of robots) {
      const { version } = await robot.component('nav').runs('1.0.0');
      assert.equal(version, '1.0.0');
    }
    await publish('app', '1.1.0', '--supersede', 'app-first');
    for (const robot of robots) {
      await robot.component('app').runs('1.1.0');
      await robot.component('nav').runs('1.0.0');
    }
    await publish('nav', '2.1.0', '--supersede', 'bad');
    for (const robot of robots) {
      await robot.component('nav').runs('2.1.0');
      await robot.component('app').runs('1.1.0');
      await robot.component('arm').runs('1.0.0');
    }
  });

  it('leaves two roots alone that are given with the names of each other, and goes on with the third', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const named = (nav: string, arm: string): string[] => [
      '--root',
      `nav=${site.path(nav)}`,
      '--root',
      `arm=${site.path(arm)}`,
    ];
    const robot = site.robot('r1', broker.url, named('one', 'two'));
    const names = ['app', 'nav', 'arm'];
    for (const name of names) {
      await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', name));
    }
    for (const name of names) await robot.component(name).runs('1.0.0');
    await robot.child.stop();
    const swapped = site.robot('r1', broker.url, named('two', 'one'));
    for (const name of names) {
      await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', name));
    }
    await swapped.component('app').runs('2.0.0');
    for (const name of ['nav', 'arm']) {
      await untilHeard([swapped, broker], name, 'ROOT_OTHER_COMPONENT');
      assert.equal((await swapped.status(name)).version, null);
    }
    for (const root of ['one', 'two']) {
      assert.equal(await readlink(site.path(`${root}/active`)), 'releases/1.0.0');
    }
    await swapped.child.stop();
    robot.start();
    for (const name of names) await robot.component(name).runs('2.0.0');
  });
});
