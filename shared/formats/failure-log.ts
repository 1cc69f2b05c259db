/**
 * The log of a failed update as it travels: a question to one robot, and the log in parts that one
 * message carries each. A log is gzip of text whose first line is its head. Nothing is signed: a
 * log is evidence for people, and readers bound what they take. [P-8.12] Sans-I/O.
 */

import { z } from 'zod';
import { instantText } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import { base64ToBytes, bytesToBase64 } from '../crypto/bytes.ts';
import { sha256Hex } from '../crypto/hash.ts';
import type { RobotId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { oneLine, printable, shellWord } from '../base/printable.ts';
import { failureText } from '../base/redact.ts';
import {
  idSchema,
  instantSchema,
  parseDocument,
  robotIdSchema,
  sha256Schema,
  versionSchema,
} from './schema.ts';

const messageSchema = z.string().max(LIMITS.failureTextChars).transform(failureText);
const bytesSchema = z.number().int().min(1).max(LIMITS.failureLogBytesMax);

/** The update that failed. */
export const failureHeadSchema = z.object({
  component: idSchema,
  rollout: idSchema,
  version: versionSchema,
  code: z.string().regex(/^[A-Z][A-Z0-9_]{1,63}$/, 'want an error code'),
  message: messageSchema.default(''),
  failed_at: instantSchema,
});

const partSchema = failureHeadSchema.extend({
  robot_id: robotIdSchema,
  log_sha256: sha256Schema,
  bytes: bytesSchema,
  part: z.number().int().min(1).max(LIMITS.failureLogPartsMax),
  parts: z.number().int().min(1).max(LIMITS.failureLogPartsMax),
  data: z.string().max(LIMITS.failureLogMessageBytesMax),
});

const askSchema = z.object({ ask: z.literal('failure-logs'), component: idSchema.optional() });

export type FailureHead = z.output<typeof failureHeadSchema>;
export type FailureHeadFields = z.input<typeof failureHeadSchema>;
type LogPart = z.output<typeof partSchema>;
export type Ask = z.output<typeof askSchema>;

/** The first line of a log; null for one that is damaged, or of another program. */
export function readHeadLine(line: string): FailureHead | null {
  try {
    return failureHeadSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

const PART = {
  what: 'part of a log',
  schema: partSchema,
  bytesMax: LIMITS.failureLogMessageBytesMax,
  code: 'JSON_INVALID',
} as const;
const ASK = {
  what: 'question to a robot',
  schema: askSchema,
  bytesMax: LIMITS.reportBytesMax,
  code: 'JSON_INVALID',
} as const;

export const parseAsk = (bytes: Uint8Array): Ask => parseDocument(ASK, bytes);
/** @param component null asks for the logs of all components */
export const encodeAsk = (component: string | null): Uint8Array =>
  encode({ ask: 'failure-logs', ...(component !== null && { component }) });

const encode = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Messages that carry one log, in order. @param packed gzip bytes, `failureLogBytesMax` at most */
export function logMessages(
  robot: RobotId,
  head: FailureHeadFields,
  packed: Uint8Array,
): Uint8Array[] {
  const step = LIMITS.failureLogPartBytes;
  const parts = Math.max(1, Math.ceil(packed.byteLength / step));
  const about = { robot_id: robot, ...head, log_sha256: sha256Hex(packed), parts };
  return Array.from({ length: parts }, (_, at) =>
    encode({
      ...about,
      bytes: packed.byteLength,
      part: at + 1,
      data: bytesToBase64(packed.subarray(at * step, (at + 1) * step)),
    }),
  );
}

/** A log of which all parts have come, and whose hash is right. */
export interface ReceivedLog {
  readonly robot: RobotId;
  readonly head: FailureHead;
  /** Gzip bytes. */
  readonly packed: Uint8Array;
}

interface UnderWay {
  readonly first: LogPart;
  readonly pieces: Map<number, Uint8Array>;
}

/** Joins the parts of logs. It holds a bounded number of logs; the oldest is dropped first. */
export class LogJoiner {
  readonly #underWay = new Map<string, UnderWay>();

  /**
   * @param robot whose topic brought the message; the id in the message counts for nothing
   * @returns the log that this part completes; null while parts are missing, and for a log whose
   *   parts do not fit together
   * @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE
   */
  take(robot: RobotId, message: Uint8Array): ReceivedLog | null {
    const part = parseDocument(PART, message);
    const key = `${robot} ${part.component} ${part.log_sha256}`;
    const data = base64ToBytes(part.data);
    if (!data || data.byteLength > LIMITS.failureLogPartBytes || part.part > part.parts)
      return null;
    const known = this.#underWay.get(key) ?? { first: part, pieces: new Map() };
    if (known.first.parts !== part.parts || known.first.bytes !== part.bytes) return null;
    known.pieces.set(part.part, data);
    this.#underWay.delete(key);
    if (known.pieces.size < part.parts) {
      this.#keep(key, known);
      return null;
    }
    const packed = joined(known);
    if (packed.byteLength !== part.bytes || sha256Hex(packed) !== part.log_sha256) return null;
    return { robot, head: headOf(known.first), packed };
  }

  #keep(key: string, log: UnderWay): void {
    this.#underWay.set(key, log);
    const [oldest] = this.#underWay.keys();
    if (this.#underWay.size > LIMITS.failureLogsUnderWayMax && oldest !== undefined)
      this.#underWay.delete(oldest);
  }
}

function joined({ first, pieces }: UnderWay): Uint8Array {
  const all = Array.from({ length: first.parts }, (_, at) => pieces.get(at + 1));
  const bytes = new Uint8Array(all.reduce((sum, one) => sum + (one?.byteLength ?? 0), 0));
  let offset = 0;
  for (const piece of all) {
    if (piece) bytes.set(piece, offset);
    offset += piece?.byteLength ?? 0;
  }
  return bytes;
}

function headOf({ component, rollout, version, code, message, failed_at }: LogPart): FailureHead {
  return {
    component,
    rollout,
    version,
    code,
    message: oneLine(message, LIMITS.failureTextChars),
    failed_at,
  };
}

/** The head as text of JSON, with the instant as it is written. */
export const headFields = (head: FailureHead): FailureHeadFields => ({
  ...head,
  failed_at: instantText(head.failed_at),
});

/** A component, and where the log of its last failed update lies when that is another computer. */
export interface LogPlace {
  readonly name: string;
  readonly computer?: string | null | undefined;
  readonly log_folder?: string | null | undefined;
}

/** Why there is no log of these components here: there is none, or it is on another computer. */
export function noLog(what: string, components: readonly LogPlace[]): DroverError {
  const found = components.map((one) => logElsewhere(what, one)).find((one) => one !== null);
  return found ?? new DroverError('FAILURE_LOG_NONE', `${what}: it keeps none`);
}

/** Null for a component whose computer does not say that it keeps one. */
export function logElsewhere(what: string, { computer, log_folder: at }: LogPlace) {
  if (computer == null || at == null) return null;
  const on = `computer ${printable(computer, 64)}`;
  const message = `${what}: it lies on ${on} of the robot, in ${printable(at)}`;
  const hint = `read it there, on ${on}: zcat "$(ls -t ${shellWord(printable(at, 512))}/*.gz | head -n 1)"`;
  return new DroverError('FAILURE_LOG_NONE', message, { hint });
}
