/**
 * Renders the access rules as mosquitto's acl_file. A robot's user name is its id there (`%u`), so
 * one set of patterns serves the whole fleet and the file need not change when a robot is added.
 * These patterns apply to every user, so no other user may have the name of a robot; this file
 * checks that. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { ACCESS_RULES, ROBOT_VARIABLE, type AccessRules, type EngineUser } from './access-rules.ts';

/** @throws DroverError USAGE for a name that would get the rights of a robot */
export function renderMosquittoAcl(users: readonly EngineUser[]): string {
  assertNames(users);
  const others = users.filter((user) => user.role !== 'robot');
  const lines = others.flatMap(({ username, role }) => [
    `user ${username}`,
    ...ruleLines('topic', ACCESS_RULES[role]),
  ]);
  return `${[...lines, ...ruleLines('pattern', ACCESS_RULES.robot)].join('\n')}\n`;
}

function ruleLines(word: 'topic' | 'pattern', { publish, subscribe }: AccessRules): string[] {
  return [...new Set([...publish, ...subscribe])].map((pattern) => {
    const both = publish.includes(pattern) && subscribe.includes(pattern);
    const may = both ? 'readwrite' : publish.includes(pattern) ? 'write' : 'read';
    return `${word} ${may} ${pattern.replace(ROBOT_VARIABLE, '%u')}`;
  });
}

function assertNames(users: readonly EngineUser[]): void {
  const robots = new Set(users.map((user) => user.robot).filter((robot) => robot !== null));
  for (const { username, role, robot } of users) {
    if (role === 'robot' && username !== robot) {
      const counts = `(got user ${username} of robot ${robot}, want one name)`;
      throw new DroverError('USAGE', `write acl_file: a robot logs in with its id ${counts}`);
    }
    if (role !== 'robot' && robots.has(username as never)) {
      const why = `would have the rights of the robot ${username}`;
      throw new DroverError('USAGE', `write acl_file: ${role} ${username}: ${why}`);
    }
  }
}
