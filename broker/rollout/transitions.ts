/**
 * Decides the stages gate, widen and halt: what a reconcile pass or a change of the announcement
 * makes of a rollout: (run, event, context) -> (run, audit entries, whether to publish).
 * It must never widen without a verdict that passed, never widen a halted rollout, and never let a
 * halt wait for anything. Sans-I/O.
 */

import { countOf } from '../../shared/base/printable.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { instantText } from '../../shared/base/durations.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { approverWords, needsSeveral } from '../../shared/rules/approvers.ts';
import { stateWord } from '../../shared/rules/rollout-words.ts';
import { emptyEvidence } from './evidence.ts';
import type { MetricEvidence, GateVerdict } from './gate-types.ts';
import { isUnable } from './classify.ts';
import { hasCandidate, thresholdOf, type Members } from './members.ts';
import { hasEffect, isSettled } from './outcome.ts';
import {
  entry,
  GATE,
  stay,
  type AuditDraft,
  type RolloutStep,
  type VerdictFacts,
} from './steps.ts';
import { stagesOf, usersOf, type RolloutPlan, type RolloutRun, type Stage } from './record.ts';
import { somebodyIsLeft } from './waves.ts';

/** Opens the first wave of a rollout that was just announced, or paused before it had one. */
export function openFirst(
  run: RolloutRun,
  input: { plan: RolloutPlan; members: Members; by: string; now: EpochMs },
): RolloutStep {
  const { plan, members, by, now } = input;
  const stage = stagesOf(plan)[0];
  if (!stage) throw new TypeError('openFirst: a rollout has a wave');
  const step = openWave(run, stage, { plan, members, now });
  // Nothing came before: a canary that had begun already belongs to this wave.
  const base = { installed: 0, failed: 0, vanished: 0 };
  const opened = { ...step, run: { ...step.run, base } };
  if (run.auditSeq > 0) return opened;
  return { ...opened, audit: [announcedBy(plan, by), ...opened.audit] };
}

/**
 * First audit entry of a rollout. It is written when a controller begins to lead, which may be long
 * after the announcement was signed.
 */
export function announcedBy({ manifest, rollout, signedAtMs }: RolloutPlan, by: string) {
  const how = rollout.emergency ? ', as an emergency: everybody now' : '';
  const signed = signedAtMs === undefined ? '' : ` (signed ${instantText(signedAtMs)})`;
  return entry('announced', `${manifest.version} was announced${signed}${how}`, { by });
}

/**
 * The rollout left the announcement, or came back. Robots join only announced rollouts, so nothing
 * is published.
 * @param more.by who signed the announcement
 * @param more.successor the rollout that names itself as its replacement
 * @param more.seq of the announcement; a carrier that lost its store may bring an older one, which
 *   says nothing about what was announced since
 */
export function withdraw(
  run: RolloutRun,
  withdrawn: boolean,
  more: { by: string; seq: number; successor: { id: string; emergency: boolean } | null },
): RolloutStep {
  const { by, successor, seq: announcedSeq } = more;
  if (announcedSeq < run.announcedSeq) return stay(run);
  if (run.withdrawn === withdrawn) return stay(withdrawn ? run : { ...run, announcedSeq });
  const what = successor?.emergency ? `the emergency ${successor.id}` : (successor?.id ?? '');
  const audit = !withdrawn
    ? entry('returned', 'it is announced again', { by })
    : successor
      ? entry('superseded', `superseded by ${what} while it was ${stateWord(run)}`, { by })
      : entry('withdrawn', 'it is no longer announced', { by });
  const supersededBy = withdrawn ? (successor?.id ?? null) : null;
  return {
    run: { ...run, withdrawn, supersededBy, announcedSeq },
    audit: [audit],
    isNews: !withdrawn,
  };
}

/** Steps a rollout by the verdict of one reconcile pass. */
export function stepByVerdict(run: RolloutRun, input: VerdictFacts): RolloutStep {
  if (run.status === 'halted' || run.status === 'rolling_back') return stay(run);
  if (input.verdict.kind === 'halt') return halt(run, input);
  if (run.noEffect) return reopen(run, input);
  if (run.status !== 'rolling') return stay(run);
  const wider = raise(run, input);
  if (wider) return wider;
  const soaking = soakOf(run, input);
  return settle(advance({ ...run, ...soaking }, input), input);
}

/** Robots have no use for it; a publisher asks whether a higher version would disturb anything. */
function settle(step: RolloutStep, { plan, members }: VerdictFacts): RolloutStep {
  const { run } = step;
  const isLast = stagesOf(plan).at(-1)?.wave === run.wave || !hasCandidate(members, run);
  // An operator was to be asked: another publish must not silently drop that.
  const isAsked = plan.rollout.approve_after.includes(run.wave) && !run.approved.includes(run.wave);
  const isOn = run.status === 'rolling' && !isAsked;
  const settled = isOn && isLast && isSettled(members.samples(run.threshold), run.threshold);
  if (settled === run.settled) return step;
  return { ...step, run: { ...run, settled }, isNews: step.isNews || run.status === 'rolling' };
}

/** It was over without an effect; a robot that came later takes it, in the wave that was open. */
function reopen(run: RolloutRun, { plan, members }: VerdictFacts): RolloutStep {
  const last = stagesOf(plan).at(-1);
  const isLast = last === undefined || run.threshold >= last.share;
  const isRun = hasEffect(members.samples(run.threshold));
  if (isLast) {
    if (!isRun) return stay(run);
    const audit = [entry('completed', 'a robot that came later runs it')];
    return { run: { ...run, noEffect: false, reasons: [] }, audit, isNews: true };
  }
  if (!isRun && !hasCandidate(members, run)) return stay(run);
  const audit = [entry('reopened', `wave ${run.wave} goes on: a robot came that can take it`)];
  const again: RolloutRun = {
    ...fresh(run, members),
    status: 'rolling',
    noEffect: false,
    reasons: [],
    waitsFor: 'robots',
  };
  return { run: again, audit, isNews: true };
}

/**
 * Widens a wave that never had enough robots that could take the version; see waves.ts. Robots that
 * took it count, wherever they are now: their success must not widen the wave.
 */
function raise(run: RolloutRun, { plan, members, spent }: VerdictFacts): RolloutStep | null {
  const stage = stagesOf(plan).find((one) => one.wave === run.wave);
  if (!stage) return null;
  const minCanaries = Math.max(0, plan.rollout.min_canaries - spent);
  const wanted = thresholdOf(stage, members, { previous: run.previous, minCanaries });
  if (wanted <= run.threshold) return null;
  const text = `wave ${run.wave} reaches to ${percent(wanted)}: it had too few robots that are on`;
  return { run: { ...run, threshold: wanted }, audit: [entry('raised', text)], isNews: true };
}

/** The soak begins when enough robots have ended their update, not while they download. */
function soakOf(run: RolloutRun, { plan, attempts, now }: VerdictFacts): Partial<RolloutRun> {
  if (run.soakSinceMs !== null) return {};
  const ended = attempts.installed + attempts.failed + attempts.vanished;
  const isEnough = ended > 0 && ended >= plan.rollout.gates.report_share_min * attempts.reachable;
  return isEnough ? { soakSinceMs: now } : {};
}

function advance(run: RolloutRun, input: VerdictFacts): RolloutStep {
  const { plan, members, verdict, now } = input;
  const stages = stagesOf(plan);
  const at = stages.findIndex((one) => one.wave === run.wave);
  const next = stages[at + 1];
  if (isOver(run, members)) return endWithoutEffect(run, members);
  // An operator forced this wave: it continues without a verdict, never against a halt.
  const isForced = run.forced.includes(run.wave);
  // It ends the gate, and does not stand for the other users of a wave that needs several.
  const isApproved = run.approved.includes(run.wave) || (isForced && !needsSeveral(plan.rollout));
  // The gate has passed, and the operator was notified. Reports that are still being gathered, and
  // robots that joined the wave since, take nothing back: after the approval the gate runs again.
  if (run.waitsFor === 'approval' && !isApproved && !isDoubted(verdict)) return stay(run);
  if (verdict.kind === 'hold' && !isForced) return held(run, stages[at], input);
  const isLeft =
    next !== undefined && somebodyIsLeft(members.samples(run.threshold), run.threshold);
  if (asksAfter(run, plan, isLeft) && !isApproved && next) {
    return awaitApproval(run, verdict, plan);
  }
  if (!isLeft && !isForced && members.unable().count > 0) return awaitMending(run, input);
  const step = isLeft
    ? openWave(run, next, { plan, members, now })
    : complete(run, stages, members);
  return { ...step, audit: [endOf(run, verdict), ...step.audit] };
}

/**
 * Without robots that are left, later waves are not opened one by one: all are open at once, for
 * robots that come later. Where several users have to approve one of these, they approve that.
 */
function asksAfter({ wave }: RolloutRun, { rollout }: RolloutPlan, isLeft: boolean): boolean {
  const { approve_after: asked } = rollout;
  if (asked.includes(wave)) return true;
  return !isLeft && needsSeveral(rollout) && asked.some((one) => one > wave);
}

/** No robot is left that could take part, and none whose turn has come runs the version. */
function isOver(run: RolloutRun, members: Members): boolean {
  if (members.size === 0) return false;
  const { threshold } = run;
  const isOpen = members
    .samples(threshold)
    .some(
      (one) => one.kind === 'candidate' || one.kind === 'updating' || one.isComing || isUnable(one),
    );
  return !isOpen && members.countAll(run).cohort === 0;
}

function endOf({ wave }: RolloutRun, { kind, reasons, evidence }: GateVerdict): AuditDraft {
  const [first = ''] = reasons;
  return kind === 'pass'
    ? entry('passed', `wave ${wave} passed: ${first}${unjudged(evidence)}`, { by: GATE, evidence })
    : entry('ended', `wave ${wave} ended without a verdict, forced by a person: ${first}`, {
        evidence,
      });
}

/** Names the metrics that had too few reports: the pass of a wave says nothing about them. */
function unjudged(evidence: readonly MetricEvidence[]): string {
  const isJudged = (metric: string): boolean =>
    evidence.some((one) => one.metric === metric && one.verdict === 'pass');
  const left = (['crash', 'task'] as const).filter((metric) => !isJudged(metric));
  const names = { crash: 'crashes', task: 'tasks' };
  return left.length === 0 ? '' : `; not judged: ${left.map((one) => names[one]).join(', ')}`;
}

/** The wave and its threshold stay: robots that come later take it wave by wave; see `reopen`. */
function endWithoutEffect(run: RolloutRun, members: Members): RolloutStep {
  const why = members.whyNot();
  const next: RolloutRun = {
    ...fresh(run, members),
    status: 'complete',
    noEffect: true,
    reasons: [why],
    waitsFor: null,
  };
  return { run: next, audit: [entry('no_effect', why)], isNews: true };
}

/**
 * Every robot that can take the version has it, and the gate has passed. Only robots that a person
 * has to fix are left: the rollout is not complete without them, and delays nothing else.
 */
function awaitMending(run: RolloutRun, { verdict, members }: VerdictFacts): RolloutStep {
  if (run.waitsFor === 'unable') return stay(run);
  const { count, named } = members.unable();
  const more = count > named.length ? ', …' : '';
  const text = `wave ${run.wave} passed and waits for ${countOf(count, 'robot')} that cannot take it: ${named.join(', ')}${more}`;
  const audit = [entry('held', text, { by: GATE, evidence: verdict.evidence })];
  return { run: { ...run, waitsFor: 'unable' }, audit, isNews: false };
}

function held(run: RolloutRun, stage: Stage | undefined, input: VerdictFacts): RolloutStep {
  const { verdict } = input;
  const soakS = stage?.soakS ?? 0;
  const waitsFor = waitOf(run, soakS, input);
  if (waitsFor === run.waitsFor) return stay(run);
  const why = waitsFor === 'soak' ? `${soakS} s from now` : (verdict.reasons[0] ?? '');
  const what = waitsFor === 'unable' ? 'robots that cannot take it' : waitsFor;
  const text = `wave ${run.wave} waits for ${what}: ${why}`;
  const audit = [entry('held', text, { by: GATE, evidence: verdict.evidence })];
  return { run: { ...run, waitsFor }, audit, isNews: false };
}

function waitOf(
  { soakSinceMs }: RolloutRun,
  soakS: number,
  { verdict, attempts, now }: Pick<VerdictFacts, 'verdict' | 'attempts' | 'now'>,
): 'robots' | 'soak' | 'evidence' | 'unable' {
  if (attempts.cohort === 0 && attempts.unable.length > 0) return 'unable';
  // Robots that joined the wave while it soaked have to end their update as well.
  const isUpdating = verdict.evidence.some((one) => one.metric === 'apply' && isHold(one));
  if (soakSinceMs === null || isUpdating) return 'robots';
  return now - soakSinceMs < soakS * 1000 ? 'soak' : 'evidence';
}

/** A metric can no longer tell whether the new version is as good: harm may be on its way. */
const isDoubted = ({ evidence }: GateVerdict): boolean =>
  evidence.some((one) => one.metric !== 'apply' && isHold(one));

const isHold = ({ verdict }: MetricEvidence): boolean => verdict === 'hold';

function awaitApproval(
  run: RolloutRun,
  { kind, evidence }: GateVerdict,
  { rollout }: RolloutPlan,
): RolloutStep {
  if (run.waitsFor === 'approval') return stay(run);
  const did = kind === 'pass' ? 'passed' : 'was forced open';
  const waits = needsSeveral(rollout)
    ? approverWords(rollout, usersOf(run, run.wave))
    : 'waits for a person';
  const text = `wave ${run.wave} ${did} and ${waits}: drover rollout approve ${run.rollout} --wave ${run.wave}`;
  const audit = [entry('awaiting_approval', text, { by: GATE, evidence })];
  return { run: { ...run, waitsFor: 'approval', reasons: [text] }, audit, isNews: true };
}

function openWave(
  run: RolloutRun,
  stage: Stage,
  { plan, members, now }: Pick<VerdictFacts, 'plan' | 'members' | 'now'>,
): RolloutStep {
  const { min_canaries: minCanaries } = plan.rollout;
  const previous = run.threshold;
  const threshold = thresholdOf(stage, members, { previous, minCanaries });
  const next: RolloutRun = {
    ...fresh(run, members),
    wave: stage.wave,
    waveOpenedAtMs: now,
    previous,
    threshold,
    reasons: [],
    waitsFor: 'robots',
  };
  const asked = stage.wave > 0 && threshold > Math.max(stage.share, previous);
  const why = asked ? ` (${percent(stage.share)} had too few robots that are on)` : '';
  const who = stage.wave === 0 ? 'the explicit canaries' : `${percent(threshold)}${why}`;
  return { run: next, audit: [entry('opened', `wave ${stage.wave}: ${who}`)], isNews: true };
}

/** Robots that come later are a last group of their own, with evidence of their own. */
function complete(run: RolloutRun, stages: readonly Stage[], members: Members): RolloutStep {
  const last = stages.at(-1);
  const threshold = Math.max(run.threshold, last?.share ?? 0);
  const noEffect = !hasEffect(members.samples(run.threshold));
  const why = members.whyNot();
  const next: RolloutRun = {
    ...fresh(run, members),
    status: 'complete',
    noEffect,
    wave: last?.wave ?? run.wave,
    previous: run.threshold,
    threshold,
    reasons: noEffect ? [why] : [],
    waitsFor: null,
  };
  if (noEffect) return { run: next, audit: [entry('no_effect', why)], isNews: true };
  const text = `complete, open to ${percent(threshold)}; robots that come later are watched as well`;
  return { run: next, audit: [entry('completed', text)], isNews: true };
}

/** Evidence starts again, in the same wave or in the next one. */
function fresh(run: RolloutRun, members: Members): RolloutRun {
  const { installed, failed, vanished } = members.countAll(run);
  return {
    ...run,
    stage: run.stage + 1,
    base: { installed, failed, vanished },
    evidence: emptyEvidence(),
    soakSinceMs: null,
  };
}

function halt(run: RolloutRun, { plan, verdict }: VerdictFacts): RolloutStep {
  const goBack = plan.rollout.gates.auto_rollback;
  const after = goBack ? '; robots that took it go back' : '; robots that took it keep it';
  const [first = 'a gate said so'] = verdict.reasons;
  const audit = [
    entry('halted', `halted in wave ${run.wave}: ${first}${after}`, {
      by: GATE,
      evidence: verdict.evidence,
    }),
  ];
  const reasons = verdict.reasons.slice(0, LIMITS.reasonsMax).map((text) => text.slice(0, 500));
  return { run: { ...stopped(run, goBack), reasons }, audit, isNews: true };
}

/**
 * Stopped for good; with a recall the robots that took it go back. The recall stands for ever: the
 * status only says when the last known robot has obeyed.
 */
export function stopped(run: RolloutRun, recall: boolean): RolloutRun {
  return recall
    ? { ...run, status: 'rolling_back', recall: true, waitsFor: 'recall' }
    : { ...run, status: 'halted', waitsFor: null };
}

const percent = (share: number): string => `${Math.round(share * 10_000) / 100} % of the fleet`;
