/**
 * A robot with several components, each under a root of its own, as one real agent: it starts, a
 * component is added to a robot that has one, and each is updated by itself.
 */

import assert from 'node:assert/strict';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startBrokerChild } from './broker-child.ts';
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
    await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', 'nav'));
    await robot.component('nav').runs('2.0.0');
    assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.0.0');
    assert.equal(await readlink(site.path('nav/active')), 'releases/2.0.0');
  });
});
