/**
 * Decides which controller leads: (state, event, now) -> (state, lease to publish).
 * A controller leads while its own renewals come back, follows while another's arrive, and claims
 * the next term when nothing new has arrived for a whole `leaseMs` of its own clock. Two that claim
 * at once publish to one retained topic: after `settleMs` both have received the same last lease,
 * and the controller that it does not name follows. A leader that cannot renew stops before another
 * may start. Robots refuse what a stopped process still sends, because the `seq` of progress begins
 * with the term. Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import type { Lease } from '../../shared/formats/lease.ts';

export interface LeaseTimes {
  readonly leaseMs: number;
  readonly settleMs: number;
}

export type LeaseState =
  | { readonly kind: 'following'; readonly heard: Heard | null; readonly quietSinceMs: MonoMs }
  | {
      readonly kind: 'claiming';
      readonly mine: Mine;
      readonly untilMs: MonoMs;
      /** The last lease on the topic in this term, our own included. */
      readonly last: Heard | null;
    }
  | {
      readonly kind: 'leading';
      readonly mine: Mine;
      readonly heardMs: MonoMs;
      readonly saidMs: MonoMs;
    };

type Heard = Pick<Lease, 'controller' | 'term' | 'beat'>;
type Mine = Pick<Lease, 'term' | 'beat'>;

export type LeaseEvent =
  { readonly kind: 'heard'; readonly lease: Heard } | { readonly kind: 'tick' };

export interface LeaseStep {
  readonly state: LeaseState;
  /** Our lease, to be published now. */
  readonly say: Mine | null;
}

/**
 * @param isAlone the carrier is our own and holds no lease: there is no other controller to wait
 * for
 */
export const startFollowing = (now: MonoMs, isAlone = false): LeaseState => ({
  kind: 'following',
  heard: null,
  quietSinceMs: isAlone ? -Infinity : now,
});

export interface LeaseContext {
  readonly self: string;
  /** Id of the process that used our store before: we hold its lock, so it has ended. */
  readonly predecessor: string | null;
  readonly times: LeaseTimes;
  readonly now: MonoMs;
  /** Terms up to this may have been used by the broker that this one was restored from. */
  readonly termFloor?: number;
}

export function stepLease(state: LeaseState, event: LeaseEvent, context: LeaseContext): LeaseStep {
  return event.kind === 'heard'
    ? { state: hear(state, event.lease, context), say: null }
    : tick(state, context);
}

/** True while a decision of this controller may be published. */
export function mayAct(state: LeaseState, times: LeaseTimes, now: MonoMs): boolean {
  return state.kind === 'leading' && now - state.heardMs < actingMs(times);
}

/** A leader stops before others may claim, however either process is scheduled. */
const actingMs = ({ leaseMs }: LeaseTimes): number => (leaseMs * 2) / 3;

function hear(state: LeaseState, lease: Heard, { self, now }: LeaseContext): LeaseState {
  if (state.kind === 'following') {
    const known = state.heard;
    const isNew = !known || lease.term > known.term || isLater(lease, known);
    return isNew ? { kind: 'following', heard: lease, quietSinceMs: now } : state;
  }
  const { mine } = state;
  if (lease.term < mine.term) return state;
  const isOurTerm = lease.term === mine.term;
  if (state.kind === 'claiming' && isOurTerm) return { ...state, last: lease };
  if (state.kind === 'leading' && isOurTerm && lease.controller === self) {
    return lease.beat < mine.beat ? state : { ...state, heardMs: state.saidMs };
  }
  return { kind: 'following', heard: lease, quietSinceMs: now };
}

const isLater = (lease: Heard, known: Heard): boolean =>
  lease.term === known.term && (lease.controller !== known.controller || lease.beat > known.beat);

function tick(state: LeaseState, context: LeaseContext): LeaseStep {
  const { self, times, now, predecessor, termFloor = 0 } = context;
  if (state.kind === 'following') {
    const isOurs = predecessor !== null && state.heard?.controller === predecessor;
    if (!isOurs && now - state.quietSinceMs < times.leaseMs) return { state, say: null };
    const mine = { term: Math.max(state.heard?.term ?? 0, termFloor) + 1, beat: 1 };
    return {
      state: { kind: 'claiming', mine, untilMs: now + times.settleMs, last: null },
      say: mine,
    };
  }
  if (state.kind === 'claiming') {
    if (now < state.untilMs) return { state, say: null };
    const { last } = state;
    // All who claimed have received the same last lease, which names the leader.
    if (last?.controller !== self) {
      return { state: { kind: 'following', heard: last, quietSinceMs: now }, say: null };
    }
    return renew({ kind: 'leading', mine: state.mine, heardMs: now, saidMs: now }, now);
  }
  if (now - state.heardMs >= times.leaseMs) {
    // Our lease did not come back for a whole lease: another controller may lead by now.
    return { state: startFollowing(now), say: null };
  }
  return now - state.saidMs >= times.leaseMs / 4 ? renew(state, now) : { state, say: null };
}

function renew(state: Extract<LeaseState, { kind: 'leading' }>, now: MonoMs): LeaseStep {
  const mine = { ...state.mine, beat: state.mine.beat + 1 };
  return { state: { ...state, mine, saidMs: now }, say: mine };
}
