/**
 * A robot whose second component cannot go back: the views of the fleet show that component first.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

/** Of `nav` alone: 1.1.0 is not healthy, and 1.0.0 does not start again. */
const SICK = 'if [ "$DROVER_COMPONENT $DROVER_VERSION" = "nav 1.1.0" ]; then exit 70; fi';
const LAME =
  'if [ "$DROVER_COMPONENT $DROVER_TARGET_VERSION $DROVER_VERSION" = "nav 1.1.0 1.0.0" ]; then exit 1; fi';

interface Shown {
  readonly version: string;
  readonly phase: string;
  readonly last_error: { readonly code: string } | null;
  readonly components: readonly { readonly name: string; readonly phase: string }[];
}

test('a second component that is stuck is seen first by API, metrics and drover', async (t) => {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t, [], ['app', 'nav']);
  const robot = site.robot('r1', broker.url);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await robot.runs('1.0.0');
  await robot.hook('health', SICK);
  await robot.hook('start', LAME);
  await site.publish(broker.url, await site.bundle('1.1.0'), '--health-timeout', '2s');
  await robot.until('is stuck', ({ phase }) => phase === 'stuck', 90_000);

  const shown = await waitUntil('the fleet to hear of it', async () => {
    const robotView = (await (await fetch(`${broker.httpUrl}/robots/r1`)).json()) as Shown;
    return robotView.phase === 'stuck' ? robotView : null;
  });
  assert.equal(shown.last_error?.code, 'ROLLBACK_FAILED');
  assert.deepEqual(
    shown.components.map(({ name, phase }) => [name, phase]),
    [
      ['nav', 'stuck'],
      ['app', 'idle'],
    ],
  );
  const metrics = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  assert.match(metrics, /drover_robots\{component="nav",version="[^"]+",phase="stuck"\} 1/);
  const table = await site.drover('fleet', 'robots', '--broker', broker.url);
  assert.match(table, /r1 .*nav .*stuck .*ROLLBACK_FAILED/);
});
