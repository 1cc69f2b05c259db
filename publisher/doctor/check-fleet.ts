/**
 * Judges the fleet on a broker: its leader, what is announced, its robots, and how they would react
 * to a bundle. Sans-I/O.
 */

import { timeLeft, instantText } from '../../shared/base/durations.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { isErrorCode, nullIfRefused, toProblem, type Problem } from '../../shared/base/errors.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { openAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { isAnnouncementEnding } from '../../shared/rules/trust-life.ts';
import type { Offer } from '../../shared/rules/stepping-stones.ts';
import { openLeader, type LeaseHolder } from '../rollout/active-rollouts.ts';
import { troubleCodes, type FleetRow } from '../rollout/fleet-report.ts';
import { forecast, isUseless, OUTLOOKS, outlookText, type Outlook } from '../rollout/forecast.ts';
import { signedAhead } from './check-reach.ts';
import type { ExaminedBundle, ControlFacts, DoctorFacts, RobotsFacts } from './facts.ts';
import { about, fail, ok, problemText, skip, caution, type Finding } from './finding.ts';

/** Robots named in one finding. */
const EXAMPLES = 5;

export function checkFleet(facts: DoctorFacts): Finding[] {
  const { robots, control } = facts.broker;
  const opened = openControl(facts);
  return [
    ...about('announcement', 'leader and announcement', control, () => opened.findings),
    ...about('robots', 'robots', robots, (found) => checkRobots(found, facts.now)),
    ...checkBundle(facts, opened.announcement),
  ];
}

interface OpenedControl {
  readonly announcement: Announcement | null;
  readonly findings: readonly Finding[];
}

function openControl({ broker: { control }, trust, now }: DoctorFacts): OpenedControl {
  if (control.kind !== 'known') return { announcement: null, findings: [] };
  if (trust.kind !== 'known') {
    const why = 'signatures cannot be checked without a trust.json (--trust)';
    const findings = [skip('leader', 'leader', why), skip('announcement', 'announcement', why)];
    return { announcement: null, findings };
  }
  const { leader, finding } = openLease(control.value, trust.value, now);
  const isLed = leader.kind === 'leads';
  const { announcement, findings } = openNewest(control.value, trust.value, { now, isLed });
  return { announcement, findings: [finding, ...findings] };
}

function openLease(
  { lease }: ControlFacts,
  trust: TrustRoot,
  now: number,
): { leader: LeaseHolder; finding: Finding } {
  let refused: Problem | null = null;
  const onInvalid = (error: unknown): void => {
    refused = toProblem(error);
  };
  const leader = openLeader(lease, trust, { now, onInvalid });
  return { leader, finding: judgeLeader(leader, refused) };
}

const NO_LEADER =
  'start a drover-broker with --rollout-key; without one robots take only --waves 100 and emergencies';

function judgeLeader(leader: LeaseHolder, refused: Problem | null): Finding {
  if (refused) {
    return caution('leader', `the lease does not verify: ${problemText(refused)}`, refused.hint);
  }
  if (leader.kind === 'leads') return ok('leader', `${leader.controller} leads the rollouts`);
  if (leader.kind === 'none')
    return caution('leader', 'no controller leads rollouts here', NO_LEADER);
  const at = instantText(leader.sinceMs);
  return caution(
    'leader',
    `no controller leads; the last one renewed its lease at ${at}`,
    NO_LEADER,
  );
}

function openNewest(
  { announcement: bytes }: ControlFacts,
  trust: TrustRoot,
  { now, isLed }: { readonly now: number; readonly isLed: boolean },
): OpenedControl {
  if (bytes === null) {
    return { announcement: null, findings: [ok('announcement', 'nothing is announced')] };
  }
  try {
    const announcement = openAnnouncement(bytes, trust);
    const aheadMs = announcement.issued_at - now;
    const clock = signedAhead(`announcement ${announcement.seq}`, aheadMs);
    return {
      announcement,
      findings: [...clock, judgeAnnouncement(announcement, { now, isLed })],
    };
  } catch (error) {
    const { hint, ...problem } = toProblem(error);
    const text = `what is announced does not verify: ${problemText(problem)}`;
    return { announcement: null, findings: [fail('announcement', text, hint)] };
  }
}

function judgeAnnouncement(
  announcement: Announcement,
  { now, isLed }: { readonly now: number; readonly isLed: boolean },
): Finding {
  const { seq, rollouts, expires_at: expires } = announcement;
  if (rollouts.length === 0) return ok('announcement', `announcement ${seq} has no rollout`);
  const count = countOf(rollouts.length, 'rollout');
  const name = `announcement ${seq} with ${count}`;
  if (now >= expires) {
    const text = `${name} expired at ${instantText(expires)} (ANNOUNCEMENT_EXPIRED)`;
    return fail('announcement', text, CATALOGUE.ANNOUNCEMENT_EXPIRED.hint);
  }
  const text = `${name}: ${timeLeft(expires - now)} left`;
  if (isLed) return ok('announcement', `${text}; the controller announces it again in time`);
  if (!isAnnouncementEnding(announcement, now)) return ok('announcement', text);
  const { hint } = CATALOGUE.ANNOUNCEMENT_EXPIRING;
  return caution('announcement', `${text} (ANNOUNCEMENT_EXPIRING)`, hint);
}

function checkRobots({ rows, invalid, isWhole }: RobotsFacts, now: number): Finding[] {
  const robots = new Set(rows.map(({ robot }) => robot.robot_id));
  const online = new Set(rows.filter((row) => row.online).map(({ robot }) => robot.robot_id));
  const more = isWhole ? [] : [caution('robots', 'reports are still coming in', 'run it again')];
  if (invalid > 0) {
    const text = `${countOf(invalid, 'report')} of robots could not be read`;
    more.push(caution('robots', text, 'drover fleet robots names the first topic'));
  }
  if (robots.size === 0) return [...more, ok('robots', 'no robot has reported to this broker yet')];
  const counted = countOf(robots.size, 'robot reports', 'robots report');
  const troubles = troublesOf(rows, now);
  const calm = troubles.length === 0 ? ', none with a problem' : '';
  const first = ok('robots', `${counted}, ${online.size} online${calm}`);
  return [first, ...more, ...troubles];
}

/** One finding for each code, the most frequent first. */
function troublesOf(rows: readonly FleetRow[], now: number): Finding[] {
  const byCode = new Map<string, Set<string>>();
  for (const row of rows) {
    for (const code of troubleCodes(row, now)) {
      byCode.set(code, (byCode.get(code) ?? new Set()).add(row.robot.robot_id));
    }
  }
  const counted = [...byCode].sort(([a, left], [b, right]) =>
    left.size === right.size ? (a < b ? -1 : 1) : right.size - left.size,
  );
  return counted.map(([code, ids]) => {
    const names = [...ids].slice(0, EXAMPLES).join(', ') + (ids.size > EXAMPLES ? ', …' : '');
    const who = countOf(ids.size, 'robot reports', 'robots report');
    return caution('robots', `${who} ${printable(code)}: ${names}`, hintOf(code));
  });
}

function hintOf(code: string): string {
  const name = code.replace(/^relay:/, '');
  return isErrorCode(name) ? CATALOGUE[name].hint : 'drover fleet robot ID shows its own hint';
}

function checkBundle({ bundle, broker, now }: DoctorFacts, beside: Announcement | null) {
  return about('bundle', 'bundle', bundle, (found) => {
    const { name, version, target_arch: arch } = found.manifest;
    const holds = ok('bundle', `bundle ${name} ${version} for ${arch}: robots would accept it`);
    if (broker.robots.kind !== 'known') {
      const why = 'their reports cannot be read here';
      return [holds, skip('forecast', 'reaction of the robots', why)];
    }
    return [holds, ...foresee(found, beside, { robots: broker.robots.value, now })];
  });
}

const GOOD: readonly Outlook[] = ['takes', 'steps', 'runs'];

function foresee(
  { manifest, hasLogProof }: ExaminedBundle,
  beside: Announcement | null,
  { robots, now }: { readonly robots: RobotsFacts; readonly now: number },
): Finding[] {
  const states = new Map(robots.rows.map(({ robot }) => [robot.robot_id, robot]));
  if (states.size === 0 || !robots.isWhole) {
    const why = states.size === 0 ? 'none has reported yet' : 'not all reports have arrived';
    return [skip('forecast', 'reaction of the robots', why)];
  }
  const offer = { id: '', target: { tags: [], robots: [] }, manifest, hasLogProof };
  const found = forecast(offer, offersOf(beside), [...states.values()], now);
  const useless = isUseless(found);
  const absent = absentFrom(found.notTargeted, manifest.name, useless);
  const outlooks = OUTLOOKS.filter((one) => found.robots[one].length > 0).map((one) => {
    const text = `robots: ${outlookText(found, one)}`;
    if (GOOD.includes(one)) return ok('forecast', text);
    const hint = isErrorCode(one) ? CATALOGUE[one].hint : '';
    return useless || one === 'VERSION_REUSED'
      ? fail('forecast', text, hint)
      : caution('forecast', text, hint);
  });
  return [...outlooks, ...absent];
}

/** Robots without the component; when no robot has it, this is the reason. */
function absentFrom(count: number, component: string, useless: boolean): Finding[] {
  if (count === 0) return [];
  const text = `robots: ${count} without the component ${component}`;
  if (!useless) return [ok('forecast', text)];
  return [fail('forecast', text, CATALOGUE.NO_ROBOT_TAKES_IT.hint)];
}

/** Rollouts whose manifest can be read, as the forecast wants them. */
function offersOf(announcement: Announcement | null): Offer[] {
  return (announcement?.rollouts ?? []).flatMap((rollout) => {
    const manifest = nullIfRefused(() => parseManifest(rollout.manifest));
    if (manifest === null) return [];
    const { id, target } = rollout;
    return [{ id, target, manifest, hasLogProof: rollout.log_proof !== undefined }];
  });
}
