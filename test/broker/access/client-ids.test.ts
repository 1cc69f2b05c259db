import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decideClientId,
  decideReceive,
  decideSubscribe,
  type Identity,
  type Role,
} from '../../../broker/access/access.ts';
import { filterMatches } from '../../../broker/mqtt/session-filters.ts';
import { isId, parseRobotId } from '../../../shared/base/ids.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { robotClientId } from '../../../shared/formats/topics.ts';

const ANYONE: Identity = { kind: 'anyone' };
const user = (role: Role, username: string, robot: string | null = null): Identity => ({
  kind: 'user',
  username,
  role,
  robot: robot === null ? null : parseRobotId(robot),
});
const ROBOT = user('robot', 'r1', 'r1');
const PEOPLE = [user('publisher', 'ci'), user('technician', 'op'), user('relay', 'site')];
const anyId = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

describe('the client id of a robot', () => {
  it('fits a topic level and differs for each robot', () => {
    fc.assert(
      fc.property(anyId, anyId, (one, other) => {
        assert.ok(isId(robotClientId(parseRobotId(one))));
        if (one === other) return;
        assert.notEqual(robotClientId(parseRobotId(one)), robotClientId(parseRobotId(other)));
      }),
      { numRuns: 200 },
    );
  });

  it('is for its robot, and for nobody else', () => {
    fc.assert(
      fc.property(anyId, anyId, (own, other) => {
        const robot = user('robot', 'someone', own);
        const mine = robotClientId(parseRobotId(own));
        assert.equal(decideClientId(robot, mine, null).kind, 'allow');
        for (const one of PEOPLE) assert.equal(decideClientId(one, mine, null).kind, 'deny');
        if (own === other) return;
        const foreign = robotClientId(parseRobotId(other));
        assert.equal(decideClientId(robot, foreign, null).kind, 'deny');
      }),
      { numRuns: 200 },
    );
  });
});

describe('a client id in use', () => {
  it('is for its user to use again, and for no other', () => {
    const [ci, op] = PEOPLE;
    assert.ok(ci && op);
    assert.equal(decideClientId(ci, 'x', ci).kind, 'allow');
    assert.equal(decideClientId(ci, 'x', op).kind, 'deny');
    assert.equal(decideClientId(ci, 'x', null).kind, 'allow');
    assert.equal(decideClientId(ANYONE, 'robot-r1', ANYONE).kind, 'allow');
  });
});

describe('who may be handed a message', () => {
  const topics = [
    'fleet/updates',
    'fleet/rollouts/x-1',
    'fleet/trust/2',
    ...['state', 'online', 'events', 'want'].flatMap((leaf) =>
      ['r1', 'r2'].map((robot) => `fleet/robots/${robot}/${leaf}`),
    ),
    'fleet/refusals/c1',
    `fleet-chunks/${sha256Hex(Buffer.from('a chunk'))}`,
    '$SYS/broker/uptime',
  ];
  const filters = [
    ...topics,
    'fleet/#',
    'fleet/rollouts/+',
    'fleet/trust/+',
    'fleet/robots/+/want',
    'fleet/robots/+/state',
    '$SYS/#',
  ];

  it('is who may ask for it: no subscription that was granted is ever silent', () => {
    for (const who of [ANYONE, ROBOT, ...PEOPLE]) {
      for (const topic of topics) {
        const mayAsk = filters.some(
          (filter) =>
            filterMatches(filter, topic) && decideSubscribe(who, 'c1', filter).kind === 'allow',
        );
        if (mayAsk) assert.equal(decideReceive(who, 'c1', topic).kind, 'allow', topic);
        else if (who.kind === 'user') {
          assert.equal(decideReceive(who, 'c1', topic).kind, 'deny', topic);
        }
      }
    }
  });
});
