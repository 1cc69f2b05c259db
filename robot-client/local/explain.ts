/**
 * `drover-robot explain`: says what the robot does, why it waits, and until when, in sentences.
 * Sans-I/O.
 */

import { instantText, shortly, timeLeft } from '../../shared/base/durations.ts';
import { ATOMIC_SWAP, SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { linkEnd } from '../../shared/base/broker-urls.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { filledHint, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { daysUntil, endedAgo, trustProblem } from '../../shared/rules/trust-life.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import type { OwnCertificate } from '../enrolment/renewal-plan.ts';
import type { ComponentView } from '../fleet/report.ts';
import { doubtOf } from '../fleet/report.ts';
import { runningOf } from '../../shared/rules/running-version.ts';
import { outsideProblems } from '../install/slots.ts';

const MiB = 1024 * 1024;
/** Longest list of entries that stay in releases/. */
const LEFT_LINES_MAX = 20;

export function explainRobot(
  facts: {
    readonly robot: RobotId;
    readonly broker: string;
    readonly isUp: boolean;
    /** Why there is no link. */
    readonly linkProblem?: Problem | null;
    readonly announcementSeq: number | null;
    readonly eventsWaiting: number;
    /** Links in a row that the broker ended soon; 0 when not suspicious. */
    readonly endings?: number;
    readonly trust?: Pick<TrustRoot, 'version' | 'expires'>;
    /** Null when it also takes releases that are in no log. */
    readonly logPolicy?: LogPolicy | null;
    /** Lines about paths that others may change, with which updates go on. */
    readonly warned?: readonly string[];
    readonly certificate?: OwnCertificate | null;
  },
  components: readonly ComponentView[],
  now: EpochMs,
): string[] {
  const { robot, broker, announcementSeq: seq, eventsWaiting } = facts;
  const link = facts.isUp ? 'up' : 'down, trying again';
  const heard = seq === null ? 'no announcement' : `announcement ${seq}`;
  return [
    `robot ${robot}: link to ${linkEnd(broker).words} is ${link}; ${heard} accepted`,
    ...(facts.linkProblem ? problemLines('no link', facts.linkProblem) : []),
    ...(facts.certificate ? explainCertificate(facts.certificate, now) : []),
    ...(facts.trust ? explainTrust(facts.trust, now) : []),
    ...(facts.logPolicy ? [explainLog(facts.logPolicy)] : []),
    ...(facts.warned ?? []).map((line) => `  warning: ${line}`),
    ...explainEndings(facts.endings ?? 0),
    ...(eventsWaiting > 0
      ? [`  ${countOf(eventsWaiting, 'event waits', 'events wait')} to be sent`]
      : []),
    ...components.flatMap((view) => explainComponent(view, now)),
  ];
}

/** How long the keys are valid, for GET /status. */
export function showTrust(trust: Pick<TrustRoot, 'version' | 'expires'>, now: EpochMs): object {
  const problem = trustProblem(trust, now);
  return {
    version: trust.version,
    expires_at: instantText(trust.expires),
    days_left: daysUntil(trust.expires, now),
    problem: problem && toProblem(problem),
  };
}

function explainTrust(trust: Pick<TrustRoot, 'version' | 'expires'>, now: EpochMs): string[] {
  const days = daysUntil(trust.expires, now);
  const problem = trustProblem(trust, now);
  if (!problem) {
    return [`  trust.json version ${trust.version} holds for ${timeLeft(trust.expires - now)}`];
  }
  const { message, code, hint } = toProblem(problem);
  const since =
    days < 0 ? `, ${endedAgo(trust.expires, now)} by this clock (${instantText(now)})` : '';
  return [`  ${message}${since} (${code})`, `  hint: ${hint}`];
}

function explainCertificate(view: OwnCertificate, now: EpochMs): string[] {
  const { expires_at: at, renews, problem } = view;
  if (problem) return problemLines('its certificate', problem);
  const how = renews ? 'it is renewed before' : 'it was made by hand';
  // The broker alone knows that it was not revoked.
  return [`  its certificate ends in ${timeLeft(Date.parse(at) - now)}, at ${at}; ${how}`];
}

function explainLog({ logs, quorum }: LogPolicy): string {
  const names = logs.map(({ name }) => printable(name)).join(' or ');
  const seen = quorum === null ? '' : `, witnessed by ${printable(quorum)}`;
  return `  takes only releases that are logged in ${names}${seen}`;
}

function explainEndings(endings: number): string[] {
  if (endings === 0) return [];
  return [
    `  the broker ended the link ${countOf(endings, 'time')} in a row: does another robot use this id? (ROBOT_ID_TWICE)`,
    `  hint: ${CATALOGUE.ROBOT_ID_TWICE.hint}`,
  ];
}

export function explainComponent(view: ComponentView, now: EpochMs): string[] {
  const { state, live } = view;
  const runs = runsOf(view);
  const { previousVersion, version } = view;
  const isWayBack = previousVersion !== null && previousVersion !== version;
  const back = isWayBack ? ` (could go back to ${previousVersion})` : '';
  const applied = appliedBy(view);
  const lines = [`${view.name}: ${runs}${back}`, `  now: ${doing(view)}`, ...applied];
  for (const name of ['active', 'rollback'] as const) {
    const slot = view.slots[name];
    if (slot.kind !== 'foreign' && slot.kind !== 'lost') continue;
    const isNoWayBack = slot.kind === 'lost' && name === 'rollback';
    lines.push(...problemLines(isNoWayBack ? 'no way back' : 'in the way', slot.problem));
  }
  for (const outside of outsideProblems(view.slots)) {
    lines.push(...problemLines('not kept by Drover', outside));
  }
  if (view.damage) lines.push(...problemLines('not whole', view.damage));
  if (view.held) lines.push(...problemLines('nothing is swapped', view.held.problem));
  if (view.exposed) lines.push(...problemLines('no update begins', view.exposed.problem));
  if (live.module) lines.push(...problemLines('what runs', live.module.problem));
  if (live.stays) lines.push(...problemLines('stays as it is', live.stays.problem));
  if (view.unkept) lines.push(...problemLines('not kept on the disk', view.unkept.problem));
  for (const { name, why } of view.left.slice(0, LEFT_LINES_MAX)) {
    lines.push(`  stays in releases/: ${name}: ${why}`);
  }
  const more = view.left.length - LEFT_LINES_MAX;
  if (more > 0) lines.push(`  and ${more} more in releases/`);
  if (view.leases) lines.push(`  ${view.leases}`);
  if (live.waitingFor !== null) lines.push(`  waits for: ${live.waitingFor}`);
  if (live.wakeAtMs !== null) {
    lines.push(`  wakes: ${instantText(live.wakeAtMs)} (in ${shortly(live.wakeAtMs - now)})`);
  }
  if (view.clock) lines.push(...problemLines('its clock', view.clock.problem));
  if (view.unheard) lines.push(...problemLines('cannot follow a rollout', view.unheard.problem));
  if (live.refusal) {
    const { problem, version } = live.refusal;
    lines.push(...problemLines('refused', problem, version));
  }
  const delta = deltaFailure(state);
  if (delta) lines.push(`  delta_failed: ${delta.code}: ${delta.message}`, `  hint: ${delta.hint}`);
  const failure = state.lastProblem;
  if (failure) {
    const what = failure.version === null ? '' : ` of ${failure.version}`;
    const label = `last problem${what} at ${instantText(failure.atMs)}`;
    lines.push(...problemLines(label, failure, failure.version));
  }
  for (const { version, code } of state.blocked) {
    lines.push(`  blocked: ${version} (${code}); lift with: drover-robot unblock ${version}`);
  }
  const said = new Set<string>();
  return lines.map((line) => {
    if (!line.startsWith(HINT)) return line;
    if (said.has(line)) return `${HINT}as above`;
    said.add(line);
    return line;
  });
}

const HINT = '  hint: ';

const problemLines = (
  label: string,
  { message, code, hint }: Pick<Problem, 'message' | 'hint'> & { readonly code: string },
  version: string | null = null,
): string[] => [
  `  ${label}: ${message} (${code})`,
  `  hint: ${filledHint(hint, version === null ? {} : { VERSION: version })}`,
];

/** Nothing where active alone is led to the release. */
function appliedBy({ state, version: active, module }: ComponentView): string[] {
  const known = { version: active ?? '', strategy: module ?? '' };
  const { version, strategy } = state.job ?? state.installed ?? known;
  return ['', ATOMIC_SWAP].includes(strategy) ? [] : [`  ${version} is applied by ${strategy}`];
}

function runsOf(view: ComponentView): string {
  const { version } = view;
  const { phase } = view.state;
  const { active } = view.slots;
  const isUnknown = runningOf({ version, phase, doubt: doubtOf(view) }).kind === 'unknown';
  if (version !== null && isUnknown) return `it is not known what runs (active names ${version})`;
  if (version !== null) return `runs ${version}`;
  if (active.kind === 'foreign') return 'runs what Drover did not install';
  if (active.kind !== 'lost') return 'has nothing installed';
  return active.version === null
    ? 'has lost the link to the release that it ran'
    : `has lost the release ${active.version} that it ran`;
}

/** Why the bundle is downloaded in full although there was a delta. */
function deltaFailure({ job, installed, deltaFailures }: ComponentView['state']) {
  const payload = (job ?? installed)?.payloadSha256;
  return deltaFailures.find((one) => one.payloadSha256 === payload);
}

function startsOf({ job }: ComponentView['state']): string {
  const starts = job?.seenBoot?.starts ?? 0;
  return starts === 0 ? '' : `, starts of the agent beside them: ${starts}`;
}

function doing({ state, live }: ComponentView): string {
  const { job, phase } = state;
  if (phase === 'idle' || !job) {
    if (state.retry && !live.refusal) return 'idle, will try again';
    // A line below says what it waits for instead.
    return live.waitingFor === null ? 'idle, waiting for an announcement' : 'idle';
  }
  const target = `${job.version} (rollout ${job.rollout})`;
  const isImage = job.strategy === SLOT_IMAGE;
  const delta = job.delta && `the delta from ${job.delta.fromVersion}`;
  const from = delta === null ? '' : `${delta} to `;
  const transfer = live.transfer;
  const part = transfer
    ? ` ${(transfer.bytesDone / MiB).toFixed(1)} of ${(transfer.bytesTotal / MiB).toFixed(1)} MiB`
    : '';
  switch (phase) {
    case 'checking':
      return `checking how ${target} comes here, and whether it fits on the disk`;
    case 'downloading':
      return `downloading ${from}${target}${part}`;
    case 'verifying':
      if (!job.delta) return `verifying what was received of ${target}`;
      return isImage ? `checking ${from}${target}, and its base` : `applying ${from}${target}`;
    case 'staging':
      if (!isImage) return `unpacking ${target}`;
      return `writing ${target} into the other slot${delta === null ? '' : ` by ${delta}`}`;
    case 'waiting':
      return `${target} is ready to be swapped in, the robot is not`;
    case 'swapping':
      return `swapping to ${target}`;
    case 'rebooting':
      return job.follows
        ? `stopped until slot ${job.follows.to} boots with ${job.follows.component} ${job.follows.version}, for ${target}`
        : `rebooting into slot ${job.slotTrial?.to ?? 'unknown'} with ${target}`;
    case 'probation':
      return `${target} is on probation: its health is being watched (unconfirmed boots: ${job.boots}${startsOf(state)})`;
    case 'rolling_back':
      return `rolling back from ${target} to ${job.previousVersion ?? 'nothing'}`;
    case 'reverting':
      return `rebooting out of ${target}, back to ${job.previousVersion ?? 'the slot before'}`;
    case 'stuck':
      return `stuck: could not roll back from ${target}; a person has to look (then: drover-robot retry)`;
  }
}
