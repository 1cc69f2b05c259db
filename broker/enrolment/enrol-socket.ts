/**
 * The Unix socket by which `drover-broker enrol` changes the enrolments of the broker that runs on a
 * data folder. Only hashes of claims go over it.
 */

import { createServer, request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { z } from 'zod';
import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { collectBytes } from '../../shared/crypto/bytes.ts';
import { readApiRefusal } from '../../shared/formats/http-api.ts';
import { parseDocument } from '../../shared/formats/schema.ts';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import { AuditLog } from '../audit/audit-log.ts';
import type { AuditSink } from '../audit/decision.ts';
import { asOwnerOf, openDataFolder } from '../control/data-folder.ts';
import { isNotListening, listenInFolder, notCalled } from '../control/data-socket.ts';
import { Enrolment, ENROLMENT_DATABASE, type EnrolmentPort } from './enrolment.ts';
import { claimOrdersSchema, type EnrolmentView } from './records.ts';

const SOCKET = 'enrol.sock';
const socketOf = (dataFolder: string): string => join(dataFolder, SOCKET);

const callSchema = z.discriminatedUnion('verb', [
  z.object({ verb: z.literal('add'), orders: claimOrdersSchema, replace: z.boolean() }),
  z.object({ verb: z.literal('list') }),
  z.object({
    verb: z.literal('revoke'),
    robots: z.array(z.string().max(LIMITS.idLengthMax)).max(LIMITS.enrolmentsMax),
    by: z.string().max(100),
  }),
]);

/** One call of `drover-broker enrol`. */
export type EnrolCall = z.input<typeof callSchema>;
/** `revoked`: robots that had an enrolment; `unknown`: the others that were named. */
export interface EnrolResult {
  readonly enrolments: readonly EnrolmentView[];
  readonly unknown: readonly string[];
}

const parseCall = (bytes: Uint8Array): z.output<typeof callSchema> =>
  parseDocument(
    {
      what: 'call',
      schema: callSchema,
      bytesMax: LIMITS.enrolmentCallBytesMax,
      code: 'USAGE',
    },
    bytes,
  );

/** The same for a running broker and for a data folder at rest. */
async function callEnrolment(enrolment: EnrolmentPort, bytes: Uint8Array): Promise<EnrolResult> {
  const call = parseCall(bytes);
  switch (call.verb) {
    case 'add':
      await enrolment.add(call.orders, { replace: call.replace });
      return { enrolments: [], unknown: [] };
    case 'list':
      return { enrolments: enrolment.list(), unknown: [] };
    case 'revoke': {
      const known = new Set(enrolment.list().map((one) => String(one.robot_id)));
      const named = call.robots.filter((robot) => known.has(robot));
      for (const robot of named) await enrolment.revoke(robot, call.by);
      const changed = enrolment.list().filter((one) => named.includes(one.robot_id));
      return { enrolments: changed, unknown: call.robots.filter((robot) => !known.has(robot)) };
    }
  }
}

/** Call with the databases locked. @returns closes it */
export async function openEnrolSocket(options: {
  readonly dataFolder: string;
  readonly enrolment: EnrolmentPort;
  readonly log: Log;
}): Promise<() => Promise<void>> {
  const { dataFolder, enrolment, log } = options;
  const server = createServer((call, reply) => {
    readWhole(call)
      .then(async (bytes) => {
        reply.end(JSON.stringify(await callEnrolment(enrolment, bytes)));
      })
      .catch((error: unknown) => {
        if (!reply.headersSent) reply.writeHead(400);
        reply.end(JSON.stringify({ error: toProblem(error) }));
      });
  });
  return await listenInFolder(server, { path: socketOf(dataFolder), what: 'enrolments', log });
}

/**
 * Null when no broker runs on that folder.
 * @throws DroverError FILE_REFUSED, BROKER_UNREACHABLE, and what the broker refuses with
 */
async function callEnrolSocket(dataFolder: string, body: Uint8Array): Promise<EnrolResult | null> {
  const answer = await new Promise<IncomingMessage | null>((resolve, reject) => {
    const options = { socketPath: socketOf(dataFolder), path: '/', method: 'POST' };
    const call = request({ ...options, timeout: LIMITS.apiAnswerMsMax }, resolve);
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', (error: NodeJS.ErrnoException) => {
      if (isNotListening(error)) return resolve(null);
      reject(notCalled(dataFolder, error));
    });
    call.end(body);
  });
  if (!answer) return null;
  const bytes = await readWhole(answer);
  if (answer.statusCode !== 200) throw readApiRefusal(answer.statusCode ?? 0, bytes);
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as EnrolResult;
}

/** @throws DroverError DOCUMENT_TOO_LARGE */
const readWhole = (message: IncomingMessage): Promise<Uint8Array> =>
  collectBytes(message as AsyncIterable<Buffer>, {
    bytesMax: LIMITS.enrolmentCallBytesMax,
    what: 'enrolments',
  });

/**
 * Calls the enrolment of a data folder: that of its running broker, or its database while no broker
 * runs.
 * @throws DroverError FILE_REFUSED, FILE_UNREADABLE, DATA_LOCKED, RESTORE_UNFINISHED,
 *   BROKER_UNREACHABLE, and what the enrolment refuses with
 */
export async function atData(dataFolder: string, call: EnrolCall): Promise<EnrolResult> {
  const bytes = new TextEncoder().encode(JSON.stringify(call));
  await openDataFolder(dataFolder);
  return await asOwnerOf(dataFolder, async () => {
    const online = await callEnrolSocket(dataFolder, bytes);
    if (online) return online;
    const log = makeCommandLog('drover-broker');
    const audit = await AuditLog.open({ dataFolder, log, now: Date.now });
    try {
      return await callAtRest(dataFolder, { bytes, audit, log });
    } finally {
      await audit.close();
    }
  });
}

async function callAtRest(
  dataFolder: string,
  { bytes, audit, log }: { bytes: Uint8Array; audit: AuditSink; log: Log },
): Promise<EnrolResult> {
  const folder = join(dataFolder, ENROLMENT_DATABASE);
  const enrolment = await Enrolment.open({ folder, audit, log });
  try {
    return await callEnrolment(enrolment, bytes);
  } finally {
    await enrolment.close();
  }
}
