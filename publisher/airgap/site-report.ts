/**
 * The report of a site, as `drover report export` carries it: the last state of each robot, exactly
 * as the robot sent it, under one signature of the site's rollout key.
 * A text file: the first line is a signed envelope with the hash of the rest, and each further line
 * is the state of one robot. The states of a robot are ordered by their own `at`, so an older
 * report changes nothing wherever it is imported. Sans-I/O.
 */

import { z } from 'zod';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { bytesEqual, concatBytes, utf8 } from '../../shared/crypto/bytes.ts';
import { openEnvelope, PAYLOAD_TYPES, signEnvelope } from '../../shared/formats/envelope.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseRobotState, type RobotState } from '../../shared/formats/messages.ts';
import { idSchema, instantSchema, parseDocument, sizeSchema } from '../../shared/formats/schema.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';

const indexSchema = z.object({
  kind: z.literal('drover-report'),
  format: z.literal(1),
  fleet: idSchema,
  site: idSchema,
  at: instantSchema,
  robots: sizeSchema,
  bytes: sizeSchema,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const KIND = {
  what: 'site report',
  schema: indexSchema,
  bytesMax: LIMITS.reportBytesMax,
  code: 'REPORT_INVALID',
} as const;

const LINE_END = 0x0a;

export interface SiteReport {
  readonly site: string;
  readonly atMs: number;
  /** The states as the robots sent them, and parsed. */
  readonly states: readonly { readonly payload: Uint8Array; readonly state: RobotState }[];
}

/** @param states payloads of `fleet/robots/+/state`; one that cannot be parsed is left out */
export async function encodeSiteReport(
  { fleet, site, nowMs }: { fleet: string; site: string; nowMs: number },
  states: readonly Uint8Array[],
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const lines = states.map((payload) => concatBytes(oneLine(payload), new Uint8Array([LINE_END])));
  const body = concatBytes(...lines);
  const index = {
    ...{ kind: 'drover-report', format: 1, fleet, site, at: new Date(nowMs).toISOString() },
    ...{ robots: states.length, bytes: body.byteLength, sha256: sha256Hex(body) },
  };
  const head = await signEnvelope(PAYLOAD_TYPES.report, utf8(JSON.stringify(index)), signers);
  return concatBytes(head, new Uint8Array([LINE_END]), body);
}

/** The same JSON without line ends between its tokens. */
const oneLine = (payload: Uint8Array): Uint8Array => {
  if (!payload.includes(LINE_END)) return payload;
  return utf8(JSON.stringify(JSON.parse(new TextDecoder().decode(payload))));
};

/**
 * [P-13.6]
 * @throws DroverError ENVELOPE_*, REPORT_INVALID, FLEET_WRONG, DOCUMENT_TOO_LARGE, JSON_INVALID
 */
export function openSiteReport(bytes: Uint8Array, trust: TrustRoot): SiteReport {
  const end = bytes.indexOf(LINE_END);
  if (end < 0) throw invalid('it has no first line');
  const head = bytes.subarray(0, end);
  const body = bytes.subarray(end + 1);
  const index = parseDocument(KIND, openEnvelope(head, PAYLOAD_TYPES.report, trust.roles.rollout));
  if (index.fleet !== trust.fleet) {
    throw new DroverError(
      'FLEET_WRONG',
      `read report: of another fleet (got ${index.fleet}, want ${trust.fleet})`,
    );
  }
  if (body.byteLength !== index.bytes) {
    throw invalid(`it was cut or added to (got ${body.byteLength}, want ${index.bytes} bytes)`);
  }
  if (sha256Hex(body) !== index.sha256) throw invalid('it is not what was signed');
  const states = linesOf(body).map((payload) => ({ payload, state: parseRobotState(payload) }));
  if (states.length !== index.robots) {
    throw invalid(`robots are missing (got ${states.length}, want ${index.robots})`);
  }
  return { site: index.site, atMs: index.at, states };
}

function linesOf(body: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let from = 0; from < body.byteLength;) {
    const end = body.indexOf(LINE_END, from);
    if (end < 0) throw invalid('its last line has no end');
    lines.push(body.subarray(from, end));
    from = end + 1;
  }
  return lines;
}

export interface ReportPlan {
  readonly newer: readonly SiteReport['states'][number][];
  /** Robots of which the reader has the same state, or a later one. */
  readonly same: readonly string[];
  readonly older: readonly string[];
}

/** @param known the retained states at the destination, by robot id */
export function planReport(
  { states }: SiteReport,
  known: ReadonlyMap<string, Uint8Array>,
): ReportPlan {
  const newer: SiteReport['states'][number][] = [];
  const [same, older]: [string[], string[]] = [[], []];
  for (const one of states) {
    const { robot_id: id, at } = one.state;
    const there = known.get(id);
    const thereMs = there === undefined ? null : momentOf(there);
    if (thereMs === null || at > thereMs) newer.push(one);
    else if (at < thereMs || !there || !bytesEqual(there, one.payload)) older.push(id);
    else same.push(id);
  }
  return { newer, same, older };
}

/** Null for a state that cannot be parsed: any other is better. */
function momentOf(payload: Uint8Array): number | null {
  return nullIfRefused(() => parseRobotState(payload).at);
}

const invalid = (why: string): DroverError =>
  new DroverError('REPORT_INVALID', `read report: ${why}`);
