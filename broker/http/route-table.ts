/**
 * Routes of the HTTP API. docs/http.md and `/openapi.json` are made from this table; a test compares it with the
 * routes that a broker registers and with the fields of its answers.
 */

import { ATTACHMENT_KINDS } from '../../shared/formats/attachments.ts';
import { ROLLOUT_COMMANDS } from '../rollout/rollout-view.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';

export interface HttpRoute {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Where the broker has credentials; without them it listens on loopback, for everybody there. */
  readonly who:
    'anybody' | 'metrics, technician, publisher' | 'technician, publisher' | 'publisher';
  readonly purpose: string;
  /** Fields of the answer, those that are not always there with a `?`; else its media type. */
  readonly answer: readonly string[] | string;
  /** Fields that a request may have: of a JSON body, or of the query for GET. */
  readonly given?: readonly string[];
  readonly refusals?: readonly ErrorCode[];
}

const READERS = 'technician, publisher' as const;
const PAGE_FILES = [
  ['/page.css', 'text/css'],
  ['/page.js', 'text/javascript'],
  ['/page.svg', 'image/svg+xml'],
  ['/page.docs.css', 'text/css'],
  ['/page.docs.js', 'text/javascript'],
] as const;
const SAID = ['reason', 'by', 'wave', 'signed'];

const COMMAND_PURPOSE: Readonly<Record<(typeof ROLLOUT_COMMANDS)[number], string>> = {
  pause: 'let no more robots join; a technician may say it too',
  resume: 'let it go on after a pause',
  abort: 'stop it for good; robots that took it keep it',
  rollback: 'stop it for good; robots that took it go back',
  approve:
    'say yes to a wave whose gate has passed; `wave` names it; with `approvers` above 1 each user counts once; `signed` of a user with an approval key: [signed](rollouts.md#approvals-that-are-signed)',
  'force-open': 'open the next wave without a verdict; `reason` and `wave` are required',
};

/** Refusals of a broker that cannot keep what was decided. */
const DISK_REFUSALS = ['DISK_FULL', 'DISK_READ_ONLY', 'DISK_WRITE_FAILED'] as const;

/** Refusals of a body that cannot be read. */
const BODY_REFUSALS = ['USAGE', 'JSON_INVALID', 'DOCUMENT_TOO_LARGE'] as const;

/** Refusals of a request for a certificate. */
const CSR_REFUSALS = [
  ...(['CSR_INVALID', 'CSR_KEY_REFUSED'] as const),
  ...(['CERTIFICATES_OFF', 'CERTIFICATE_CLOCK', 'CERTIFICATE_EXPIRED'] as const),
] as const;

const COMMAND_REFUSALS: readonly ErrorCode[] = [
  ...(['NOT_FOUND', 'NO_CONTROLLER', 'NOT_LEADING', 'NOT_LED_YET', 'ROLLOUT_FINAL'] as const),
  ...(['APPROVAL_TOO_EARLY', 'ROLLOUT_COMMAND_INVALID', 'ACCESS_DENIED'] as const),
  ...(['APPROVER_IS_PUBLISHER', 'APPROVER_UNKNOWN', 'APPROVAL_UNSIGNED'] as const),
  ...(['APPROVAL_KEY_WRONG', 'APPROVAL_INVALID', 'APPROVAL_OF_ANOTHER'] as const),
  ...(['APPROVAL_CLOCK', ...DISK_REFUSALS] as const),
];

const ENROLMENT_PURPOSE = {
  accept: 'say yes to a robot that waits with its claim',
  refuse: 'say no to it: its claim is void',
  revoke: 'end the claim and the enrolled credential of a robot',
} as const;

export const HTTP_ROUTES: readonly HttpRoute[] = [
  {
    ...{ method: 'GET', path: '/', who: 'anybody' },
    purpose: 'the page; it asks a person to sign in where the broker has credentials',
    answer: 'text/html',
  },
  {
    ...{ method: 'GET', path: '/docs', who: 'anybody' },
    purpose: 'this table as a page of the broker itself, drawn from its `/openapi.json`',
    answer: 'text/html',
  },
  ...PAGE_FILES.map(([path, answer]): HttpRoute => ({
    ...{ method: 'GET', path, who: 'anybody', answer },
    purpose: 'a part of the page',
  })),
  {
    ...{ method: 'GET', path: '/user', who: 'anybody' },
    purpose: 'the user of the token or session; null for nobody',
    answer: ['user', 'role', 'approval_key', 'needs_sign_in', 'csrf', 'expires_in_s'],
  },
  {
    ...{ method: 'POST', path: '/sign-in', who: 'anybody' },
    purpose: 'begins a session of the page, in a cookie; without `username` the secret is a token',
    answer: ['user', 'role', 'approval_key', 'needs_sign_in', 'csrf', 'expires_in_s'],
    given: ['username', 'secret'],
    refusals: ['SIGN_IN_REFUSED', 'SIGN_IN_LIMITED', 'ACCESS_DENIED', 'CONNECTIONS_FULL', 'USAGE'],
  },
  {
    ...{ method: 'POST', path: '/sign-out', who: 'anybody' },
    purpose: 'ends that session',
    answer: ['signed_out'],
    refusals: ['ACCESS_DENIED'],
  },
  {
    ...{ method: 'GET', path: '/healthz', who: 'anybody' },
    purpose: '200 while the broker can keep what it takes, else 503 and why; what expires soon',
    answer: ['healthy', 'problems', 'expires?', 'upstream?'],
  },
  {
    ...{ method: 'GET', path: '/openapi.json', who: 'anybody' },
    purpose: 'this API as OpenAPI 3.1',
    answer: ['openapi', 'info', 'servers', 'paths', 'components'],
  },
  {
    ...{ method: 'GET', path: '/site', who: 'anybody' },
    purpose:
      'where MQTT clients reach this broker: `mqtt` is the address of `--public-mqtt`, else null, and `doors` are its own, on the host of this API; `drover --url` reads it',
    answer: ['mqtt', 'doors'],
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
    purpose:
      'the last words of every robot, and what the broker knows of it; `limit` (at most 1,000) makes pages by id, `next` is the `after` of the page that follows, null at the end; the others are filters; 304 for an `If-None-Match` that still holds',
    answer: ['robots', 'next?'],
    given: ['limit', 'after', 'tag', 'component', 'version', 'phase', 'online'],
    refusals: ['USAGE'],
  },
  {
    ...{ method: 'GET', path: '/robots/versions', who: READERS },
    purpose:
      'version of the main component of every robot, and how many robots run each version of each component; null where nothing is installed, `unknown` where a robot does not know what runs; `limit` and `after` make pages of the list, as of `/robots`: with `limit=1` the answer is quick in a fleet of any size',
    answer: ['versions', 'counts', 'next?'],
    given: ['limit', 'after'],
    refusals: ['USAGE'],
  },
  {
    ...{ method: 'GET', path: '/robots/:id', who: READERS },
    purpose: 'one robot with its latest events',
    answer: ['robot_id', 'online', 'components', 'events'],
    refusals: ['NOT_FOUND'],
  },
  {
    ...{ method: 'GET', path: '/robots/:id/logs', who: READERS },
    purpose: 'logs of failed updates: those that came here, and those that the robot keeps',
    answer: ['robot_id', 'logs', 'kept'],
    refusals: ['NOT_FOUND'],
  },
  {
    ...{ method: 'GET', path: '/robots/:id/logs/:component', who: READERS },
    purpose: 'the text of such a log',
    answer: 'text/plain',
    refusals: ['NOT_FOUND', 'FAILURE_LOG_NONE', 'FAILURE_LOG_INVALID'],
  },
  {
    ...{ method: 'POST', path: '/robots/:id/logs', who: READERS },
    purpose: 'ask a robot for the logs that it keeps; they come within seconds',
    answer: ['asked', 'components'],
    refusals: ['NOT_FOUND', 'FAILURE_LOG_NONE', 'FAILURE_LOG_UNANSWERED', 'ACCESS_DENIED'],
  },
  {
    ...{ method: 'POST', path: '/robots/:id/retire', who: 'publisher' },
    purpose:
      'forget a robot that does not come back; `enrolled`: it has an enrolled credential, which stays good until it is revoked',
    answer: ['retired', 'enrolled'],
    refusals: ['NOT_FOUND', 'ROBOT_ONLINE', 'ACCESS_DENIED'],
  },
  {
    ...{ method: 'POST', path: '/enrol', who: 'anybody' },
    purpose: 'a robot enrols with its claim: [enrolment.md](enrolment.md)',
    given: ['claim', 'token_sha256', 'csr'],
    answer: ['robot_id', 'status', 'certificate?'],
    refusals: [
      ...(['CLAIM_UNKNOWN', 'CLAIM_USED', 'CLAIM_EXPIRED', 'CLAIM_REVOKED'] as const),
      ...(['CLAIM_KEY_TAKEN', 'CLAIM_TRIES', 'ROBOT_NAME_TAKEN', ...CSR_REFUSALS] as const),
      ...(['ENROLMENT_OFF', 'ACCESS_DENIED', 'STORE_FULL'] as const),
      ...([...BODY_REFUSALS, ...DISK_REFUSALS] as const),
    ],
  },
  {
    ...{ method: 'POST', path: '/renew', who: 'anybody' },
    purpose:
      'a robot renews the certificate that it enrolled for; `signature` is by its key: [enrolment.md](enrolment.md#certificates)',
    given: ['certificate', 'csr', 'signature'],
    answer: ['robot_id', 'certificate'],
    refusals: [
      ...([
        'CERTIFICATE_UNKNOWN',
        'CERTIFICATE_FOREIGN',
        'CERTIFICATE_NOT_DUE',
        'CERTIFICATE_TOO_OLD',
      ] as const),
      ...(['CLAIM_KEY_TAKEN', 'CLAIM_TRIES', 'ENROLMENT_OFF', 'ACCESS_DENIED'] as const),
      ...([...CSR_REFUSALS, ...BODY_REFUSALS, ...DISK_REFUSALS] as const),
    ],
  },
  {
    ...{ method: 'GET', path: '/enrolments', who: READERS },
    purpose:
      'claims and the robots that used them, each with whether it has `reported` (a retired one has not); nothing in it is secret',
    answer: ['enrolments'],
    refusals: ['ENROLMENT_OFF'],
  },
  ...(['accept', 'refuse', 'revoke'] as const).map((command): HttpRoute => {
    return {
      ...{ method: 'POST', path: `/enrolments/:id/${command}`, who: 'publisher' },
      purpose: ENROLMENT_PURPOSE[command],
      answer: ['enrolment'],
      refusals: ['NOT_FOUND', 'ENROLMENT_OFF', 'ACCESS_DENIED', ...DISK_REFUSALS],
    };
  }),
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
    purpose:
      'one rollout, also one that the controller remembers and that is announced no more; for the name of a set `id`, `set`, and its rollouts as `rollouts`',
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
      'words',
      'failures',
      'unmet',
      'unmet',
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
  {
    ...{ method: 'GET', path: '/rollouts/:id/robots', who: READERS },
    purpose:
      'its robots, each with a reason: `state` is one of [rollouts.md](rollouts.md#robots-of-a-rollout) or several with commas, `after` the last id of the page before (`next`)',
    answer: ['robots', 'total', 'next', 'counts', 'awaited', 'waves', 'failures'],
    given: ['state', 'after', 'limit'],
    refusals: ['NOT_FOUND', 'USAGE'],
  },
  {
    ...{ method: 'GET', path: '/rollouts/:id/commands', who: READERS },
    purpose:
      'which commands this user may give now, and what each would do to how many robots; changes nothing',
    answer: ['commands', 'led'],
    refusals: ['NOT_FOUND'],
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
    answer: ['rollout', 'command', 'run', 'refused?'],
    given: SAID,
    refusals: COMMAND_REFUSALS,
  })),
  {
    ...{ method: 'GET', path: '/audit', who: 'publisher' },
    purpose:
      'records of the audit chain, from the one after number `after`, one line each, as they were hashed: [audit.md](audit.md)',
    answer: 'application/jsonl',
    given: ['after', 'limit'],
    refusals: ['USAGE', 'ACCESS_DENIED'],
  },
  {
    ...{ method: 'GET', path: '/audit/head', who: READERS },
    purpose: 'number and hash of its newest record, and what waits for the disk',
    answer: ['head', 'waiting', 'problem'],
  },
  {
    ...{ method: 'GET', path: '/webhooks', who: 'publisher' },
    purpose:
      'receivers of `--webhook` with their newest deliveries: [webhooks](operations.md#webhooks)',
    answer: ['webhooks'],
    refusals: ['ACCESS_DENIED'],
  },
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
