/** `drover report export|import`: the command line of ../airgap/report.ts. */

import type { Argv } from 'yargs';
import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { keysOf } from '../../shared/formats/trust.ts';
import { isId } from '../../shared/base/ids.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { formatTable } from '../rollout/fleet-report.ts';
import type { SiteReport } from '../airgap/site-report.ts';
import { versionShown } from '../../shared/rules/running-version.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { exportReport, importReport } from '../airgap/report.ts';
import { TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import {
  brokerOptions,
  commandLog,
  openSigners,
  withBroker,
  withKeys,
  withOptionalBroker,
  withTrust,
} from './options.ts';

export function reportCommand(yargs: Argv): Argv {
  return yargs.command('report', 'carry what robots say over an air gap', (argv) =>
    argv
      .command('export', 'write what the robots of a site say', withExport, runExport)
      .command(
        'import <file>',
        'publish it on a broker that these robots cannot reach',
        withImport,
        runImport,
      )
      .demandCommand(1, 'name a command: report export or report import'),
  );
}

function withExport(argv: Argv) {
  return withKeys(withBroker(withTrust(withDryRun(withJson(argv)))))
    .option('site', { ...TEXT, demandOption: true, describe: 'what the site is called' })
    .option('out', { ...TEXT, demandOption: true, describe: 'file to write' })
    .example('$0 report export --broker mqtt://site --site hall-2 --trust t --key k --out r', '');
}

async function runExport(argv: Awaited<ReturnType<typeof withExport>['argv']>): Promise<void> {
  const site = siteOf(argv.site);
  const trust = readTrust(argv.trust);
  const robots = await exportReport({
    broker: await brokerOptions(argv),
    trust,
    site,
    signers: await openSigners(argv, keysOf(trust)),
    out: argv.out,
    dryRun: argv.dryRun,
    log: commandLog(),
  });
  const { dryRun, out } = argv;
  makeOutput(argv.json).result({ dry_run: dryRun, out, site, robots }, [
    `${dryRun ? 'would write' : 'wrote'} ${out}: ${countOf(robots, 'robot')} of ${site}`,
  ]);
}

function siteOf(text: string): string {
  if (isId(text)) return text;
  const want = 'want 1 to 64 of A-Z a-z 0-9 _ -';
  throw new DroverError('USAGE', `read --site: no name of a site (${want})`);
}

function withImport(argv: Argv) {
  return withTrust(withOptionalBroker(withDryRun(withJson(argv))))
    .positional('file', { type: 'string', demandOption: true })
    .example('$0 report import r --trust t', 'shows it')
    .example('$0 report import r --trust t --broker mqtt://cloud', 'with a user of role relay');
}

async function runImport(argv: Awaited<ReturnType<typeof withImport>['argv']>): Promise<void> {
  const { broker, file, dryRun } = argv;
  const { report, plan } = await importReport({
    file,
    trust: readTrust(argv.trust),
    broker: broker === undefined ? null : await brokerOptions({ ...argv, broker }),
    dryRun,
    log: commandLog(),
  });
  const at = instantText(report.atMs);
  const counts = plan && {
    newer: plan.newer.length,
    same: plan.same.length,
    older: plan.older.length,
  };
  const robots = report.states.map(({ state }) => state);
  makeOutput(argv.json).result({ dry_run: dryRun, site: report.site, at, ...counts, robots }, [
    ...tableOf(report),
    `report of ${report.site} at ${at}: ${countOf(report.states.length, 'robot')}`,
    ...(counts
      ? [
          `${dryRun ? 'would take' : 'took'} ${counts.newer}; ${counts.same} known, ${counts.older} older`,
        ]
      : []),
  ]);
}

function tableOf({ states }: SiteReport): string[] {
  const rows = states.flatMap(({ state }) =>
    state.components.map((component) => [
      state.robot_id,
      component.name,
      versionShown(component) ?? '-',
      component.phase,
      printable(component.last_error?.code ?? ''),
      instantText(state.at),
    ]),
  );
  return formatTable([
    ['robot', 'component', 'version', 'phase', 'last error', 'said at'],
    ...rows,
  ]);
}
