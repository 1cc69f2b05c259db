/**
 * Names the needs that a fleet has of an engine of somebody else, and judges one that stops to
 * retain after it was tried out. Lost once may be a restart of an engine that keeps nothing on its
 * disk, and is put back; lost again, after it was put back and acknowledged, is an engine that does
 * not retain. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TRUST_FILTER } from '../../shared/formats/topics.ts';

/** The needs of a fleet, each with the harm that an engine does which lacks it. */
export const NEEDS = {
  order: 'it loses messages or changes their order: reports may go backwards',
  retained: 'it does not keep retained messages: robots that come late hear of nothing',
  wildcards:
    'it hands nothing retained to a filter with + in it: a stop is not heard by who comes late',
  cleared: 'it keeps a retained message that was cleared: what was withdrawn stays',
  sessions: 'it keeps no session of a client that is away: events of robots are lost meanwhile',
  size: `no chunk of ${LIMITS.chunkBytesDefault / 1024} KiB comes back: its access list forbids fleet-chunks, or it limits packets (publish with a smaller --chunk-size)`,
} as const;

/** Below `fleet/trust/`, where robots read none but numbers: the messages of a trial. */
export const trialTopic = (id: string): string => TRUST_FILTER.replace('+', `trial-${id}`);
export const isTrialTopic = (topic: string): boolean => topic.startsWith(trialTopic(''));

/** What an engine handed out of what it should retain. */
export interface Kept {
  /** Expected, and not handed out. */
  readonly missing: readonly string[];
  /** False when it takes no retained message, or keeps none. */
  readonly takes: boolean;
}

const HINT =
  'let the engine retain messages again (mosquitto: retain_available true; look at its limits and its log); ours are put back and it is looked at again by itself';

/** @param owed missing at the look before, and put back after it */
export function judgeKept({ missing, takes }: Kept, owed: ReadonlySet<string>): Problem | null {
  const twice = missing.filter((topic) => owed.has(topic));
  if (takes && twice.length === 0) return null;
  const why = takes
    ? `it acknowledged ${twice[0]} and does not keep it (${twice.length} such topics)`
    : NEEDS.retained;
  const message = `look what the engine retains: ${why}`;
  return toProblem(new DroverError('ENGINE_UNFIT', message, { hint: HINT }));
}
