/**
 * Links a release again at a boot: when nothing says which one ran, when the one on probation lost
 * its link, or when a technician chose one. relink.ts decides which; each action is reported.
 */

import { relinked } from '../update/lost-state.ts';
import type { MachineState } from '../update/state.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import type { RecoveryWords } from './recovery-words.ts';
import { linkAgain, linkedAgain, planOnTrial, planRelink, type RelinkInput } from './relink.ts';
import { tryBeside } from '../install/slot-links.ts';

interface RelinkAtBoot extends RelinkInput {
  readonly words: RecoveryWords;
  /** Stores the new state; false when it could not be written. */
  keep(state: MachineState): Promise<boolean>;
}

/** @throws DroverError when a choice cannot be followed: nothing was changed */
export async function relinkAtBoot(disk: Disk, layout: Layout, on: RelinkAtBoot): Promise<void> {
  const { release, words, state, keep } = on;
  const isChosen = release !== undefined;
  if (!isChosen) await linkOnTrial(disk, layout, on);
  const find = () => planRelink(disk, layout, on);
  // A choice that cannot be followed ends the recovery before a boot is counted.
  const plan = isChosen ? await find() : await words.tried(find);
  if (plan === null) return;
  if ('ask' in plan) return words.note(plan.ask);
  const tryOut = async (): Promise<true> => {
    await tryBeside(disk, layout, { slot: 'active', version: plan.version });
    return true;
  };
  // The state must not name a release as linked that cannot be linked now.
  if (!(isChosen ? await tryOut() : await words.tried(tryOut))) return;
  // The state comes first: a link that it does not know would count as one of the image.
  const next = relinked(state, plan, Date.now());
  if (!(await keep(next))) return;
  const isLinked = await words.tried(async () => {
    await linkAgain(disk, layout, plan);
    return true;
  });
  if (isLinked && next.lastProblem) words.say(next.lastProblem);
}

/** A power cut came between the state of a choice and its link, or the link is gone since. */
async function linkOnTrial(
  disk: Disk,
  layout: Layout,
  { state, words }: RelinkAtBoot,
): Promise<void> {
  const linked = await words.tried(async () => {
    const plan = await planOnTrial(disk, layout, state);
    if (plan) await linkAgain(disk, layout, plan);
    return plan;
  });
  if (linked) words.say(linkedAgain(linked.version));
}
