/** Two components of one real agent get their updates at once, and restart one after the other. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

/** `app` is at it until it has started, `nav` until it has gone back. */
function assertInTurn(lines: readonly string[]): void {
  let busy: string | null = null;
  for (const line of lines) {
    const [component = ''] = line.split(' ');
    assert.ok(busy === null || busy === component, lines.join('\n'));
    const hasEnded = line === 'app start-ends' || line === 'nav rolled-back';
    busy = hasEnded ? null : component;
  }
}

describe('two components of one robot', () => {
  it('restart one after the other, also when one of them goes back', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const record = site.path('record');
    const note = (what: string): string => `echo "$DROVER_COMPONENT ${what}" >> ${record}`;
    const robot = site.robot('r1', broker.url, ['--root', `nav=${site.path('nav')}`]);
    for (const name of ['stop', 'start']) {
      await robot.hook(name, `${note(`${name}-begins`)}; sleep 0.3; ${note(`${name}-ends`)}`);
    }
    await robot.hook('rolled-back', note('rolled-back'));
    await robot.hook('health', '[ "$DROVER_COMPONENT$DROVER_VERSION" != nav2.0.0 ]');
    for (const name of ['app', 'nav']) {
      await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', name));
    }
    for (const name of ['app', 'nav']) await robot.component(name).runs('1.0.0');
    const next = [];
    for (const name of ['app', 'nav']) {
      next.push(await site.bundle('2.0.0', {}, '--name', name));
    }
    await robot.hook('ready', `[ -e ${site.path('go')} ] || exit 75`);
    for (const bundle of next) await site.publish(broker.url, bundle, '--health-timeout', '2s');
    for (const name of ['app', 'nav']) {
      await robot.component(name).until('waits', ({ phase }) => phase === 'waiting');
    }
    await writeFile(record, '');
    await writeFile(site.path('go'), '');
    await robot.component('app').runs('2.0.0');
    await robot.component('nav').until('went back', ({ phase, version, blocked }) => {
      return phase === 'idle' && version === '1.0.0' && blocked.includes('2.0.0');
    });
    const lines = (await readFile(record, 'utf8')).trim().split('\n');
    assert.ok(lines.includes('nav rolled-back') && lines.includes('app start-ends'));
    assertInTurn(lines);
  });

  it('wait for each other while one of them is on probation, and say so', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url, ['--root', `nav=${site.path('nav')}`]);
    for (const name of ['app', 'nav']) {
      await site.publish(broker.url, await site.bundle('1.0.0', {}, '--name', name));
    }
    for (const name of ['app', 'nav']) await robot.component(name).runs('1.0.0');
    // It has started, and is not yet known to be well.
    await robot.hook('health', `[ "$DROVER_COMPONENT" != app ] || [ -e ${site.path('well')} ]`);
    await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', 'app'));
    await robot.component('app').until('is on trial', ({ phase }) => phase === 'probation');
    await site.publish(broker.url, await site.bundle('2.0.0', {}, '--name', 'nav'));
    const waiting = await robot
      .component('nav')
      .until('waits for app', ({ waiting_for }) => waiting_for?.includes('(app)') ?? false);
    assert.deepEqual([waiting.phase, waiting.version], ['waiting', '1.0.0']);
    assert.equal((await robot.status('app')).phase, 'probation');
    await writeFile(site.path('well'), '');
    for (const name of ['app', 'nav']) await robot.component(name).runs('2.0.0');
  });
});
