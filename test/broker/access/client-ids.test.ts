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
import { filterMatches } from '../../../shared/formats/topics.ts';
import { isId, parseRobotId } from '../../../shared/base/ids.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { decidersOf, relayClientId, robotClientId } from '../../../shared/formats/client-ids.ts';

const ANYONE: Identity = { kind: 'anyone' };
const user = (role: Role, username: string, robot: string | null = null): Identity => ({
  kind: 'user',
  username,
  role,
  robot: robot === null ? null : parseRobotId(robot),
});
const ROBOT = user('robot', 'r1', 'r1');
const PEOPLE = [user('publisher', 'ci'), user('technician', 'op'), user('relay', 'site')];
const NAMES = ['ci', 'op', 'site', 'site-a', 'r1', 'evil'];
const decide = (who: Identity, clientId: string, holder: Identity | null = null) =>
  decideClientId(who, clientId, { holder, isUser: (name) => NAMES.includes(name) });
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

  it('is only for its robot', () => {
    fc.assert(
      fc.property(anyId, anyId, (own, other) => {
        const robot = user('robot', 'someone', own);
        const mine = robotClientId(parseRobotId(own));
        assert.equal(decide(robot, mine).kind, 'allow');
        for (const one of PEOPLE) assert.equal(decide(one, mine).kind, 'deny');
        if (own === other) return;
        const foreign = robotClientId(parseRobotId(other));
        assert.equal(decide(robot, foreign).kind, 'deny');
      }),
      { numRuns: 200 },
    );
  });
});

describe('the client ids of a relay', () => {
  const evil = [user('robot', 'evil', 'evil'), user('relay', 'other'), ...PEOPLE.slice(0, 2)];

  it('follow from its user, so that no other user can take one before its first connection', () => {
    fc.assert(
      fc.property(anyId, anyId, (name, username) => {
        const relay = user('relay', username);
        const control = relayClientId(name, username);
        for (const id of [control, `${control}-chunks`]) {
          assert.ok(isId(id), id);
          assert.equal(decide(relay, id).kind, 'allow');
          for (const one of evil) {
            if (one.kind === 'user' && one.username === username) continue;
            assert.equal(decide(one, id).kind, 'deny', id);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('differ for each user and each name', () => {
    const ids = [
      ...[relayClientId('a', 'x'), relayClientId('a', 'y'), relayClientId('b', 'x')],
      ...['n', 'm'].map((end) => relayClientId('n'.repeat(47) + end, 'x')),
    ];
    assert.equal(new Set(ids).size, ids.length);
  });

  it('of 0.1 are let in as before, unless they are the name of another user', () => {
    const [, , site] = PEOPLE;
    assert.ok(site);
    for (const id of [
      'north',
      'north-chunks',
      'site',
      'site-chunks',
      'relay-0a1b2c3d4e5f-chunks',
    ]) {
      assert.equal(decide(site, id).kind, 'allow', id);
    }
  });
});

describe('the name of a user', () => {
  it('is a client id for that user alone, with the parts that our programs append', () => {
    const [robot, ...others] = [user('robot', 'evil', 'evil'), ...PEOPLE];
    assert.ok(robot);
    for (const id of ['site-a', 'site-a-chunks', 'site-a-control', 'site-a-events']) {
      for (const one of [robot, ...others]) assert.equal(decide(one, id).kind, 'deny', id);
      assert.equal(decide(user('relay', 'site-a'), id).kind, 'allow', id);
    }
    assert.equal(decide(robot, 'evil').kind, 'allow');
    assert.equal(decide(robot, 'site-b').kind, 'allow', 'no user has that name');
  });
});

describe('the client id of an attached broker', () => {
  it('is only for a publisher; the owner of its events session decides', () => {
    const [ci, op, site] = PEOPLE;
    assert.ok(ci && op && site);
    const id = 'drover-broker-0a1b2c3d4e5f-control';
    assert.equal(decide(ci, id).kind, 'allow');
    for (const one of [op, site, ROBOT]) assert.equal(decide(one, id).kind, 'deny');
    assert.ok(decidersOf(id).includes('drover-broker-0a1b2c3d4e5f-events'));
  });

  it('a user that keeps one part does not take its program away from another user', () => {
    assert.deepEqual(decidersOf('north'), ['north', 'north']);
    assert.deepEqual(decidersOf('north-chunks'), ['north-chunks', 'north']);
    assert.deepEqual(decidersOf('robot-r1-chunks'), ['robot-r1-chunks']);
  });
});

describe('a client id in use', () => {
  it('is for its user to use again, and for no other', () => {
    const [ci, op] = PEOPLE;
    assert.ok(ci && op);
    assert.equal(decide(ci, 'x', ci).kind, 'allow');
    assert.equal(decide(ci, 'x', op).kind, 'deny');
    assert.equal(decide(ci, 'x').kind, 'allow');
    assert.equal(decide(ANYONE, 'robot-r1', ANYONE).kind, 'allow');
  });
});

describe('the right to receive a message', () => {
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

  it('is the right to subscribe to it: no granted subscription stays without messages', () => {
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
