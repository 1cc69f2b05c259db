/** A rollout on the first page: its waves, the event that it waits for, and the gate's verdict. */

import type { RolloutOnPage } from './answers.ts';
import { make, rolloutLink, spaced } from './dom.ts';
import { gateBlock } from './evidence.ts';
import { thenAsks } from './wave-bars.ts';

const BAD: readonly string[] = ['halted', 'rolling_back'];

export function statusTag(rollout: RolloutOnPage): HTMLElement {
  const isBad = BAD.includes(rollout.run?.status ?? rollout.status);
  return make('span', { class: isBad ? 'tag bad' : 'tag', text: spaced(rollout.words.status) });
}

function waveState(number: number, { run, wave, status, words }: RolloutOnPage): string {
  const open = run ? run.wave : wave;
  if (open === null) return '';
  if ((run ? run.status : status) === 'complete' || number < open) return 'passed';
  return number === open ? words.wave : '';
}

/** How far each wave opens, whether it is open, and who has to approve after it. */
function waveList(rollout: RolloutOnPage): HTMLElement {
  const { waves, canaries, approve_after: approvals, run } = rollout;
  const line = (number: number, share: string): HTMLElement => {
    const state = waveState(number, rollout);
    const item = make('li', { text: share, class: state === 'open' ? 'open' : '' });
    if (state) item.append(make('span', { class: 'soft', text: state }));
    if (run?.approved.includes(number)) {
      item.append(make('span', { class: 'soft', text: 'approved' }));
    } else if (approvals.includes(number) && number < waves.length) {
      item.append(make('span', { class: 'soft', text: thenAsks(rollout) }));
    }
    return item;
  };
  const hasCanaries = canaries.robots.length + canaries.tags.length > 0;
  const first = hasCanaries ? [line(0, 'canaries')] : [];
  const others = waves.map(({ percent }, at) => line(at + 1, `${percent} %`));
  return make('ol', { class: 'waves' }, ...first, ...others);
}

/** Lines of reasons and problems. */
export function whyLines(rollout: RolloutOnPage): HTMLElement[] {
  const { run, error, store } = rollout;
  const texts = [...(run?.reasons ?? rollout.reasons)];
  for (const problem of [error, store?.problem]) if (problem) texts.push(problem.message);
  return texts.map((text) => make('p', { class: 'why', text }));
}

/** Names the set of a rollout, and links the rollouts that robots take together with it. */
export function setTag({ id, set }: RolloutOnPage): HTMLElement[] {
  if (!set) return [];
  const others = set.members.filter(({ rollout }) => rollout !== id);
  const links = others.flatMap(({ rollout, component, version }, at) => [
    at > 0 ? ', ' : '',
    rolloutLink(rollout, `${component} ${version}`),
  ]);
  return [make('span', { class: 'tag' }, `set ${set.id}, with `, ...links)];
}

export function rolloutCard(rollout: RolloutOnPage): HTMLElement {
  const { run } = rollout;
  const what = `${rollout.component ?? '?'} ${rollout.version ?? '?'}`;
  const card = make('div', { class: 'rollout' }, make('b', { text: what }), statusTag(rollout));
  if (rollout.emergency) card.append(make('span', { class: 'tag bad', text: 'emergency' }));
  card.append(...setTag(rollout));
  card.append(make('span', { class: 'soft', text: rollout.words.robots }));
  card.append(rolloutLink(rollout.id));
  if (!rollout.emergency) card.append(waveList(rollout));
  card.append(...whyLines(rollout));
  card.append(make('p', { class: 'soft', text: `waits ${rollout.words.waits}` }));
  if (run?.gate) card.append(gateBlock(run.gate));
  return card;
}
