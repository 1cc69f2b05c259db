/**
 * Browser script for the rollouts on the dashboard: each wave, what it waits for and until when,
 * and the gate's verdict with its reasons. Like the rest of the page (script.ts) it writes texts
 * only as text: a reason can name a robot, and a robot can be hostile.
 */

export const DASHBOARD_ROLLOUTS = `
const VERDICT_TAGS = { pass: 'tag good', hold: 'tag busy', halt: 'tag bad' };
const WAITS = {
  robots: 'waits for robots of this wave to end their update',
  soak: 'soaks',
  evidence: 'waits for evidence: the gate cannot tell yet',
  approval: 'waits for a person: drover rollout approve',
  recall: 'waits for robots that took it to go back',
  unable: 'waits for robots that cannot take it until they are mended',
  resume: 'waits for a person: drover rollout resume',
};

const clock = (instant) => new Date(instant).toLocaleTimeString();

function waveState(number, rollout) {
  const { run } = rollout;
  const open = run ? run.wave : rollout.wave;
  if (open === null) return '';
  if ((run ? run.status : rollout.status) === 'complete' || number < open) return 'passed';
  return number === open ? 'open' : '';
}

/** One line for each wave: how far it opens, whether it is open, who has to approve after it. */
function waveList(rollout) {
  const { waves, canaries, approve_after: approvals, run } = rollout;
  const list = make('ol', undefined, 'waves');
  const add = (number, share) => {
    const state = waveState(number, rollout);
    const line = make('li', share, state === 'open' ? 'open' : '');
    if (state) line.append(make('span', state, 'soft'));
    if (run && run.approved.includes(number)) line.append(make('span', 'approved', 'soft'));
    else if (approvals.includes(number) && number < waves.length) {
      line.append(make('span', 'then a person has to approve', 'soft'));
    }
    list.append(line);
  };
  if (canaries.robots.length + canaries.tags.length > 0) add(0, 'canaries');
  waves.forEach(({ percent }, at) => add(at + 1, percent + ' %'));
  return list;
}

function waitLine(run) {
  const { waits_for: what, soak_until: soak, evidence_until: evidence, leading } = run;
  if (!what) return null;
  if (run.status === 'rolling_back' && run.cannot_go_back.length > 0) {
    const only = what === 'unable' ? 'waits only for robots that' : 'waits for robots to go back; some';
    return make('p', only + ' cannot go back: ' + run.cannot_go_back.join(', '), 'soft');
  }
  const until = what === 'soak' && soak ? ' until ' + clock(soak)
    : what !== 'evidence' ? ''
    : evidence ? ', at most until ' + clock(evidence) : ', until a person decides';
  const elsewhere = leading ? '' : ' (another controller leads)';
  return make('p', (WAITS[what] || 'waits for ' + what) + until + elsewhere, 'soft');
}

/** The verdict, its reason, and one line for each test behind it. */
function gateBlock({ gate }) {
  const block = make('div', undefined, 'gate');
  const head = make('p', undefined);
  head.append(make('span', 'gate: ' + gate.kind, VERDICT_TAGS[gate.kind] || 'tag'));
  if (gate.kind !== 'pass') head.append(make('span', gate.reasons[0]));
  const table = make('table');
  for (const { metric, against, verdict, text } of gate.evidence) {
    const row = make('tr');
    const mark = make('td');
    mark.append(make('span', verdict, VERDICT_TAGS[verdict] || 'tag'));
    row.append(make('td', metric + ' / ' + against, 'soft'), mark, make('td', text));
    table.append(row);
  }
  block.append(head, table);
  return block;
}

function rolloutCard(rollout) {
  const card = make('div', undefined, 'rollout');
  const { run } = rollout;
  const status = run ? run.status : rollout.status;
  const isBad = status === 'halted' || status === 'rolling_back';
  const what = (rollout.component || '?') + ' ' + (rollout.version || '?');
  card.append(make('b', what), make('span', status.replace('_', ' '), isBad ? 'tag bad' : 'tag'));
  if (rollout.emergency) card.append(make('span', 'emergency', 'tag bad'));
  const { targeted, running, in_progress: busy, failed, waiting } = rollout.robots;
  card.append(make('span', running + ' of ' + targeted + ' run it, ' + busy + ' in progress, '
    + failed + ' failed, ' + waiting + ' waiting', 'soft'));
  card.append(make('span', rollout.id, 'soft'));
  if (!rollout.emergency) card.append(waveList(rollout));
  for (const reason of run ? run.reasons : rollout.reasons) card.append(make('p', reason, 'why'));
  for (const error of [rollout.error, rollout.store && rollout.store.problem]) {
    if (error) card.append(make('p', error.message, 'why'));
  }
  const waits = run && waitLine(run);
  if (waits) card.append(waits);
  if (run && run.gate) card.append(gateBlock(run));
  return card;
}
`;
