/**
 * Lists the features that a fleet needs of an external engine, and detects an engine that stops
 * retaining messages later. We publish a lost message again the first time: an engine that stores
 * nothing on disk may have been restarted. When the engine acknowledged that message and has lost
 * it again, it does not retain. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TRUST_FILTER } from '../../shared/formats/topics.ts';

/**
 * The features that a fleet needs. Each text describes the harm when an engine lacks the feature.
 */
export const NEEDS = {
  order: 'it loses messages or changes their order: reports may go backwards',
  retained: 'it does not keep retained messages: robots that come late hear of nothing',
  wildcards:
    'it hands nothing retained to a filter with + in it: a stop is not heard by who comes late',
  cleared: 'it keeps a retained message that was cleared: what was withdrawn stays',
  sessions: 'it keeps no session of a client that is away: events of robots are lost meanwhile',
  size: `no chunk of ${LIMITS.chunkBytesDefault / 1024} KiB comes back: its access list forbids fleet-chunks, or it limits packets (publish with a smaller --chunk-size)`,
} as const;

/**
 * Topic of the messages of a trial. It is below `fleet/trust/`, where robots read only topics that
 * end with a number.
 */
export const trialTopic = (id: string, filter: string = TRUST_FILTER): string =>
  filter.replace('+', `trial-${id}`);
export const isTrialTopic = (topic: string): boolean => topic.startsWith(trialTopic(''));

export const UNTRIED =
  'what was published below fleet/trust/ did not come back, or may not be subscribed to: see the access list of the engine (docs/engines.md)';

/** Result of one check: retained messages that the engine sent, and those that it did not send. */
export interface Kept {
  /** Topics whose retained message was expected and did not arrive. */
  readonly missing: readonly string[];
  /** False when the engine refuses retained messages or drops them. */
  readonly takes: boolean;
}

const HINT =
  'let the engine retain messages again (mosquitto: retain_available true; look at its limits and its log); ours are put back and it is looked at again by itself';

/** @param owed topics that were missing at the check before, and were published again after it */
export function judgeKept({ missing, takes }: Kept, owed: ReadonlySet<string>): Problem | null {
  const twice = missing.filter((topic) => owed.has(topic));
  if (takes && twice.length === 0) return null;
  const why = takes
    ? `it acknowledged ${twice[0]} and does not keep it (${twice.length} such topics)`
    : NEEDS.retained;
  const message = `look what the engine retains: ${why}`;
  return toProblem(new DroverError('ENGINE_UNFIT', message, { hint: HINT }));
}
