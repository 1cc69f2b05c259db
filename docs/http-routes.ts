/**
 * Routes of the HTTP API. docs/http.md is generated from this table; a test compares it with the
 * routes that a broker registers and with the fields of its answers.
 */

import { ATTACHMENT_KINDS } from '../shared/formats/attachments.ts';
import { ROLLOUT_COMMANDS } from '../broker/rollout/rollout-view.ts';
import type { ErrorCode } from '../shared/base/error-catalogue.ts';

export interface HttpRoute {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Where the broker has credentials; without them it listens on loopback, for everybody there. */
  readonly who:
    'anybody' | 'metrics, technician, publisher' | 'technician, publisher' | 'publisher';
  readonly purpose: string;
  /** Fields of the answer, those that are not always there with a `?`; else its media type. */
  readonly answer: readonly string[] | string;
  /** What the request may say: fields of a JSON body, or of the query for GET. */
  readonly given?: readonly string[];
  readonly refusals?: readonly ErrorCode[];
}

const READERS = 'technician, publisher' as const;
const SAID = ['reason', 'by', 'wave'];

const COMMAND_PURPOSE: Readonly<Record<(typeof ROLLOUT_COMMANDS)[number], string>> = {
  pause: 'let no more robots join; a technician may say it too',
  resume: 'let it go on after a pause',
  abort: 'stop it for good; robots that took it keep it',
  rollback: 'stop it for good; robots that took it go back',
  approve: 'say yes to a wave whose gate has passed; `wave` names it',
  'force-open': 'open the next wave without a verdict; `reason` and `wave` are required',
};

const COMMAND_REFUSALS: readonly ErrorCode[] = [
  ...(['NOT_FOUND', 'NO_CONTROLLER', 'NOT_LEADING', 'NOT_LED_YET', 'ROLLOUT_FINAL'] as const),
  ...(['APPROVAL_TOO_EARLY', 'ROLLOUT_COMMAND_INVALID', 'ACCESS_DENIED'] as const),
];

export const HTTP_ROUTES: readonly HttpRoute[] = [
  {
    ...{ method: 'GET', path: '/', who: 'anybody' },
    purpose: 'the dashboard; it asks for a token where one is needed',
    answer: 'text/html',
  },
  {
    ...{ method: 'GET', path: '/healthz', who: 'anybody' },
    purpose: '200 while the broker can keep what it takes, else 503 and why; what expires soon',
    answer: ['healthy', 'problems', 'expires?', 'upstream?'],
  },
  {
    ...{ method: 'GET', path: '/metrics', who: `metrics, ${READERS}` },
    purpose: 'for Prometheus: [metrics.md](metrics.md)',
    answer: 'text/plain',
  },
  {
    ...{ method: 'GET', path: '/events', who: READERS },
    purpose: 'events of robots as they come (server-sent events, `event: robot`)',
    answer: 'text/event-stream',
    refusals: ['CONNECTIONS_FULL'],
  },
  {
    ...{ method: 'GET', path: '/robots', who: READERS },
    purpose: 'the last words of every robot, and what the broker knows of it',
    answer: ['robots'],
  },
  {
    ...{ method: 'GET', path: '/robots/versions', who: READERS },
    purpose: 'version of the main component of every robot',
    answer: ['versions'],
  },
  {
    ...{ method: 'GET', path: '/robots/:id', who: READERS },
    purpose: 'one robot with its latest events',
    answer: ['robot_id', 'online', 'components', 'events'],
    refusals: ['NOT_FOUND'],
  },
  {
    ...{ method: 'POST', path: '/robots/:id/retire', who: 'publisher' },
    purpose: 'forget a robot that does not come back',
    answer: ['retired'],
    refusals: ['NOT_FOUND', 'ROBOT_ONLINE', 'ACCESS_DENIED'],
  },
  {
    ...{ method: 'GET', path: '/relays', who: READERS },
    purpose: 'relays below this broker, and what keeps them from bringing releases',
    answer: ['relays'],
  },
  {
    ...{ method: 'GET', path: '/requests', who: READERS },
    purpose: 'robots that are too old for what is announced, and which version they lack',
    answer: ['requests'],
  },
  {
    ...{ method: 'GET', path: '/rollouts', who: READERS },
    purpose: 'what is announced, each with its waves, counts and run; what expires',
    answer: ['rollouts', 'expires?'],
  },
  {
    ...{ method: 'GET', path: '/rollouts/:id', who: READERS },
    purpose: 'one rollout, also one that the controller remembers and that is announced no more',
    answer: [
      'id',
      'component',
      'version',
      'status',
      'robots',
      'waves',
      'attachments',
      'run',
      'led',
    ],
    refusals: ['NOT_FOUND'],
  },
  {
    ...{ method: 'GET', path: '/rollouts/:id/history', who: READERS },
    purpose: 'decisions with their evidence, from the entry after number `after`',
    answer: ['entries', 'led'],
    given: ['after', 'limit'],
    refusals: ['NOT_FOUND', 'USAGE'],
  },
  ...ATTACHMENT_KINDS.map((kind): HttpRoute => ({
    ...{ method: 'GET', path: `/rollouts/:id/${kind}`, who: READERS },
    purpose: `the ${kind} that was published with it, byte for byte`,
    answer: 'the media type that its manifest names',
    refusals: ['NOT_FOUND', 'CONNECTIONS_FULL', 'BROKER_UNREACHABLE', 'ATTACHMENT_MISMATCH'],
  })),
  ...ROLLOUT_COMMANDS.map((command): HttpRoute => ({
    ...{ method: 'POST', path: `/rollouts/:id/${command}`, who: 'publisher' },
    purpose: COMMAND_PURPOSE[command],
    answer: ['rollout', 'command', 'run'],
    given: SAID,
    refusals: COMMAND_REFUSALS,
  })),
  {
    ...{ method: 'GET', path: '/sessions', who: READERS },
    purpose: 'MQTT sessions that outlive their connections; not on an external engine',
    answer: ['sessions'],
  },
  {
    ...{ method: 'POST', path: '/sessions/:id/remove', who: 'publisher' },
    purpose: 'remove one of them with what is queued for it',
    answer: ['removed'],
    refusals: ['NOT_FOUND', 'ACCESS_DENIED'],
  },
  {
    ...{ method: 'GET', path: '/engine', who: READERS },
    purpose: 'the MQTT engine: ours, or an external one with what it lacks',
    answer: ['engine'],
  },
  {
    ...{ method: 'GET', path: '/upstream', who: READERS },
    purpose: 'on a relay its way up; else null',
    answer: ['upstream'],
  },
  {
    ...{ method: 'GET', path: '/garbage', who: READERS },
    purpose: 'chunks that wait to be removed, and were removed',
    answer: ['garbage'],
  },
];
