/**
 * Makes the details of a robot from the messages that a broker retains. A rollout is shown with the
 * robot's probable reaction, which the forecast of `publish` computes. Sans-I/O.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { nullIfRefused } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Announcement } from '../../shared/formats/announcement.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import { clockAhead, robotClockProblem } from '../../shared/rules/clock-off.ts';
import { componentFor, type Offer } from '../../shared/rules/stepping-stones.ts';
import type { RobotSeen } from './fleet-report.ts';
import { outlookOf, type Outlook } from './forecast.ts';
import { doing, type RobotDetails, type RobotRollout } from './robot-details.ts';

/** An announcement, and whether its signatures were checked. */
export interface SeenAnnouncement {
  readonly announcement: Pick<Announcement, 'rollouts'>;
  readonly isVerified: boolean;
}

/** @param announced null when it cannot be read; its announcement may be empty */
export function retainedDetails(
  id: string,
  seen: RobotSeen,
  { announced, now }: { readonly announced: SeenAnnouncement | null; readonly now: EpochMs },
): RobotDetails {
  const { state, online, via, relayProblem } = seen;
  const clock = state && robotClockProblem(id, clockAhead(state.at - now, seen));
  return {
    ...{ id, state, online, via, lastSeenMs: null, events: null },
    problems: [
      ...(state && state.link_endings > 0 ? [twiceProblem()] : []),
      ...(clock ? [clock] : []),
      ...(relayProblem ? [{ ...relayProblem, message: `relay: ${relayProblem.message}` }] : []),
    ],
    rollouts: announced && (state ? rolloutsFor(state, announced) : []),
  };
}

const twiceProblem = () => ({
  code: 'ROBOT_ID_TWICE',
  message: 'the broker ends its links: another robot may use this id',
  hint: CATALOGUE.ROBOT_ID_TWICE.hint,
});

function rolloutsFor(
  state: RobotState,
  { announcement, isVerified }: SeenAnnouncement,
): RobotRollout[] {
  const offers = announcement.rollouts.flatMap(offersOf);
  return offers.flatMap((offer) => {
    const component = componentFor(offer, state);
    if (!component) return [];
    const beside = offers.filter((one) => one !== offer);
    const isUnderWay = component.rollout === offer.id && component.phase !== 'idle';
    const reaction = outlookOf(offer, beside, state);
    const says = isUnderWay ? doing(component) : wordsFor(reaction);
    const { id, manifest } = offer;
    const unverified = isVerified ? '' : ' (signature not checked: --trust)';
    return [{ id, component: manifest.name, version: manifest.version, says: says + unverified }];
  });
}

const WORDS: Readonly<Partial<Record<Outlook, string>>> = {
  takes: 'takes it as soon as it may',
  steps: 'takes it after another rollout that is announced',
  runs: 'runs it',
};

const wordsFor = (reaction: Outlook | null): string =>
  reaction === null ? 'is not for it' : (WORDS[reaction] ?? `does not take it (${reaction})`);

function offersOf(rollout: Announcement['rollouts'][number]): Offer[] {
  const manifest = nullIfRefused(() => parseManifest(rollout.manifest));
  const { id, target, log_proof: proof } = rollout;
  return manifest === null ? [] : [{ id, target, manifest, hasLogProof: proof !== undefined }];
}
