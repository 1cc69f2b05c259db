/** Real processes: one set on two computers of one robot. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stageMembers } from './members-stage.ts';

describe('a set over two computers of one robot', () => {
  it('is taken by both, and taken back on both when one is unhealthy', async (t) => {
    const { leader, member, publish, both } = await stageMembers(t);
    await publish('1.0.0');
    await new Promise((r) => setTimeout(r, 8000));
    console.log(leader.child.describe(), member.child.describe());
    await both('1.0.0');
    console.log(leader.child.describe(), member.child.describe());
    await member.hook('health', '[ "$DROVER_VERSION" != 2.0.0 ] || exit 70');
    await publish('2.0.0', '--health-timeout', '2s');
    const { last_update: why } = await leader.until(
      'went back',
      (one) => one.last_update?.outcome === 'rolled_back' && one.phase === 'idle',
    );
    assert.equal(why?.code, 'SET_FAILED');
    await both('1.0.0');
    console.log(leader.child.describe(), member.child.describe());
  });
});
