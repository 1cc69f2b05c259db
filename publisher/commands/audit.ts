/**
 * `drover audit …`: exports the audit chain of a broker, and checks an export. The check trusts
 * nothing but the file and the hashes that the operator kept.
 */

import { createReadStream } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import {
  ChainCheck,
  type ChainExpectation,
  type ChainReport,
} from '../../shared/formats/audit-record.ts';
import { idSchema, sha256Schema, seqSchema } from '../../shared/formats/schema.ts';
import { LIST, TEXT, wholeNumber, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput, writeNote } from '../../shared/io/cli.ts';
import { assertNewFile } from '../../shared/io/new-file.ts';
import { LineSplitter } from '../audit/lines.ts';
import { SignatureCheck, type KnownKey } from '../audit/signatures.ts';
import type { ApiClient } from '../rollout/api-client.ts';
import { readPublicKey } from './options.ts';
import { openApi, rawObject, withApi } from './rollout-options.ts';

export const AUDIT_VERBS = ['export', 'verify', 'head'] as const;

const withExport = (argv: Argv) =>
  withApi(argv)
    .option('out', { ...TEXT, describe: 'new file; else standard output' })
    .option('after', {
      ...wholeNumber('after', { least: 0, most: Number.MAX_SAFE_INTEGER }),
      default: 0,
      describe: 'number of the last entry that you have',
    })
    .example('$0 audit export --api https://broker:8443 --out audit-june.jsonl', 'all entries')
    .example('$0 audit export --after 812 --out audit-july.jsonl', 'those since');

const withVerify = (argv: Argv) =>
  withJson(argv)
    .positional('file', { type: 'string', demandOption: true, describe: 'an export' })
    .option('head', { ...TEXT, describe: 'hash that you kept: an entry must have it' })
    .option('after', { ...TEXT, describe: 'hash that the first entry must follow' })
    .option('public-key', {
      ...LIST,
      describe:
        '.pub file of a person, or USER=FILE: checks the approvals that this key has signed',
    })
    .example('$0 audit verify audit-june.jsonl --head 9f86d0…', '')
    .example('$0 audit verify audit-july.jsonl --after 9f86d0…', 'continues the one of June');

const withHead = (argv: Argv) =>
  withApi(argv).example('$0 audit head --api https://broker:8443', '');

export function auditCommand(yargs: Argv): Argv {
  return yargs.command('audit', 'export and check the audit chain of a broker', (argv) =>
    argv
      .command('export', 'write its entries as JSON lines', withExport, runExport)
      .command('verify <file>', 'check that no entry was changed or removed', withVerify, runVerify)
      .command(
        'head',
        'number and hash of the newest entry: keep them elsewhere',
        withHead,
        runHead,
      )
      .demandCommand(1, 'name a command: audit export, verify or head'),
  );
}

type ExportArgs = Awaited<ReturnType<typeof withExport>['argv']>;

/** Exports a broken chain all the same, since it is the evidence, and then fails. */
async function runExport(args: ExportArgs): Promise<void> {
  const api = openApi(args);
  const target = await openTarget(args.out);
  const check = new ChainCheck();
  let problem: DroverError | null = null;
  let entries = 0;
  try {
    for await (const line of linesOf(api, args.after)) {
      entries += 1;
      await target.write(`${line}\n`);
      problem ??= refusedBy(() => check.take(line));
    }
    if (entries === 0 && args.after > 0) await assertReaches(api, args.after);
  } catch (error) {
    await target.drop();
    throw error;
  }
  await target.close();
  if (problem) throw args.out === undefined ? problem : writtenAllTheSame(problem, args.out);
  if (entries === 0 && args.after > 0) {
    return told(args, { entries }, [`no entry is newer than ${args.after}`]);
  }
  const report = check.end();
  told(args, facts(report), summary(args.out ?? 'standard output', report));
}

/**
 * A chain that ends before the entry that the caller has was cut, replaced or restored.
 * @throws DroverError AUDIT_CUT
 */
async function assertReaches(api: ApiClient, after: number): Promise<void> {
  const { head } = readHead(await api.get('/audit/head'));
  if (head !== null && head.seq >= after) return;
  const end = head === null ? 'the chain is empty' : `the chain ends with entry ${head.seq}`;
  throw new DroverError('AUDIT_CUT', `export audit chain: ${end} (got --after ${after})`);
}

const writtenAllTheSame = ({ code, message }: DroverError, out: string): DroverError =>
  new DroverError(code, `${message}; ${out} has all entries as they are`);

/** With the entries on standard output, the summary goes to standard error. */
function told({ out, json }: ExportArgs, fields: object, lines: readonly string[]): void {
  if (out !== undefined) return makeOutput(json).result(fields, lines);
  for (const line of lines) writeNote(line);
}

async function* linesOf(api: ApiClient, after: number): AsyncGenerator<string> {
  for (let last = after; ;) {
    const bytes = await api.get(`/audit?after=${last}&limit=${LIMITS.auditPageMax}`);
    const lines = Buffer.from(bytes).toString('utf8').split('\n').slice(0, -1);
    yield* lines;
    const next = lines.length === 0 ? null : seqOf(lines.at(-1) ?? '');
    if (next === null || next <= last) return;
    last = next;
  }
}

function seqOf(line: string): number {
  const seq = /^\{"v":1,"seq":(\d{1,15}),/.exec(line)?.[1];
  if (seq !== undefined) return Number(seq);
  throw new DroverError('BROKER_REFUSED', 'export audit chain: the answer cannot be read');
}

interface Target {
  write(text: string): Promise<void>;
  close(): Promise<void>;
  drop(): Promise<void>;
}

async function openTarget(path: string | undefined): Promise<Target> {
  if (path === undefined) {
    const write = (text: string): Promise<void> =>
      new Promise((resolve, reject) =>
        process.stdout.write(text, (error) => (error ? reject(error) : resolve())),
      );
    return { write, close: async () => undefined, drop: async () => undefined };
  }
  assertNewFile({ path, what: 'export', option: '--out' });
  const failed = (cause: unknown): never => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_REFUSED', `write export ${path}: ${why}`, { cause });
  };
  const handle: FileHandle = await open(path, 'wx').catch(failed);
  return {
    write: (text) => handle.appendFile(text).catch(failed),
    close: async () => {
      await handle.sync().catch(failed);
      await handle.close();
    },
    drop: async () => {
      await handle.close();
      await unlink(path);
    },
  };
}

type VerifyArgs = Awaited<ReturnType<typeof withVerify>['argv']>;

/** The parser of the command line makes an empty word of `-`. */
const PATH_HINT = 'give the path of an export; /dev/stdin reads standard input';

async function runVerify({ file, head, after, json, publicKey }: VerifyArgs): Promise<void> {
  if (file === '') throw new DroverError('USAGE', 'read export: no path', { hint: PATH_HINT });
  const want = { head: readHash(head, '--head'), after: readHash(after, '--after') };
  const check = new ChainCheck(want);
  const signatures = new SignatureCheck((publicKey ?? []).map(readKnownKey));
  const takeLine = (line: string): void => signatures.take(check.take(line).record);
  const splitter = new LineSplitter(LIMITS.auditRecordBytesMax);
  try {
    for await (const piece of createReadStream(file)) {
      for (const line of splitter.take(piece as Buffer)) takeLine(line);
    }
    for (const line of splitter.end()) takeLine(line);
  } catch (cause) {
    if (cause instanceof DroverError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read export: ${why}`, { cause });
  }
  const report = check.end();
  const newer = countOf(report.newer, 'entry is', 'entries are');
  const held = want.head === undefined ? [] : [`ok: it has the head you kept; ${newer} newer`];
  const signed = signatures.counts();
  makeOutput(json).result({ ok: true, ...facts(report), signed }, [
    `ok: ${summary(file, report)[0]}`,
    ...held,
    ...signatures.lines(),
    ...summary(file, report).slice(1),
    ...notShown(report, want),
  ]);
}

/** A user name has no `=`, and a path that has one may begin with `./`. */
function readKnownKey(word: string): KnownKey {
  const at = word.indexOf('=');
  const user = at > 0 ? word.slice(0, at) : '';
  const isNamed = idSchema.safeParse(user).success;
  const path = isNamed ? word.slice(at + 1) : word;
  return { user: isNamed ? user : null, key: readPublicKey(path) };
}

/** Names changes that a check without a kept hash cannot find. */
const notShown = ({ first }: ChainReport, { head, after }: ChainExpectation): string[] => [
  ...(first > 1 && after === undefined
    ? [`entries before ${first} are not in it: --after HASH shows that it continues what you have`]
    : []),
  ...(head === undefined ? ['entries cut off at its end show only with --head HASH'] : []),
];

function readHash(text: string | undefined, option: string): string | undefined {
  if (text === undefined || sha256Schema.safeParse(text).success) return text;
  throw new DroverError('USAGE', `read ${option}: want 64 lower-case hex digits`);
}

const facts = ({ first, last, entries, gaps, newer }: ChainReport): object => ({
  ...{ entries, first, last: last.seq, head: last.hash, gaps, newer },
});

function summary(name: string, { first, last, entries, gaps }: ChainReport): string[] {
  const shown = gaps.slice(0, LIMITS.examplesMax);
  const more = gaps.length - shown.length;
  return [
    `${name}: ${countOf(entries, 'entry', 'entries')}, ${first} to ${last.seq}; each follows the one before`,
    ...shown.map(({ seq, text }) => `gap: entry ${seq} says: ${printable(text, 300)}`),
    ...(more > 0 ? [`and ${more} more`] : []),
    `head: ${last.seq} ${last.hash}`,
  ];
}

const headSchema = z.object({
  head: z.object({ seq: seqSchema, hash: sha256Schema }).nullable(),
  waiting: z.number(),
});

/** @throws DroverError BROKER_REFUSED */
function readHead(bytes: Uint8Array): z.output<typeof headSchema> {
  const answer = headSchema.safeParse(rawObject(bytes));
  if (answer.success) return answer.data;
  throw new DroverError('BROKER_REFUSED', 'read head of the audit chain: not an answer of it');
}

async function runHead(args: Awaited<ReturnType<typeof withApi>['argv']>): Promise<void> {
  const bytes = await openApi(args).get('/audit/head');
  const { head, waiting } = readHead(bytes);
  makeOutput(args.json).result(rawObject(bytes), [
    head === null ? 'the chain is empty' : `${head.seq} ${head.hash}`,
    ...(waiting > 0 ? [`${countOf(waiting, 'entry waits', 'entries wait')} for its disk`] : []),
  ]);
}

function refusedBy(work: () => unknown): DroverError | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof DroverError) return error;
    throw error;
  }
}
