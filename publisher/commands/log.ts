/**
 * `drover log`: the transparency log of a fleet, which reveals a manifest that a stolen release key
 * signed. `add` and `key` are here; log-verify.ts and log-witness.ts have the readers.
 */

import { statSync } from 'node:fs';
import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { openBundle } from '../../shared/io/bundle-folder.ts';
import { TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput, readInput } from '../../shared/io/cli.ts';
import { formatVerifier, verifierOf } from '../../shared/tlog/note-keys.ts';
import { logFields, logProofText, readLogProof, writeLogProof } from '../bundle/log-proof-part.ts';
import { appendToLog, proofFrom } from '../log/append.ts';
import { LogBoard } from '../log/log-board.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { parsePublicKey } from '../../shared/formats/public-key.ts';
import { runLogVerify, withLogVerify } from './log-verify.ts';
import { runWitness, withWitness } from './log-witness.ts';
import { brokerOptions, commandLog, openSigner, withBroker, withKeys } from './options.ts';

export function logCommand(yargs: Argv): Argv {
  return yargs.command('log', 'log what release keys sign, for everybody to see', (argv) =>
    argv
      .command('add <bundle>', 'add a signed bundle, or renew its proof', withAdd, runAdd)
      .command('verify', 'verify all of the log and list it', withLogVerify, runLogVerify)
      .command('witness', 'cosign the log after a look at all of it', withWitness, runWitness)
      .command('key', 'print the line of a policy for a key', withKey, printKey)
      .demandCommand(1, 'name a command: log add, verify, witness or key'),
  );
}

const withAdd = (argv: Argv) =>
  withKeys(withBroker(withDryRun(withJson(argv))))
    .positional('bundle', { type: 'string', demandOption: true })
    .option('origin', { ...TEXT, demandOption: true, describe: 'name of the log and of its key' })
    .option('new', {
      type: 'boolean',
      default: false,
      describe: 'begin the log: only the first time, so that a lost one is not begun again',
    })
    .option('since', {
      ...TEXT,
      describe:
        'newest checkpoint that you saved: a head that extends it is signed again if needed',
    })
    .example(
      '$0 log add bundles/1.4.2 --broker mqtt://host --origin example.org/fleet --key log.key',
      'before drover publish',
    );

async function runAdd(argv: Awaited<ReturnType<typeof withAdd>['argv']>): Promise<void> {
  if (statSync(argv.bundle, { throwIfNoEntry: false })?.isFile() === true) {
    throw new DroverError('USAGE', `log ${argv.bundle}: want a bundle folder, for its proof`, {
      hint: 'log the folder first, then drover pack it',
    });
  }
  const [origin, isDry] = [argv.origin, argv.dryRun];
  const bundle = await openBundle(argv.bundle);
  try {
    const signer = await openSigner(argv);
    const { manifestBytes, manifest } = bundle;
    const { since: path, new: isFirst } = argv;
    const since = path === undefined ? null : readInput(path, `checkpoint ${path}`);
    const job = { manifestBytes, origin, signer, isFirst, since, dryRun: isDry };
    const link = await BrokerLink.open(await brokerOptions(argv), commandLog());
    const { index, isNew, isMended, log } = await addOver(link, job);
    if (log && !isDry) await writeLogProof(bundle, proofFrom(log, index));
    const part = isDry ? null : await readLogProof(bundle);
    const did = isNew ? (isDry ? 'would log' : 'logged') : 'was logged before:';
    makeOutput(argv.json).result(
      { dry_run: isDry, index, new: isNew, mended: isMended, log: part && logFields(part.proof) },
      [
        `${did} ${manifest.name} ${manifest.version} as entry ${index} of ${origin}`,
        ...(isMended ? ['the checkpoint that stood had bad signatures: a new one is signed'] : []),
        ...(part ? [`proof: ${logProofText(part.proof)}`] : []),
      ],
    );
  } finally {
    await bundle.close();
  }
}

async function addOver(link: BrokerLink, job: Parameters<typeof appendToLog>[1]) {
  const board = await LogBoard.open(link);
  try {
    return await appendToLog(board, job);
  } finally {
    board.close();
    await link.close();
  }
}

const withKey = (argv: Argv) =>
  withJson(argv)
    .option('key', { ...TEXT, demandOption: true, describe: '.pub file of the key' })
    .option('origin', {
      ...TEXT,
      demandOption: true,
      describe: 'name of the log, or of the witness',
    })
    .option('witness', { type: 'boolean', default: false, describe: 'it is the key of a witness' })
    .example('$0 log key --key log.pub --origin example.org/fleet > policy.txt', '')
    .example('$0 log key --key w1.pub --origin plant-1.example.org --witness >> policy.txt', '');

function printKey(argv: Awaited<ReturnType<typeof withKey>['argv']>): void {
  const publicKey = parsePublicKey(readInput(argv.key, `public key ${argv.key}`), argv.key);
  const { origin: name } = argv;
  const vkey = formatVerifier(verifierOf(argv.witness ? 'witness' : 'log', name, publicKey));
  const line = argv.witness ? `witness ${name} ${vkey}` : `log ${vkey}`;
  makeOutput(argv.json).result({ name, vkey, line }, [line]);
}
