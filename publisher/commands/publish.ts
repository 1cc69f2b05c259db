/** `drover publish`: the words of the stage in ../publish.ts. */

import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Argv } from 'yargs';
import { formatBytes, parseByteSize } from '../../shared/byte-sizes.ts';
import { formatDurationMs, parseDurationMs } from '../../shared/durations.ts';
import { DroverError } from '../../shared/errors.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { makeOutput, type Output } from '../../shared/io/cli.ts';
import { parseWaves, rolloutIdFor, type Audience } from '../core/plan-rollout.ts';
import { readSeeds } from '../../shared/io/key-file.ts';
import { readTrust } from '../io/trust-file.ts';
import { JOURNAL_FILE } from '../io/upload-journal.ts';
import { publishBundle, type Published } from '../publish.ts';
import {
  brokerOptions,
  commaList,
  commandLog,
  keySources,
  LIST,
  TEXT,
  warn,
  withBroker,
  withDryRun,
  withJson,
  withKeys,
} from './options.ts';

const FLAG = { type: 'boolean', default: false } as const;

export function publishVerb(yargs: Argv): Argv {
  return yargs.command(
    'publish <bundle>',
    'upload a signed bundle and announce it to the fleet',
    withOptions,
    runPublish,
  );
}

function withOptions(argv: Argv) {
  return withWho(withKeys(withBroker(withDryRun(withJson(argv)))))
    .positional('bundle', { type: 'string', demandOption: true })
    .option('trust', { ...TEXT, demandOption: true, describe: 'trust.json of the fleet' })
    .option('chunk-size', { ...TEXT, default: '256k', describe: '16k to 512k' })
    .option('expires', { ...TEXT, default: '30d', describe: 'life of the announcement' })
    .option('id', { ...TEXT, describe: 'rollout id; default: NAME-VERSION-xxxx' })
    .option('supersede', { ...LIST, describe: 'end this rollout; may be given again' })
    .option('alongside', { ...FLAG, describe: 'stand beside rollouts for the same robots' })
    .option('replace-invalid', { ...FLAG, describe: 'start over when fleet/updates is not ours' })
    .option('upload-only', { ...FLAG, describe: 'store the chunks, announce nothing' })
    .option('yes', { ...FLAG, describe: 'do not ask before an emergency' })
    .example('$0 publish bundles/1.4.2 --broker mqtt://host --key keys/rollout.key --trust t', '')
    .example('$0 publish b --waves 100 … ', 'everybody at once, no controller needed')
    .example('$0 publish b --robots r1,r2 --waves 100 …', 'two robots first');
}

function withWho<T>(argv: Argv<T>) {
  return argv
    .option('waves', { ...TEXT, default: '1,10,50,100', describe: 'percent of the fleet, rising' })
    .option('soak', { ...TEXT, default: '30m', describe: 'wait after each wave' })
    .option('emergency', { ...FLAG, describe: 'everybody now: no waves, soak or windows' })
    .option('tags', { ...TEXT, describe: 'only robots that have all of these: a,b' })
    .option('robots', { ...TEXT, describe: 'only these robots: r1,r2' })
    .option('health-timeout', { ...TEXT, describe: 'probation of a robot; default: its own' })
    .option('min-canaries', {
      type: 'number',
      requiresArg: true,
      default: 1,
      describe: 'robots a wave has at least',
    })
    .option('salt', { ...TEXT, describe: 'reshuffle who comes first; default: the fleet' });
}

type PublishArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

async function runPublish(argv: PublishArgs): Promise<void> {
  const output = makeOutput(argv.json);
  const trust = readTrust(argv.trust);
  const audience = readAudience(argv, trust.fleet);
  const seeds = argv.uploadOnly ? [] : await readSeeds(keySources(argv), warn);
  const bundle = await openBundle(argv.bundle);
  try {
    const { name, version } = bundle.manifest;
    if (argv.emergency && !argv.dryRun && !argv.yes) await confirmEmergency(version);
    const rolloutId = argv.id ?? rolloutIdFor(name, version, Math.random);
    const published = await publishBundle({
      bundle,
      journalPath: journalPathOf(argv.bundle, bundle),
      trust,
      seeds,
      broker: brokerOptions(argv),
      rolloutId,
      audience,
      chunkBytes: parseByteSize(argv.chunkSize),
      lifeMs: parseDurationMs(argv.expires),
      supersede: argv.supersede ?? [],
      alongside: argv.alongside,
      replaceInvalid: argv.replaceInvalid,
      uploadOnly: argv.uploadOnly,
      dryRun: argv.dryRun,
      output,
      log: commandLog(),
    });
    report(output, { bundle, rolloutId, audience, published, dryRun: argv.dryRun });
  } finally {
    await bundle.close();
  }
}

function readAudience(argv: PublishArgs, fleet: string): Audience {
  const { minCanaries } = argv;
  if (!Number.isInteger(minCanaries) || minCanaries < 1) {
    throw new DroverError(
      'USAGE',
      `read --min-canaries: want a whole number from 1 (got ${minCanaries})`,
    );
  }
  return {
    tags: commaList(argv.tags),
    robots: commaList(argv.robots),
    salt: argv.salt ?? fleet,
    waves: parseWaves(argv.waves),
    soakMs: parseDurationMs(argv.soak),
    emergency: argv.emergency,
    healthTimeoutMs: argv.healthTimeout === undefined ? null : parseDurationMs(argv.healthTimeout),
    minCanaries,
  };
}

/** Beside the parts in a folder, beside the file for a `.drover`. */
function journalPathOf(path: string, bundle: Bundle): string {
  if (bundle.folder === path) return join(path, JOURNAL_FILE);
  return join(dirname(path), `.${basename(path)}${JOURNAL_FILE}`);
}

async function confirmEmergency(version: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new DroverError('USAGE', 'publish: an emergency goes to every robot at once', {
      hint: 'add --yes if that is meant',
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(
      `Emergency: every robot takes ${version} now, without waves or soak.\nType the version to go on: `,
    );
    if (answer.trim() === version) return;
  } finally {
    terminal.close();
  }
  throw new DroverError('USAGE', `publish: not confirmed (want ${version} typed)`);
}

interface Report {
  readonly bundle: Bundle;
  readonly rolloutId: string;
  readonly audience: Audience;
  readonly published: Published;
  readonly dryRun: boolean;
}

function report(output: Output, facts: Report): void {
  const { bundle, audience, published, dryRun } = facts;
  const { payload, stored, announced } = published;
  const { name, version } = bundle.manifest;
  output.result(
    {
      dry_run: dryRun,
      name,
      version,
      chunks: payload.chunks,
      chunk_size: payload.chunkBytes,
      chunk_index: payload.indexHash,
      sent_chunks: stored?.sent ?? 0,
      sent_bytes: stored?.sentBytes ?? 0,
      healed_chunks: stored?.healed ?? 0,
      ...(announced && {
        rollout: facts.rolloutId,
        seq: announced.fields.seq,
        expires_at: announced.fields.expires_at,
        waves: audience.waves,
        emergency: audience.emergency,
        kept: announced.plan.kept,
        superseded: announced.plan.superseded,
      }),
    },
    [...storedLines(facts), ...announcedLines(facts)],
  );
}

function storedLines({ published: { payload, stored } }: Report): string[] {
  const size = `${payload.chunks} chunks, ${formatBytes(payload.bytes)}`;
  if (stored === null) return [`would store ${size}`];
  const healed = stored.healed === 0 ? '' : `, ${stored.healed} of them again`;
  return [`stored ${size}: sent ${stored.sent} (${formatBytes(stored.sentBytes)})${healed}`];
}

function announcedLines({ published, audience, rolloutId, bundle, dryRun }: Report): string[] {
  const { announced, controllerSeen } = published;
  if (announced === null) return [];
  const { fields, plan } = announced;
  const isWhole = audience.waves.length === 1 && audience.waves[0] === 100;
  const how = audience.emergency
    ? 'emergency, everybody now'
    : `waves ${audience.waves.join(', ')} percent, soak ${formatDurationMs(audience.soakMs)}`;
  const lines = [
    `${dryRun ? 'would announce' : 'announced'} ${bundle.manifest.version} as rollout ${rolloutId}, seq ${fields.seq}: ${how}`,
  ];
  if (plan.superseded.length > 0) lines.push(`ended ${plan.superseded.join(', ')}`);
  if (plan.kept.length > 0) lines.push(`kept ${plan.kept.join(', ')}`);
  if (!isWhole && !audience.emergency && !controllerSeen) {
    lines.push(
      'note: no rollout controller has been seen; without one, robots take part only in --waves 100 or an --emergency',
    );
  }
  return lines;
}
