/** `drover import`: the command line of the stage in ../airgap/import.ts. */

import type { Argv } from 'yargs';
import { formatBytes, parseByteSize } from '../../shared/base/byte-sizes.ts';
import { parseDurationMs } from '../../shared/base/durations.ts';
import { makeOutput, type Output } from '../../shared/io/cli.ts';
import { keysOf } from '../../shared/formats/trust.ts';
import { importParcel, type Imported } from '../airgap/import.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { readAudience, withSteps, withWho } from './audience-options.ts';
import { LIST, TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import {
  brokerOptions,
  commandLog,
  namesKeys,
  openSigners,
  withBroker,
  withKeys,
  withTrust,
} from './options.ts';

const FLAG = { type: 'boolean', default: false } as const;

export function importCommand(yargs: Argv): Argv {
  return yargs.command(
    'import <file>',
    'verify a file of drover export and publish it at this site',
    withOptions,
    runImport,
  );
}

const withOptions = (argv: Argv) =>
  withSteps(
    withWho(withKeys(withBroker(withTrust(withDryRun(withJson(argv)), 'trust.json of this site')))),
  )
    .positional('file', { type: 'string', demandOption: true, describe: 'or its first part' })
    .option('identity', {
      ...LIST,
      describe:
        'file with the age identity of this site, for a file that is encrypted; may be given again',
    })
    .option('into', { ...TEXT, default: 'bundles', describe: 'folder to keep bundles in' })
    .option('chunk-size', { ...TEXT, default: '256k', describe: 'with --key: 16k to 512k' })
    .option('expires', {
      ...TEXT,
      default: '30d',
      describe: 'with --key: life of what it announces',
    })
    .option('supersede', { ...LIST, describe: 'end this rollout; may be given again' })
    .option('alongside', { ...FLAG, describe: 'stand beside rollouts for the same robots' })
    .option('upload-only', { ...FLAG, describe: 'store the chunks, announce nothing' })
    .example('$0 import stick/f.drover-export --broker mqtt://host --trust trust.json', '')
    .example('$0 import f --broker mqtt://host --trust t --key site.key --waves 10,100', '')
    .epilogue('Without --key the announcement in the file is put up as it is: docs/air-gap.md.');

type ImportArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

async function runImport(argv: ImportArgs): Promise<void> {
  const trust = readTrust(argv.trust);
  const isResigned = namesKeys(argv);
  const output = makeOutput(argv.json);
  const broker = await brokerOptions(argv);
  const imported = await importParcel({
    file: argv.file,
    into: argv.into,
    identities: argv.identity ?? [],
    trust,
    signers: isResigned ? await openSigners(argv, keysOf(trust)) : [],
    broker,
    audience: readAudience(argv, { fleet: trust.fleet, publisher: broker.username }),
    chunkBytes: parseByteSize(argv.chunkSize),
    lifeMs: parseDurationMs(argv.expires),
    supersede: argv.supersede ?? [],
    alongside: argv.alongside,
    replaceInvalid: false,
    uploadOnly: argv.uploadOnly,
    dryRun: argv.dryRun,
    output,
    log: commandLog(),
  });
  report(output, imported, argv.dryRun);
}

function report(output: Output, imported: Imported, dryRun: boolean): void {
  const { index, isProven, mode, wasThere, bundles } = imported;
  const lines = bundles.map(({ name, version, folder, published }) => {
    const stored = published?.stored;
    if (!stored) return `verified ${name} ${version}`;
    const sent = `sent ${stored.sent} of ${stored.pieces} chunks (${formatBytes(stored.sentBytes)})`;
    return `imported ${name} ${version}: ${sent}; kept in ${folder}`;
  });
  const verb = { republished: 'put up', announced: 'signed', uploaded: 'left out' }[mode];
  const done = `${dryRun ? 'would have ' : ''}${verb} the announcement`;
  const what = wasThere ? 'nothing is new: it was announced before' : done;
  lines.push(`${what}; file of seq ${index.seq}`);
  if (!isProven) lines.push('note: nobody signed which file is newer; its seq is only a claim');
  output.result(
    {
      dry_run: dryRun,
      mode,
      seq: index.seq,
      order_signed: isProven,
      announced_before: wasThere,
      bundles: bundles.map(({ published, ...one }) => ({
        ...one,
        sent_chunks: published?.stored?.sent ?? 0,
        chunks: published?.stored?.pieces ?? null,
        healed_chunks: published?.stored?.healed ?? 0,
        seq: published?.announced?.fields.seq ?? null,
      })),
    },
    lines,
  );
}
