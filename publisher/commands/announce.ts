/** `drover announce`: publishes an announcement that several people have signed in a file. */

import type { Argv } from 'yargs';
import { makeOutput } from '../../shared/io/cli.ts';
import { withDryRun, withJson } from '../../shared/io/cli-options.ts';
import { announceFile } from '../rollout/announce.ts';
import type { ReadAnnouncement } from '../rollout/pending-announcement.ts';
import { announcementFields, announcementLines } from '../rollout/announcement-report.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { brokerOptions, commandLog, withBroker, withTrust } from './options.ts';

const withOptions = (argv: Argv) =>
  withTrust(withBroker(withDryRun(withJson(argv))))
    .positional('file', { type: 'string', demandOption: true })
    .example('$0 announce 1.4.2.announcement --broker mqtt://host --trust trust.json', '');

export function announceCommand(yargs: Argv): Argv {
  return yargs.command(
    'announce <file>',
    'announce what several people signed (publish --announcement-out)',
    withOptions,
    runAnnounce,
  );
}

async function runAnnounce(argv: Awaited<ReturnType<typeof withOptions>['argv']>): Promise<void> {
  const { file, dryRun } = argv;
  const found = await announceFile({
    file,
    trust: readTrust(argv.trust),
    broker: await brokerOptions(argv),
    dryRun,
    log: commandLog(),
  });
  makeOutput(argv.json).result(
    { dry_run: dryRun, ...announcementFields(found), is_new: found.isNew },
    [lead(found, dryRun), ...announcementLines(found)],
  );
}

function lead(found: ReadAnnouncement & { isNew: boolean }, dryRun: boolean): string {
  const { seq } = found.announcement;
  if (!found.isNew) return `seq ${seq} is announced already`;
  return `${dryRun ? 'would announce' : 'announced'} seq ${seq}`;
}
