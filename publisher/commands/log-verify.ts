/**
 * `drover log verify`: the command of a monitor. It trusts the keys of its policy, and no broker.
 */

import { existsSync, statSync } from 'node:fs';
import type { Argv } from 'yargs';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { bytesToHex, utf8 } from '../../shared/crypto/bytes.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput, readInput } from '../../shared/io/cli.ts';
import { readLogPolicy } from '../../shared/io/trust-file.ts';
import { formatNote } from '../../shared/tlog/note.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import { LogBoard } from '../log/log-board.ts';
import { assertExtends, needLog, openOlder, type OpenedLog } from '../log/read-log.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { brokerOptions, commandLog, withBroker } from './options.ts';

export const withLogVerify = (argv: Argv) =>
  withBroker(withJson(argv))
    .option('policy', { ...TEXT, demandOption: true, describe: 'keys of the log and witnesses' })
    .option('since', {
      ...TEXT,
      describe: 'older checkpoint: refuse a log that does not extend it',
    })
    .option('save', { ...TEXT, describe: 'write the checkpoint that was verified to this file' })
    .example('$0 log verify --broker mqtt://host --policy policy.txt --save seen.txt', 'first')
    .example('$0 log verify --broker … --policy … --since seen.txt --save seen.txt', 'each day');

export async function runLogVerify(
  argv: Awaited<ReturnType<typeof withLogVerify>['argv']>,
): Promise<void> {
  const policy = readLogPolicy(argv.policy);
  const older = argv.since === undefined ? null : openOlder(readOlder(argv.since), policy);
  const log = await readLogOf(await brokerOptions(argv), policy);
  if (older) assertExtends(log, older);
  const { checkpoint } = log;
  if (argv.save !== undefined) {
    assertMaySave(argv.save, log, policy);
    await saveCheckpoint(argv.save, utf8(formatNote(checkpoint.note)));
  }
  const entries = log.entries.map(entryFacts);
  const { origin, size, root } = checkpoint;
  const { witnesses, isWitnessed } = log.seen;
  const newer = older && size - older.size;
  if (!isWitnessed) process.exitCode = 3; // a monitor reads only the exit code
  makeOutput(argv.json).result(
    {
      ...{ ok: isWitnessed, origin, size, root: bytesToHex(root), witnesses, quorum: isWitnessed },
      ...{ since: older && older.size, entries },
    },
    [
      `${isWitnessed ? 'ok' : 'refused'}: ${printable(origin)}, ${countOf(size, 'entry', 'entries')}, signed by its key${witnessText(log, policy)}`,
      ...(newer === null
        ? []
        : [`ok: it extends ${argv.since}; ${countOf(newer, 'entry is', 'entries are')} newer`]),
      ...entries.map(entryLine),
    ],
  );
}

function readOlder(path: string): Uint8Array {
  if (existsSync(path)) return readInput(path, `checkpoint ${path}`);
  throw new DroverError('FILE_UNREADABLE', `read checkpoint ${path}: there is no such file`, {
    hint: 'the first time leave out --since, and name the file with --save',
  });
}

async function readLogOf(broker: BrokerLinkOptions, policy: LogPolicy): Promise<OpenedLog> {
  const link = await BrokerLink.open(broker, commandLog());
  try {
    const board = await LogBoard.open(link);
    board.close();
    return needLog(board, policy);
  } finally {
    await link.close();
  }
}

/**
 * The saved checkpoint may only be replaced by one that continues it.
 * @throws DroverError FILE_EXISTS, LOG_REWRITTEN
 */
function assertMaySave(path: string, log: OpenedLog, policy: LogPolicy): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return;
  const isSmall = found.isFile() && found.size <= LIMITS.logNoteBytesMax;
  const stands = nullIfRefused(() =>
    isSmall ? openOlder(readInput(path, `checkpoint ${path}`), policy) : null,
  );
  if (stands?.origin === log.checkpoint.origin) return assertExtends(log, stands);
  throw new DroverError('FILE_EXISTS', `write checkpoint ${path}: something else is there`, {
    hint: 'choose another --save: only an older checkpoint of the same log is replaced',
  });
}

/** @throws DroverError FILE_REFUSED, DISK_FULL and others of the path */
export async function saveCheckpoint(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFileAtomic(path, bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_REFUSED', `write checkpoint ${path}: ${why}`, { cause });
  }
}

export function witnessText({ seen }: Pick<OpenedLog, 'seen'>, { quorum }: LogPolicy): string {
  const by = seen.witnesses.map((one) => printable(one)).join(', ');
  const seenText = by === '' ? '' : `, witnessed by ${by}`;
  return seen.isWitnessed || quorum === null
    ? seenText
    : `${seenText}; too few witnesses for quorum ${printable(quorum)}: robots wait for more`;
}

/** An entry that cannot be parsed was signed all the same: it is listed. */
function entryFacts(bytes: Uint8Array, index: number) {
  const manifest = nullIfRefused(() => parseManifest(bytes));
  const { name = null, version = null, payload_sha256 = null } = manifest ?? {};
  return { index, name, version, payload_sha256 };
}

function entryLine({
  index,
  name,
  version,
  payload_sha256,
}: ReturnType<typeof entryFacts>): string {
  const what = name === null ? 'no manifest that this drover can read' : `${name} ${version}`;
  return `${String(index).padStart(4)}  ${what}${payload_sha256 ? `  ${payload_sha256}` : ''}`;
}
