/** Judges the way to the broker: addresses, certificates, login, role, API and clocks. Sans-I/O. */

import { formatDurationMs, timeLeft, instantText } from '../../shared/base/durations.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { ApiFacts, CertificateFact, DoorFact, DoctorFacts } from './facts.ts';
import { about, fail, ok, problemText, skip, caution, type Finding } from './finding.ts';

export function checkReach(facts: DoctorFacts): Finding[] {
  const { brokerDoors, apiDoor, now } = facts;
  return [
    ...checkBrokerDoors(brokerDoors, now),
    ...checkLogin(facts),
    checkRole(facts),
    ...(apiDoor ? checkDoor('api', apiDoor, now) : []),
    ...checkApi(facts),
    checkClock(facts),
  ];
}

/** While one node of a cluster answers, the others that do not are no obstacle. */
function checkBrokerDoors(doors: readonly DoorFact[], now: number): Finding[] {
  const isReached = doors.some(({ reach }) => reach.kind === 'known');
  return doors.flatMap((door) => {
    if (door.reach.kind !== 'failed' || !isReached) return checkDoor('broker', door, now);
    const { problem } = door.reach;
    return [caution('broker', problemText(problem), problem.hint)];
  });
}

function checkDoor(check: 'broker' | 'api', door: DoorFact, now: number): readonly Finding[] {
  const name = `${check === 'api' ? 'API' : 'broker'} ${door.address}`;
  return about(check, name, door.reach, ({ certificate }) => {
    if (certificate === null) return [ok(check, `${name} answers, without TLS`)];
    return [checkCertificate(check, `${name} answers with TLS`, { certificate, now })];
  });
}

const CA_HINT = 'give the authority that signed it with --ca';
const NAME_HINT = 'use a name or an address in the URL that stands in the certificate';

function checkCertificate(
  check: string,
  name: string,
  { certificate, now }: { readonly certificate: CertificateFact; readonly now: number },
): Finding {
  const { expiresMs, refusal } = certificate;
  const leftMs = expiresMs - now;
  const renew = 'renew the certificate of the broker; docs/tls.md says how';
  if (leftMs <= 0) {
    const at = instantText(expiresMs);
    return fail(check, `${name}; its certificate expired at ${at}`, renew);
  }
  if (refusal !== null) {
    const hint = refusal.includes('ALTNAME') ? NAME_HINT : CA_HINT;
    return fail(check, `${name}, but its certificate is refused: ${refusal}`, hint);
  }
  const text = `${name}; its certificate holds for ${timeLeft(leftMs)}`;
  return leftMs < LIMITS.certificateNoticeMs ? caution(check, text, renew) : ok(check, text);
}

function checkLogin({ broker }: DoctorFacts): readonly Finding[] {
  return about('login', 'login at the broker', broker.login, ({ username }) => [
    ok('login', username === null ? 'MQTT takes us without a user' : `MQTT login as ${username}`),
  ]);
}

const ROLE_HINT = 'publish as a user of that role: drover-broker passwd --role publisher';

/**
 * Nothing is published to find out. Our own broker says the role of a user over HTTP; the access
 * list of an external engine is not readable from here.
 */
function checkRole(facts: DoctorFacts): Finding {
  const { login, robots } = facts.broker;
  const what = 'the right to publish';
  const unsure = (why: string): Finding => skip('role', what, why);
  if (login.kind !== 'known') return unsure('there is no login at the broker');
  if (robots.kind === 'failed' && robots.problem.code === 'ACCESS_DENIED') {
    const text = `this user may not read robots, so it is no publisher (${robots.problem.code})`;
    return fail('role', text, ROLE_HINT);
  }
  if (facts.api.kind !== 'known') {
    return unsure('only the HTTP API says what a role allows (--api, with the token of this user)');
  }
  const { user, engine } = facts.api.value;
  if (engine.kind !== 'known') return unsure('the API did not say which MQTT engine it uses');
  if (!engine.value.isOwn) return unsure('the access list of the external MQTT engine decides it');
  return judgeUser(user, login.value.username, unsure);
}

function judgeUser(
  user: ApiFacts['user'],
  username: string | null,
  unsure: (why: string) => Finding,
): Finding {
  if (user === null) return unsure('this broker does not say roles');
  if (!user.needsSignIn) return ok('role', 'the broker has no users: everybody there may publish');
  if (user.name === null) return unsure('the API has no token of a user (--token-file)');
  if (user.name !== username) {
    const other = username ?? 'nobody';
    return unsure(`the token of the API is of ${user.name}, and MQTT has the login of ${other}`);
  }
  if (user.role === 'publisher') return ok('role', `${user.name} is a publisher: it may publish`);
  const text = `${user.name} is a ${user.role ?? 'user without a role'}: it may not publish`;
  return fail('role', text, ROLE_HINT);
}

function checkApi({ api }: DoctorFacts): readonly Finding[] {
  return about('api', 'HTTP API', api, ({ isHealthy, problems, engine, user }) => {
    const [first] = problems;
    if (!isHealthy) {
      const text = first ? problemText(first) : 'the broker says that it is not healthy';
      const hint = first?.hint ?? 'read its log: journalctl -u drover-broker';
      return [fail('api', `broker: ${text}`, hint)];
    }
    const as = user?.name != null ? ` to ${user.name}` : '';
    const denied = engine.kind === 'failed' ? [engine.problem] : [];
    return [
      ok('api', `the HTTP API answers${as}, and says that the broker is healthy`),
      ...denied.map((one) => fail('api', problemText(one), one.hint)),
    ];
  });
}

const CLOCK_HINT = 'set the clock of the machine that is wrong: timedatectl set-ntp true';

function checkClock({ api, broker }: DoctorFacts): Finding {
  if (api.kind === 'known' && api.value.aheadMs !== null) return judgeClock(api.value.aheadMs);
  const isKnown = broker.control.kind === 'known' && broker.control.value.announcement !== null;
  const more = isKnown ? '; the announcement below shows only a clock that is behind' : '';
  return skip('clock', 'clock', `only the HTTP API shows that of the broker (--api)${more}`);
}

function judgeClock(aheadMs: number): Finding {
  const offMs = Math.abs(aheadMs);
  if (offMs <= LIMITS.doctorClockOffMs) return ok('clock', 'the clocks here and there agree');
  const span = formatDurationMs(Math.round(offMs / 1000) * 1000);
  const text = `the clock of the broker is ${span} ${aheadMs > 0 ? 'ahead of' : 'behind'} the one here`;
  return (offMs > LIMITS.aheadMsMax ? fail : caution)('clock', text, CLOCK_HINT);
}

/** @param issuedAheadMs the time at which something was signed, minus ours */
export function signedAhead(what: string, issuedAheadMs: number): Finding[] {
  if (issuedAheadMs <= LIMITS.doctorClockOffMs) return [];
  const span = formatDurationMs(Math.round(issuedAheadMs / 1000) * 1000);
  const text = `${what} was signed ${span} ahead of the clock here`;
  return [(issuedAheadMs > LIMITS.aheadMsMax ? fail : caution)('clock', text, CLOCK_HINT)];
}
