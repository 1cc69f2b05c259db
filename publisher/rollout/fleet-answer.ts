/**
 * The rows of a fleet from pages of `GET /robots` and from `GET /relays` of a broker, all of it
 * untrusted input. The rows are those that the retained reports make. Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { answerKind, parseDocument } from '../../shared/formats/schema.ts';
import { byName, type FleetRow, type FleetRows } from './fleet-report.ts';
import { problemSchema, robotSchema, stateOf } from './robot-answer.ts';

const pageSchema = z.object({
  robots: z.array(z.unknown()).max(LIMITS.robotsMax),
  /** Absent from a broker that knows no pages: it sends all at once. */
  next: z.string().nullish(),
});
const relaysSchema = z.object({
  relays: z.array(z.object({ relay: z.string(), problem: problemSchema.nullable() })),
});

const PAGE = answerKind('list of robots', pageSchema);
const RELAYS = answerKind('list of relays', relaysSchema);

export class AnsweredFleet implements FleetRows {
  readonly rows: FleetRow[] = [];
  /** Ids of robots whose report cannot be read. */
  readonly invalid: string[] = [];
  relayProblems: FleetRows['relayProblems'] = [];

  /**
   * @returns the id after which the next page begins; null after the last
   * @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE
   */
  takePage(bytes: Uint8Array): string | null {
    const { robots, next = null } = parseDocument(PAGE, bytes);
    for (const robot of robots) this.#take(robot);
    return next;
  }

  /** @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE */
  takeRelays(bytes: Uint8Array): void {
    const { relays } = parseDocument(RELAYS, bytes);
    this.relayProblems = relays.flatMap(({ relay, problem }) =>
      problem ? [{ relay, problem }] : [],
    );
  }

  #take(answer: unknown): void {
    const robot = robotSchema.safeParse(answer).data;
    const found = robot && nullIfRefused(() => ({ state: stateOf(robot) }));
    if (!robot || !found) return void this.invalid.push(robot?.robot_id ?? 'GET /robots');
    const { online, via, via_problem: relayProblem, twins } = robot;
    if (found.state === null) return; // it has not reported
    // The broker counts the turns of two robots under one id; the report has its own count.
    const state = { ...found.state, link_endings: twins ? 1 : found.state.link_endings };
    const rows = byName(state.components).map((component) => {
      return { robot: state, component, online, via, relayProblem };
    });
    this.rows.push(...rows);
  }
}
