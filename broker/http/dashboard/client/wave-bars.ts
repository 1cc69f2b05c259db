/** Waves as bars: how many robots of each are done, updating, failed, waiting. */

import type { RolloutOnPage, Standing, WaveCounts } from './answers.ts';
import { make, robotCount, spaced } from './dom.ts';

/** In the order of a bar. `excluded` robots take no part, and are named in words only. */
const SHOWN: readonly Standing[] = [
  'done',
  'updating',
  'vanished',
  'failed',
  'went_back',
  'waiting',
];

export const standingMark = (standing: Standing): HTMLElement =>
  make('i', { class: `mark ${standing}`, 'aria-hidden': 'true' });

export const legend = (): HTMLElement[] =>
  SHOWN.map((standing) => make('li', {}, standingMark(standing), spaced(standing)));

function titleOf({ wave, percent }: WaveCounts): string {
  if (wave === null) return 'in no wave';
  return percent === null ? 'canaries' : `wave ${wave}: ${percent} %`;
}

/** For a wave that asks for approval after its gate. */
export const thenAsks = ({ approvers }: RolloutOnPage): string =>
  approvers > 1 ? `then ${approvers} users have to approve` : 'then a person has to approve';

function stateOf({ wave }: WaveCounts, rollout: RolloutOnPage): string {
  const { run, wave: told, approve_after, waves, words } = rollout;
  const open = run?.wave ?? told;
  if (wave === null) return '';
  const reached = run?.opened === false && words.wave === 'open' ? 'not open yet' : words.wave;
  const isPassed = open !== null && (run?.status === 'complete' || wave < open);
  const state = open === null || wave > open ? '' : isPassed ? 'passed' : reached;
  const asks = approve_after.includes(wave) && wave < waves.length;
  const approval = run?.approved.includes(wave) ? 'approved' : asks ? thenAsks(rollout) : '';
  const forced = run?.forced.includes(wave) ? 'forced open' : '';
  return [state, approval, forced].filter(Boolean).join(', ');
}

function inWords({ robots }: WaveCounts): string {
  const parts = [...SHOWN, 'excluded' as const]
    .filter((standing) => robots[standing] > 0)
    .map((standing) => `${robots[standing]} ${spaced(standing)}`);
  return parts.length === 0 ? 'no robots' : parts.join(', ');
}

export function waveBar(counts: WaveCounts, rollout: RolloutOnPage): HTMLElement {
  const total = SHOWN.reduce((sum, standing) => sum + counts.robots[standing], 0);
  const pieces = SHOWN.filter((standing) => counts.robots[standing] > 0).map((standing) => {
    const piece = make('i', { class: standing });
    piece.style.flexGrow = String(counts.robots[standing]);
    return piece;
  });
  const state = stateOf(counts, rollout);
  const isOpen = state.startsWith('open');
  return make(
    'li',
    { class: isOpen ? 'wave open' : 'wave' },
    make('b', { text: titleOf(counts) }),
    make('span', { class: 'soft', text: state }),
    make('div', { class: 'pieces', 'aria-hidden': 'true' }, ...pieces),
    make('span', { text: `${robotCount(total)}: ${inWords(counts)}` }),
  );
}
