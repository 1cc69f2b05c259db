/**
 * `drover log witness`: a party that is independent of the publisher checks the log and cosigns it.
 */

import { existsSync } from 'node:fs';
import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { withFileLock } from '../../shared/io/file-lock.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput, readInput } from '../../shared/io/cli.ts';
import { readLogPolicy } from '../../shared/io/trust-file.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import { LogBoard } from '../log/log-board.ts';
import { witnessLog, type Witnessed } from '../log/witness.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { saveCheckpoint } from './log-verify.ts';
import { brokerOptions, commandLog, openSigner, withBroker, withKeys } from './options.ts';

export const withWitness = (argv: Argv) =>
  withKeys(withBroker(withJson(argv)))
    .option('policy', { ...TEXT, demandOption: true, describe: 'names the log that is witnessed' })
    .option('name', { ...TEXT, demandOption: true, describe: 'name of this witness and its key' })
    .option('state', {
      ...TEXT,
      demandOption: true,
      describe: 'file of what it saw last; made the first time, and never to be lost',
    })
    .example(
      '$0 log witness --broker mqtt://host --policy policy.txt --key w1.key --name plant-1.example.org --state seen.txt',
      'from cron, once an hour',
    );

type WitnessArgs = Awaited<ReturnType<typeof withWitness>['argv']>;

export async function runWitness(argv: WitnessArgs): Promise<void> {
  // Two runs at once could each sign another continuation of the head that both saw last.
  const { log, sinceSize, isNew } = await withFileLock(argv.state, () => witness(argv));
  const { origin, size } = log.checkpoint;
  const since =
    sinceSize === null
      ? 'seen here for the first time'
      : `which extends the ${sinceSize} seen before`;
  const did = isNew ? 'cosigned' : 'had cosigned already:';
  makeOutput(argv.json).result({ origin, size, since: sinceSize, new: isNew, name: argv.name }, [
    `${did} ${printable(origin)} of ${countOf(size, 'entry', 'entries')} as ${argv.name}, ${since}`,
  ]);
}

/**
 * A cosignature under a name or key that no policy names would be useless. A policy without any
 * witness does not restrict who may be one.
 * @throws DroverError USAGE
 */
function assertNamed({ witnesses }: LogPolicy, name: string, publicKey: PublicKeyHex): void {
  const all = [...witnesses.values()];
  const isNamed = all.some((one) => one.name === name && one.publicKey === publicKey);
  if (isNamed || all.length === 0) return;
  const names = all.map((one) => printable(one.name)).join(', ');
  throw new DroverError(
    'USAGE',
    `witness log: the policy has no witness ${printable(name)} with this key (it names ${names})`,
    { hint: 'give the --name and the --key of a witness line: drover log key --witness prints it' },
  );
}

async function witness(argv: WitnessArgs): Promise<Witnessed> {
  const policy = readLogPolicy(argv.policy);
  const { name, state: path } = argv;
  const signer = await openSigner(argv);
  assertNamed(policy, name, signer.publicKey);
  const state = existsSync(path) ? readInput(path, `state ${path}`) : null;
  const link = await BrokerLink.open(await brokerOptions(argv), commandLog());
  try {
    const board = await LogBoard.open(link);
    const keep = (bytes: Uint8Array) => saveCheckpoint(path, bytes);
    const job = { policy, name, signer, state, keep, nowMs: Date.now() };
    return await witnessLog(board, job).finally(() => board.close());
  } finally {
    await link.close();
  }
}
