/**
 * The attached broker, started as users start it, on engines that lack a feature that Drover needs.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startRabbitMq } from '../helpers/rabbitmq.ts';
import { AttachedChild } from '../e2e/attached-child.ts';
import { Site } from '../e2e/site.ts';

describe('an engine that was tried out', () => {
  it('is refused when it is RabbitMQ, which hands nothing retained to wildcards', async (t) => {
    const engine = await startRabbitMq(t);
    if (engine === null) return;
    const site = await Site.open(t);
    const child = AttachedChild.spawn(t, site, { engine, data: 'broker' });
    await child.exit;
    assert.equal(child.ended?.code, 3, child.describe());
    assert.match(child.stderr, /ENGINE_UNFIT/);
    assert.match(child.stderr, /filter with \+/);
  });
});
