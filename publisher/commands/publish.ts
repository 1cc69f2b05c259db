/** `drover publish`: the command line of the stage in ../rollout/publish.ts. */

import { countOf } from '../../shared/base/printable.ts';
import type { Argv } from 'yargs';
import type { ManifestDelta } from '../../shared/formats/manifest.ts';
import { deltaLine } from '../bundle/deltas/delta-parts.ts';
import { formatBytes, parseByteSize } from '../../shared/base/byte-sizes.ts';
import { parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { makeOutput, type Output, writeNote } from '../../shared/io/cli.ts';
import { keysOf } from '../../shared/formats/trust.ts';
import { leaderLines, stepFields, stepLines, wavesLine } from '../rollout/plan-report.ts';
import { forecastFields } from '../rollout/forecast-fields.ts';
import { forecastLines } from '../rollout/forecast.ts';
import { trustEndLines } from '../trust/plan-trust.ts';
import type { AnnounceWith } from '../rollout/pending-announcement.ts';
import { writtenLines } from '../rollout/announcement-report.ts';
import { rolloutIdFor } from '../rollout/plan-rollout.ts';
import { confirmTyped } from './confirm.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { journalPathOf } from '../transfer/journal.ts';
import { publishTogether } from './publish-together.ts';
import { publishBundle, type Published } from '../rollout/publish.ts';
import { readAudience, withSteps, withWho } from './audience-options.ts';
import { LIST, TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import {
  brokerOptions,
  commandLog,
  openSigners,
  warn,
  withAnnouncementOut,
  withBroker,
  withKeys,
  withTrust,
} from './options.ts';

const FLAG = { type: 'boolean', default: false } as const;

export function publishCommand(yargs: Argv): Argv {
  return yargs.command(
    'publish <bundles..>',
    'upload a signed bundle and announce it to the fleet; several with --together',
    withOptions,
    runPublish,
  );
}

function withOptions(argv: Argv) {
  return withSteps(
    withWho(withAnnouncementOut(withKeys(withBroker(withTrust(withDryRun(withJson(argv))))))),
  )
    .positional('bundles', { type: 'string', array: true, demandOption: true })
    .option('chunk-size', { ...TEXT, default: '256k', describe: '16k to 512k' })
    .option('expires', { ...TEXT, default: '30d', describe: 'life of the announcement' })
    .option('together', {
      ...FLAG,
      describe: 'several bundles as one set: robots take all or none, and switch in this order',
    })
    .option('id', {
      ...TEXT,
      describe: 'rollout id; default: NAME-VERSION-xxxx, of a set: set-xxxx',
    })
    .option('supersede', { ...LIST, describe: 'end this rollout; may be given again' })
    .option('alongside', { ...FLAG, describe: 'stand beside rollouts for the same robots' })
    .option('anyway', {
      ...FLAG,
      describe: 'announce although no robot would take it as things stand',
    })
    .option('replace-invalid', { ...FLAG, describe: 'start over when fleet/updates is not ours' })
    .option('upload-only', { ...FLAG, describe: 'store the chunks, announce nothing' })
    .option('yes', { ...FLAG, describe: 'do not ask before an emergency' })
    .example('$0 publish bundles/1.4.2 --broker mqtt://host --key keys/rollout.key --trust t', '')
    .example('$0 publish system app --together …', 'both or none on each robot')
    .example('$0 publish b --waves 100 … ', 'everybody at once, no controller needed')
    .example('$0 publish b --canaries r1,r2 --approve 0 …', 'two robots first, then a person')
    .example('$0 publish b --gate task_success_min=0.98 …', 'a bound of your own');
}

type PublishArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

async function runPublish(argv: PublishArgs): Promise<void> {
  const output = makeOutput(argv.json);
  const [path, ...more] = argv.bundles;
  if (path === undefined || (more.length > 0 && !argv.together)) {
    throw new DroverError('USAGE', 'publish: several bundles go out as one set: --together');
  }
  if (argv.uploadOnly && argv.announcementOut !== undefined) {
    throw new DroverError('USAGE', 'publish: --upload-only makes no announcement to write');
  }
  const trust = readTrust(argv.trust);
  for (const line of trustEndLines(trust, Date.now())) warn(line);
  const broker = await brokerOptions(argv);
  const audience = readAudience(argv, { fleet: trust.fleet, publisher: broker.username });
  const signers = argv.uploadOnly ? [] : await openSigners(argv, keysOf(trust));
  const signing = { trust, signers, announcementOut: argv.announcementOut };
  const common = {
    ...signing,
    broker,
    audience,
    chunkBytes: parseByteSize(argv.chunkSize),
    lifeMs: parseDurationMs(argv.expires),
    supersede: argv.supersede ?? [],
    alongside: argv.alongside,
    anyway: argv.anyway,
    replaceInvalid: argv.replaceInvalid,
    uploadOnly: argv.uploadOnly,
    dryRun: argv.dryRun,
    output,
    log: commandLog(),
  };
  if (argv.together) {
    const asked = { emergency: argv.emergency, isSure: argv.yes, isQuiet: argv.json };
    return await publishTogether(argv.bundles, common, { id: argv.id, ...asked });
  }
  const bundle = await openBundle(path);
  try {
    const { name, version } = bundle.manifest;
    const rolloutId = argv.id ?? rolloutIdFor(name, version, Math.random);
    const published = await publishBundle({
      ...common,
      bundle,
      journalPath: journalPathOf(path, bundle),
      rolloutId,
      onForecast: (found) => {
        if (argv.json || argv.dryRun) return; // the answer contains it
        for (const line of forecastLines(found)) writeNote(line);
      },
      ...(argv.emergency && {
        confirm: (ended: readonly string[]) => confirmEmergency(version, ended, argv.yes),
      }),
    });
    report(output, { bundle, rolloutId, published, dryRun: argv.dryRun, signing });
  } finally {
    await bundle.close();
  }
}

const emergency = (version: string, ended: readonly string[]): string =>
  `An emergency: every robot that it is for takes ${version} now, without waves or soak${ended.length > 0 ? `; it ends ${ended.join(', ')}` : ''}`;

async function confirmEmergency(
  version: string,
  ended: readonly string[],
  isSure: boolean,
): Promise<void> {
  const what = emergency(version, ended);
  await confirmTyped({ verb: 'publish', what, word: version, wordIs: 'version' }, isSure);
}

interface Report {
  readonly bundle: Bundle;
  readonly rolloutId: string;
  readonly published: Published;
  readonly dryRun: boolean;
  readonly signing: AnnounceWith;
}

function report(output: Output, facts: Report): void {
  const { bundle, published, dryRun } = facts;
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
      deltas: deltasOf(facts).map(pickDelta),
      sent_chunks: stored?.sent ?? 0,
      sent_bytes: stored?.sentBytes ?? 0,
      healed_chunks: stored?.healed ?? 0,
      ...(announced && {
        rollout: facts.rolloutId,
        seq: announced.fields.seq,
        expires_at: announced.fields.expires_at,
        ...stepFields(announced.rollout),
        kept: announced.plan.kept,
        superseded: announced.plan.superseded,
        announced_before: announced.plan.isAgain,
        beside: announced.plan.beside,
        stones: announced.plan.stones,
        robots: forecastFields(published.forecast),
      }),
    },
    [
      ...storedLines(facts),
      ...deltasOf(facts).map((one) => deltaLine(one, payload.bytes)),
      ...announcedLines(facts),
      ...(dryRun ? [] : writtenLines(facts.signing)),
    ],
  );
}

function storedLines({ published: { payload, deltas, stored } }: Report): string[] {
  const all = [payload, ...deltas];
  const [chunks, bytes] = [sum(all, 'chunks'), sum(all, 'bytes')];
  const among = deltas.length === 0 ? '' : `, ${countOf(deltas.length, 'delta')} among them`;
  const counted = countOf(chunks, 'chunk');
  const indexes = all.length === 1 ? 'its index' : `${all.length} indexes`;
  const size = `${counted}, ${formatBytes(bytes)}${among}, and ${indexes}`;
  if (stored === null) return [`would store ${size}`];
  const healed = stored.healed === 0 ? '' : `, ${stored.healed} of them again`;
  return [`stored ${size}: sent ${stored.sent} (${formatBytes(stored.sentBytes)})${healed}`];
}

/** The deltas that were cut into chunks, as the manifest describes them. */
const deltasOf = ({ bundle, published }: Report): ManifestDelta[] =>
  bundle.manifest.deltas.filter(({ sha256 }) =>
    published.deltas.some((one) => one.sha256 === sha256),
  );

const pickDelta = ({ from_version, coding, sha256, size }: ManifestDelta) => ({
  ...{ from_version, coding, sha256, size },
});

const sum = (all: Published['deltas'], of: 'chunks' | 'bytes'): number =>
  all.reduce((total, one) => total + one[of], 0);

function announcedLines(facts: Report): string[] {
  const { published, rolloutId, bundle, dryRun } = facts;
  const { announced, leader } = published;
  if (announced === null) return [];
  const { fields, plan, rollout } = announced;
  const lines = [
    `${announcedVerb(facts)} ${bundle.manifest.version} as rollout ${rolloutId}, seq ${fields.seq}: ${wavesLine(rollout)}`,
    ...stepLines(rollout),
  ];
  if (plan.isAgain) {
    const what = dryRun ? 'would take' : 'takes';
    lines.push(
      `${rolloutId} was announced before: this ${what} its place, and it goes on from there`,
    );
  }
  const isWaiting = !dryRun && facts.signing.announcementOut !== undefined;
  const [end, keep] = dryRun || isWaiting ? ['would end', 'would keep'] : ['ended', 'kept'];
  const when = isWaiting ? ' when it is announced' : '';
  if (plan.superseded.length > 0) lines.push(`${end} ${plan.superseded.join(', ')}${when}`);
  const told = [...plan.beside, ...plan.stones];
  const others = plan.kept.filter((id) => !told.includes(id));
  if (others.length > 0) lines.push(`${keep} ${others.join(', ')}`);
  if (plan.beside.length > 0) {
    const beside = plan.beside.join(', ');
    lines.push(`${keep} ${beside} for the robots that ${rolloutId} is not for`);
  }
  if (plan.stones.length > 0) {
    const stones = plan.stones.join(', ');
    lines.push(`${keep} ${stones} for robots that are too old for ${bundle.manifest.version}`);
  }
  if (dryRun) lines.push(...forecastLines(published.forecast));
  if (leader) lines.push(...leaderLines(leader, rollout));
  return lines;
}

function announcedVerb({ dryRun, signing }: Report): string {
  if (dryRun) return 'would announce';
  return signing.announcementOut === undefined ? 'announced' : 'signed, not announced yet:';
}
