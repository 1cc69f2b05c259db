/**
 * The rules generated for mosquitto and NATS decide as our own broker does: all come from one
 * table.
 */

import fc from 'fast-check';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ENGINE_USERS, type EngineUser } from '../../../broker/access/access-rules.ts';
import { decidePublish, decideReceive, type Identity } from '../../../broker/access/access.ts';
import { renderMosquittoAcl } from '../../../broker/access/acl-mosquitto.ts';
import { renderNatsAuthorization, subjectsOf } from '../../../broker/access/acl-nats.ts';
import { filterMatches, parseTopic } from '../../../shared/formats/topics.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { repositoryFile } from '../../helpers/repository.ts';

const robot = (id: string): EngineUser => ({
  username: id,
  role: 'robot',
  robot: parseRobotId(id),
});
const USERS: readonly EngineUser[] = [
  ...ENGINE_USERS,
  { username: 'eye', role: 'technician', robot: null },
  { username: 'site', role: 'relay', robot: null },
  robot('r1'),
  robot('r2'),
];

type Action = 'read' | 'write';

/** mosquitto's aclfile.c in small: the lines of the user, then the patterns with its name. */
function mosquittoAllows(acl: string, user: string, action: Action, topic: string): boolean {
  let section = '';
  return acl.split('\n').some((line) => {
    const [word = '', may = '', pattern = ''] = line.split(' ');
    if (word === 'user') section = may;
    if (word === 'topic' && section !== user) return false;
    if (word !== 'topic' && word !== 'pattern') return false;
    if (may !== action && may !== 'readwrite') return false;
    return filterMatches(pattern.replaceAll('%u', user), topic);
  });
}

/** Subjects of NATS: tokens between dots, `*` is one and `>` one or more. */
function natsAllows(config: string, user: string, action: Action, topic: string): boolean {
  const block = config.split('    {\n').find((one) => one.includes(`user: "${user}"`)) ?? '';
  const word = action === 'read' ? 'subscribe' : 'publish';
  const list = new RegExp(`${word}: \\{ allow: \\[(.*)\\]`).exec(block)?.[1] ?? '';
  const tokens = topic.replaceAll('/', '.').split('.');
  return [...list.matchAll(/"([^"]+)"/g)].some(([, subject = '']) => {
    const wanted = subject.split('.');
    const isOpen = wanted.at(-1) === '>';
    const fits = wanted.every((one, at) => one === '>' || one === '*' || one === tokens[at]);
    return fits && (isOpen ? tokens.length >= wanted.length : tokens.length === wanted.length);
  });
}

const HASH = sha256Hex(Buffer.from('a chunk'));
const anyTopic = fc.oneof(
  fc.constantFrom('fleet/updates', 'fleet/controller', 'fleet/rollouts/x', 'fleet/trust/2'),
  fc.constantFrom('fleet/log/checkpoint', 'fleet/log/7', 'fleet/log'),
  fc.constantFrom(`fleet-chunks/${HASH}`, 'fleet/relays/site/online', 'fleet/relays/x/state'),
  fc
    .tuple(
      fc.constantFrom('r1', 'r2', 'r3', 'site'),
      fc.constantFrom('state', 'online', 'events', 'want', 'secrets'),
    )
    .map(([id, leaf]) => `fleet/robots/${id}/${leaf}`),
);

/** The decision of our broker; null for `broker`, a role that only stock engines have. */
function ours(user: EngineUser, action: Action, topic: string): boolean | null {
  if (user.role === 'broker') return null;
  const identity: Identity = { kind: 'user', ...user, role: user.role };
  const decide = action === 'write' ? decidePublish : decideReceive;
  return decide(identity, 'c1', topic).kind === 'allow';
}

describe('one source of access rules', () => {
  const acl = renderMosquittoAcl(USERS);
  const nats = renderNatsAuthorization(USERS, 'password');

  it('gives the same answer for every topic of ours on all three engines', () => {
    const anyAction = fc.constantFrom<Action>('read', 'write');
    fc.assert(
      fc.property(fc.constantFrom(...USERS), anyAction, anyTopic, (user, action, topic) => {
        const { username } = user;
        const onNats = natsAllows(nats, username, action, topic);
        const own = ours(user, action, topic);
        // mosquitto's patterns hold for every user: the name of one may not be that of a robot.
        const isOwnName = user.role !== 'robot' && topic.startsWith(`fleet/robots/${username}/`);
        if (!isOwnName && user.role !== 'broker') {
          // Every user reads what robots read: the patterns again, and nobody reads less.
          assert.equal(
            mosquittoAllows(acl, username, action, topic),
            onNats,
            `${username} ${topic}`,
          );
        }
        // Other brokers carry topics that are none of ours, to watchers only.
        if (own !== null && parseTopic(topic) !== null) assert.equal(onNats, own, topic);
      }),
      { numRuns: 2_000 },
    );
  });

  it('lets an attached broker lead and restore messages, and report for no robot', () => {
    for (const allows of [mosquittoAllows.bind(null, acl), natsAllows.bind(null, nats)]) {
      const may = (action: Action, topic: string): boolean =>
        allows('drover-broker', action, topic);
      for (const topic of ['fleet/updates', 'fleet/trust/2', `fleet-chunks/${HASH}`]) {
        assert.ok(may('read', topic) && may('write', topic), topic);
      }
      assert.ok(may('read', 'fleet/robots/r1/events'));
      assert.ok(!may('write', 'fleet/robots/r1/state'));
    }
  });

  it('stands in mosquitto.conf, word for word', () => {
    const text = readFileSync(repositoryFile('mosquitto.conf'), 'utf8');
    const lines = [...text.matchAll(/^#:acl (.+)$/gm)].map((match) => match[1]);
    assert.equal(`${lines.join('\n')}\n`, renderMosquittoAcl(ENGINE_USERS));
  });

  it('refuses names that would give a user the rights of a robot on mosquitto', () => {
    const twice = [robot('r1'), { username: 'r1', role: 'relay', robot: null } as const];
    assert.throws(() => renderMosquittoAcl(twice), { code: 'USAGE' });
    const other = [{ ...robot('r1'), username: 'arm' }];
    assert.throws(() => renderMosquittoAcl(other), { code: 'USAGE' });
  });

  it('never leaves a list of NATS empty, since that would allow everything', () => {
    const eye = renderNatsAuthorization([USERS[2] as EngineUser], 'certificate');
    assert.match(eye, /user: "CN=eye"/);
    assert.match(eye, /publish: \{ deny: \[">"\] \}/);
    assert.doesNotMatch(nats, /allow: \[\]/);
    assert.deepEqual(subjectsOf('fleet/#'), ['fleet.>', 'fleet']);
    assert.deepEqual(subjectsOf('$SYS/#'), []);
  });
});
