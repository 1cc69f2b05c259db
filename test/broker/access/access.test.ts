import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import {
  decidePublish,
  decideSubscribe,
  type Identity,
  type Role,
} from '../../../broker/access/access.ts';
import { isLoopback } from '../../../shared/base/broker-urls.ts';
import { filterMatches, parseTopic } from '../../../shared/formats/topics.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';

const HASH = sha256Hex(Buffer.from('a chunk'));
const OTHER_HASH = sha256Hex(Buffer.from('another chunk'));
const ANYONE: Identity = { kind: 'anyone' };
const user = (role: Role, robot: string | null = null): Identity => ({
  kind: 'user',
  username: robot ?? role,
  role,
  robot: robot as RobotId | null,
});
const EVERYBODY: readonly Identity[] = [
  ANYONE,
  user('publisher'),
  user('technician'),
  user('relay'),
  user('robot', 'r1'),
];
const LEAVES = ['state', 'online', 'events', 'want'] as const;

const mayPublish = (who: Identity, topic: string, client = 'c1'): boolean =>
  decidePublish(who, client, topic).kind === 'allow';
const maySubscribe = (who: Identity, filter: string, client = 'c1'): boolean =>
  decideSubscribe(who, client, filter).kind === 'allow';

/** Levels that real topics are made of, so that random filters come close to what matters. */
const anyLevel = fc.constantFrom(
  ...['fleet', 'fleet-chunks', 'robots', 'rollouts', 'trust', 'refusals', 'updates', 'r1', 'r2'],
  ...[...LEAVES, 'c1', 'c2', '1', '+', '+', '#', '$SYS', '', HASH, OTHER_HASH],
);
const anyFilter = fc.oneof(
  fc.array(anyLevel, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/')),
  fc.string({ maxLength: 40 }),
);
const anyTopic = anyFilter.map((filter) => filter.replace(/[+#]/g, 'r2'));
const anyId = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

describe('the right to publish', () => {
  const rows: readonly [string, readonly string[]][] = [
    ['fleet/updates', ['anyone', 'publisher']],
    ['fleet/rollouts/x-1', ['anyone', 'publisher']],
    ['fleet/trust/2', ['anyone', 'publisher']],
    ['fleet/log/checkpoint', ['anyone', 'publisher']],
    ['fleet/log/0', ['anyone', 'publisher']],
    ['fleet/log/none', []],
    [`fleet-chunks/${HASH}`, ['anyone', 'publisher']],
    ...LEAVES.map(
      (leaf) =>
        [`fleet/robots/r1/${leaf}`, ['anyone', 'relay', 'robot']] as [string, readonly string[]],
    ),
    ['fleet/robots/r2/state', ['anyone', 'relay']],
    ['fleet/relays/site-a/online', ['anyone', 'publisher', 'relay']],
    ['fleet/refusals/c1', []],
    ['fleet/robots/r1/secrets', []],
    ['fleet/robots/+/state', []],
    ['fleet-chunks/nothing', []],
    ['foo/bar', []],
    ['$SYS/broker', []],
    ['$drover/ingested', []],
    ['', []],
  ];
  for (const [topic, allowed] of rows) {
    it(`${topic === '' ? 'the empty topic' : topic}: ${allowed.join(', ') || 'nobody'}`, () => {
      const found = EVERYBODY.filter((who) => mayPublish(who, topic));
      assert.deepEqual(
        found.map((who) => (who.kind === 'anyone' ? 'anyone' : who.role)),
        allowed,
      );
    });
  }

  it('a robot publishes its own four topics and nothing else whatsoever', () => {
    fc.assert(
      fc.property(anyId, anyTopic, anyId, (robot, topic, client) => {
        const own = LEAVES.map((leaf) => `fleet/robots/${robot}/${leaf}`);
        const who = user('robot', robot);
        assert.equal(mayPublish(who, topic, client), own.includes(topic));
        for (const one of own) assert.ok(mayPublish(who, one, client));
      }),
      { numRuns: 300 },
    );
  });

  it('a robot does not write for one whose id begins or ends like its own', () => {
    fc.assert(
      fc.property(anyId, anyId, fc.constantFrom(...LEAVES), (robot, other, leaf) => {
        fc.pre(robot !== other);
        assert.ok(!mayPublish(user('robot', robot), `fleet/robots/${other}/${leaf}`));
        assert.ok(!mayPublish(user('robot', robot), `fleet/robots/${robot}x/${leaf}`));
        assert.ok(!mayPublish(user('robot', robot), `fleet/robots/${robot}/../${other}/${leaf}`));
      }),
      { numRuns: 200 },
    );
  });

  it('no user publishes to a topic that is not ours, and a technician publishes nothing', () => {
    fc.assert(
      fc.property(anyTopic, fc.constantFrom(...EVERYBODY), (topic, who) => {
        if (parseTopic(topic) === null) assert.ok(!mayPublish(who, topic));
        assert.ok(!mayPublish(user('technician'), topic));
      }),
      { numRuns: 300 },
    );
  });
});

describe('a user of the role metrics', () => {
  it('writes and reads nothing over MQTT but refusals of its own', () => {
    const scraper = user('metrics');
    for (const topic of [
      'fleet/updates',
      'fleet/robots/r1/state',
      `fleet-chunks/${'a'.repeat(64)}`,
    ]) {
      assert.equal(mayPublish(scraper, topic), false, topic);
      assert.equal(maySubscribe(scraper, topic), false, topic);
    }
    for (const filter of ['fleet/#', '#', '$SYS/#', 'fleet/refusals/c2']) {
      assert.equal(maySubscribe(scraper, filter), false, filter);
    }
    assert.ok(maySubscribe(scraper, 'fleet/refusals/c1'));
  });
});

describe('the right to subscribe', () => {
  const all = ['anyone', 'publisher', 'technician', 'relay', 'robot'];
  const watchers = ['anyone', 'publisher', 'technician'];
  const rows: readonly [string, readonly string[]][] = [
    ['fleet/updates', all],
    ['fleet/rollouts/+', all],
    ['fleet/rollouts/x-1', all],
    ['fleet/trust/+', all],
    ['fleet/trust/2', all],
    ['fleet/log/+', watchers],
    ['fleet/log/checkpoint', watchers],
    [`fleet-chunks/${HASH}`, all],
    ['fleet/refusals/c1', all],
    ['fleet/refusals/c2', []],
    ['fleet/refusals/+', []],
    ['fleet/refusals/#', []],
    ['fleet/#', watchers],
    ['fleet/robots/+/state', watchers],
    ['fleet/robots/+/want', [...watchers, 'relay']],
    ['fleet/robots/r1/want', [...watchers, 'robot', 'relay']],
    ['fleet/robots/r2/want', [...watchers, 'relay']],
    ['$SYS/#', ['anyone', 'technician']],
    ['$SYS/broker/uptime', ['anyone', 'technician']],
    ['$drover/#', []],
    ['$share/all/fleet/updates', []],
    ['#', []],
    ['+/#', []],
    [`+/${HASH}`, []],
    ['+/+', []],
    ['fleet-chunks/#', []],
    ['fleet-chunks/+', []],
    ['fleet-chunks', []],
    ['foo/bar', []],
    [`fleet/${'x/'.repeat(200)}y`, []],
  ];
  for (const [filter, allowed] of rows) {
    it(`${filter.slice(0, 60)}: ${allowed.join(', ') || 'nobody'}`, () => {
      const found = EVERYBODY.filter((who) => maySubscribe(who, filter));
      const names = found.map((who) => (who.kind === 'anyone' ? 'anyone' : who.role));
      assert.deepEqual(new Set(names), new Set(allowed));
    });
  }

  it('a filter that does not name a chunk never delivers one', () => {
    fc.assert(
      fc.property(anyFilter, fc.constantFrom(...EVERYBODY), (filter, who) => {
        for (const topic of [`fleet-chunks/${HASH}`, `fleet-chunks/${OTHER_HASH}`]) {
          const leaks = maySubscribe(who, filter) && filterMatches(filter, topic);
          assert.ok(!leaks || filter === topic, filter);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('a filter that sweeps the chunk store is refused for that reason, to everybody', () => {
    for (const who of EVERYBODY) {
      for (const filter of ['#', '+/#', '+/+', 'fleet-chunks/#', `+/${HASH}`]) {
        const decision = decideSubscribe(who, 'c1', filter);
        assert.equal(decision.kind, 'deny');
        assert.match(decision.kind === 'deny' ? decision.reason : '', /chunks are read one by one/);
      }
    }
  });

  it('no filter that a robot may use delivers what is of another robot or connection', () => {
    const others = [...LEAVES.map((leaf) => `fleet/robots/r2/${leaf}`), 'fleet/refusals/c2'];
    fc.assert(
      fc.property(anyFilter, (filter) => {
        if (!maySubscribe(user('robot', 'r1'), filter)) return;
        for (const topic of others) assert.ok(!filterMatches(filter, topic), filter);
      }),
      { numRuns: 1_000 },
    );
  });

  it('a robot of any id reads its own topics and no other robot of any id', () => {
    fc.assert(
      fc.property(anyId, anyId, fc.constantFrom(...LEAVES), (robot, other, leaf) => {
        fc.pre(robot !== other);
        assert.ok(maySubscribe(user('robot', robot), `fleet/robots/${robot}/${leaf}`));
        assert.ok(!maySubscribe(user('robot', robot), `fleet/robots/${other}/${leaf}`));
      }),
      { numRuns: 200 },
    );
  });

  it('a relay gets no more about its robots than they want', () => {
    const kept = ['state', 'online', 'events'].map((leaf) => `fleet/robots/r2/${leaf}`);
    fc.assert(
      fc.property(anyFilter, (filter) => {
        if (!maySubscribe(user('relay'), filter)) return;
        for (const topic of kept) assert.ok(!filterMatches(filter, topic), filter);
      }),
      { numRuns: 1_000 },
    );
  });

  it('every refusal says why', () => {
    fc.assert(
      fc.property(anyFilter, fc.constantFrom(...EVERYBODY), (text, who) => {
        for (const decision of [decidePublish(who, 'c1', text), decideSubscribe(who, 'c1', text)]) {
          if (decision.kind === 'deny') assert.match(decision.reason, /^[a-z].+[^.]$/);
        }
      }),
      { numRuns: 200 },
    );
  });
});

test('all of 127.0.0.0/8 and ::1 are this machine, and nothing else is', () => {
  for (const host of ['127.0.0.1', '127.0.0.2', '127.255.255.254', '::1', 'localhost']) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '127.1',
    '127.0.0.256',
    '127.example.org',
    '128.0.0.1',
    '',
  ]) {
    assert.equal(isLoopback(host), false, host);
  }
});
