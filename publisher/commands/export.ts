/** `drover export`: the command line of the stage in ../airgap/export.ts. */

import { countOf } from '../../shared/base/printable.ts';
import { basename } from 'node:path';
import type { Argv } from 'yargs';
import { formatBytes, parseByteSize } from '../../shared/base/byte-sizes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { makeOutput, readInput, type Output } from '../../shared/io/cli.ts';
import { keysOf } from '../../shared/formats/trust.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { exportParcel, type Exported } from '../airgap/export.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { LIST, TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import {
  brokerOptions,
  commandLog,
  namesKeys,
  openSigners,
  withKeys,
  withOptionalBroker,
  withTrust,
} from './options.ts';

export function exportCommand(yargs: Argv): Argv {
  return yargs.command(
    'export [bundles..]',
    'write bundles and what is announced into one file for a stick',
    withOptions,
    runExport,
  );
}

const withOptions = (argv: Argv) =>
  withKeys(withTrust(withOptionalBroker(withDryRun(withJson(argv)))))
    .positional('bundles', { type: 'string', array: true, describe: 'bundle folders or files' })
    .option('out', { ...TEXT, demandOption: true, describe: 'file to write' })
    .option('only', { ...LIST, describe: 'this announced rollout; may be given again' })
    .option('to', {
      ...LIST,
      describe: 'age1…: only who has its identity can read the file; may be given again',
    })
    .option('split', { ...TEXT, describe: 'parts of this size for FAT32: 3900M' })
    .example('$0 export --broker mqtt://host --trust trust.json --out stick/f.drover-export', '')
    .example('$0 export bundles/1.4.2 --trust trust.json --out stick/f.drover-export', '')
    .epilogue('At the site: drover import FILE. Step by step: docs/air-gap.md.');

type ExportArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

async function runExport(argv: ExportArgs): Promise<void> {
  const folders = argv.bundles ?? [];
  if (argv.broker === undefined && folders.length === 0) {
    throw new DroverError('USAGE', 'export: nothing to take (want --broker URL or bundles)');
  }
  const trust = readTrust(argv.trust);
  const isSigned = namesKeys(argv);
  const exported = await exportParcel({
    folders,
    broker:
      argv.broker === undefined ? null : await brokerOptions({ ...argv, broker: argv.broker }),
    rollouts: argv.only ?? [],
    trust,
    trustBytes: readInput(argv.trust, `trust ${argv.trust}`),
    signers: isSigned ? await openSigners(argv, keysOf(trust)) : [],
    out: argv.out,
    split: readSplit(argv.split),
    recipients: argv.to ?? [],
    dryRun: argv.dryRun,
    output: makeOutput(argv.json),
    log: commandLog(),
  });
  report(makeOutput(argv.json), exported, argv);
}

function readSplit(text: string | undefined): number | null {
  if (text === undefined) return null;
  const bytes = parseByteSize(text);
  if (bytes >= LIMITS.parcelSplitBytesMin) return bytes;
  const want = `want at least ${formatBytes(LIMITS.parcelSplitBytesMin)}`;
  throw new DroverError('USAGE', `read --split: too small (got ${formatBytes(bytes)}, ${want})`);
}

function report(output: Output, exported: Exported, { dryRun, to = [] }: ExportArgs): void {
  const { index, bundles, announcement, left, bytes, parts } = exported;
  const what = bundles.map(({ name, version }) => `${name} ${version}`).join(', ');
  const files = parts.map((part) => basename(part)).join(', ');
  const lines = [
    `${dryRun ? 'would write' : 'wrote'} ${what} to ${files} (${formatBytes(bytes)}), seq ${index.seq}`,
    ...left.map(({ rollout, status }) => `left out rollout ${rollout}: ${status}`),
  ];
  if (to.length > 0) lines.push(`sealed for ${countOf(to.length, 'recipient')}`);
  if (announcement === null) lines.push('it holds no announcement: the site signs its own (--key)');
  output.result(
    {
      dry_run: dryRun,
      files: parts,
      size: bytes,
      recipients: to,
      fleet: index.fleet,
      seq: index.seq,
      created_at: index.created_at,
      announcement: announcement === null ? null : { seq: announcement.seq },
      bundles,
      left_out: left,
    },
    lines,
  );
}
