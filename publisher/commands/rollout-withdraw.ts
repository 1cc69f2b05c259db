/**
 * `drover rollout withdraw`: removes an ended rollout from the announcement. It signs the list
 * again, so it needs keys and the broker, unlike the other verbs of `drover rollout`.
 */

import type { Argv } from 'yargs';
import { parseDurationMs } from '../../shared/base/durations.ts';
import { parseRolloutId } from '../../shared/base/ids.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { keysOf } from '../../shared/formats/trust.ts';
import { assertTerminal, confirmTyped } from './confirm.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { writtenLines } from '../rollout/announcement-report.ts';
import { withdrawRollout } from '../rollout/withdraw.ts';
import { TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import {
  brokerOptions,
  commandLog,
  openSigners,
  withAnnouncementOut,
  withBroker,
  withKeys,
  withTrust,
} from './options.ts';
import { withId } from './rollout-options.ts';

export const withWithdraw = (argv: Argv) =>
  withId(withAnnouncementOut(withKeys(withBroker(withTrust(withDryRun(withJson(argv)))))))
    .option('expires', { ...TEXT, default: '30d', describe: 'life of the announcement' })
    .option('yes', { type: 'boolean', default: false, describe: 'do not ask' })
    .example('$0 rollout withdraw app-1-4-2-k3f9 --broker mqtt://host --key k --trust t', '');

type WithdrawArgs = Awaited<ReturnType<typeof withWithdraw>['argv']>;

export async function runWithdraw(argv: WithdrawArgs): Promise<void> {
  const id = parseRolloutId(argv.id);
  const trust = readTrust(argv.trust);
  const verb = 'rollout withdraw';
  const what = `Rollout ${id} leaves the announcement: no robot joins it any more, and each stays as it is`;
  if (!argv.dryRun) assertTerminal({ verb, what }, argv.yes);
  const signers = await openSigners(argv, keysOf(trust));
  const signing = { trust, signers, announcementOut: argv.announcementOut };
  const { fields, kept } = await withdrawRollout({
    id,
    ...signing,
    broker: await brokerOptions(argv),
    lifeMs: parseDurationMs(argv.expires),
    dryRun: argv.dryRun,
    confirm: () => confirmTyped({ verb, what, word: id, wordIs: 'id' }, argv.yes),
    log: commandLog(),
  });
  const isWaiting = argv.announcementOut !== undefined;
  const did = isWaiting ? 'signed, not announced yet: withdraw' : 'withdrew';
  const would = argv.dryRun ? 'would withdraw' : did;
  const left = kept.length > 0 ? `kept ${kept.join(', ')}` : 'nothing is announced any more';
  makeOutput(argv.json).result(
    { dry_run: argv.dryRun, rollout: id, seq: fields.seq, expires_at: fields.expires_at, kept },
    [
      `${would} rollout ${id}, seq ${fields.seq}: ${left}`,
      ...(argv.dryRun ? [] : writtenLines(signing)),
    ],
  );
}
