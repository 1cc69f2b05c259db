/**
 * Renders the access rules as the `authorization` block of a nats-server. NATS has no variables in
 * permissions, so each robot gets a block of its own. An omission fails closed: a password that is
 * not defined keeps the server from starting. Sans-I/O.
 */

import { rulesOf, type EngineUser } from './access-rules.ts';

/** How users authenticate: `verify_and_map` names them by the subject of their certificate. */
export type NatsIdentity = 'password' | 'certificate';

/**
 * JetStream delivers a subscription with QoS 1 on a subject of its own below this. The server
 * itself refuses such a filter to MQTT clients.
 */
const DELIVERY = '$MQTT.sub.>';

export function renderNatsAuthorization(
  users: readonly EngineUser[],
  identity: NatsIdentity,
): string {
  const blocks = users.map((user) => renderUser(user, identity));
  return `authorization {\n  users: [\n${blocks.join('\n')}\n  ]\n}\n`;
}

/** The name of the variable with the password of a user. */
export const natsPasswordVariable = (username: string): string => `password_${username}`;

function renderUser(user: EngineUser, identity: NatsIdentity): string {
  const { publish, subscribe } = rulesOf(user.role, user.robot);
  const who =
    identity === 'certificate'
      ? [`user: "CN=${user.username}"`]
      : [`user: "${user.username}"`, `password: $${natsPasswordVariable(user.username)}`];
  // An empty allow list would allow everything.
  const says =
    publish.length === 0
      ? 'publish: { deny: [">"] }'
      : `publish: { allow: [${quoted(publish.flatMap(subjectsOf))}] }`;
  const hears = quoted([...subscribe.flatMap(subjectsOf), DELIVERY]);
  return [
    '    {',
    ...who.map((line) => `      ${line}`),
    '      allowed_connection_types: ["MQTT"]',
    '      permissions: {',
    `        ${says}`,
    `        subscribe: { allow: [${hears}] }`,
    '      }',
    '    }',
  ].join('\n');
}

const quoted = (texts: readonly string[]): string => texts.map((one) => `"${one}"`).join(', ');

/**
 * The gateway's own translation: `/` is `.`, `+` is `*`, `#` is `>` and its parent as well. A
 * subject that begins with `$` is no MQTT topic there.
 */
export function subjectsOf(filter: string): string[] {
  if (filter.startsWith('$')) return [];
  const subject = filter.replaceAll('/', '.').replaceAll('+', '*').replace(/#$/, '>');
  return subject.endsWith('.>') ? [subject, subject.slice(0, -2)] : [subject];
}
