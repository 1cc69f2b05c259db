/** `drover publish A B --together`: the command line of the stage in ../rollout/publish-set.ts. */

import { writeNote } from '../../shared/io/cli.ts';
import { countOf } from '../../shared/base/printable.ts';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { forecastFields } from '../rollout/forecast-fields.ts';
import { forecastLines } from '../rollout/forecast.ts';
import { leaderLines, stepFields, stepLines, wavesLine } from '../rollout/plan-report.ts';
import { writtenLines } from '../rollout/announcement-report.ts';
import {
  publishSet,
  type PublishedPart,
  type PublishedSet,
  type SetJob,
} from '../rollout/publish-set.ts';
import { memberIdFor, setIdFor } from '../rollout/set-rules.ts';
import { journalPathOf } from '../transfer/journal.ts';
import { confirmTyped } from './confirm.ts';

interface Asked {
  readonly id: string | undefined;
  readonly emergency: boolean;
  /** The person has said --yes. */
  readonly isSure: boolean;
  readonly isQuiet: boolean;
}

/** @param paths of the bundles, in the order in which a robot switches */
export async function publishTogether(
  paths: readonly string[],
  common: Omit<SetJob, 'setId' | 'parts'>,
  asked: Asked,
): Promise<void> {
  const setId = asked.id ?? setIdFor(Math.random);
  const bundles: Bundle[] = [];
  try {
    for (const path of paths) bundles.push(await openBundle(path));
    const parts = bundles.map((bundle, at) => ({
      bundle,
      journalPath: journalPathOf(paths[at] ?? '', bundle),
      rolloutId: memberIdFor(setId, bundle.manifest.name),
    }));
    const job: SetJob = {
      ...common,
      setId,
      parts,
      onForecasts: ({ bundle }, found) => {
        if (asked.isQuiet || common.dryRun) return; // the answer contains it
        for (const line of forecastLines(found)) {
          writeNote(`${bundle.manifest.name}: ${line}`);
        }
      },
      ...(asked.emergency && {
        confirm: (ended: readonly string[]) => confirmEmergency(setId, ended, asked.isSure),
      }),
    };
    report(await publishSet(job), job);
  } finally {
    for (const bundle of bundles) await bundle.close();
  }
}

async function confirmEmergency(
  setId: string,
  ended: readonly string[],
  isSure: boolean,
): Promise<void> {
  const ends = ended.length > 0 ? `; it ends ${ended.join(', ')}` : '';
  const what = `An emergency: every robot that set ${setId} is for takes all of it now, without waves or soak${ends}`;
  await confirmTyped({ verb: 'publish', what, word: setId, wordIs: 'set' }, isSure);
}

function report(published: PublishedSet, job: SetJob): void {
  const { set, parts, plan } = published;
  job.output.result(
    {
      dry_run: job.dryRun,
      set: set.id,
      bundles: parts.map(fieldsOfPart),
      ...(plan && {
        seq: plan.fields.seq,
        expires_at: plan.fields.expires_at,
        ...stepFields(rolloutOf(parts)),
        kept: plan.kept,
        superseded: plan.superseded,
        announced_before: plan.isAgain,
        beside: plan.beside,
        stones: plan.stones,
      }),
    },
    [
      ...parts.map(storedLine),
      ...announcedLines(published, job),
      ...(job.dryRun ? [] : writtenLines(job)),
    ],
  );
}

const rolloutOf = ([first]: readonly PublishedPart[]): PublishedPart['prepared']['rollout'] => {
  if (!first) throw new TypeError('a set has bundles');
  return first.prepared.rollout;
};

function fieldsOfPart({ part, prepared, stored, forecast }: PublishedPart): object {
  const { name, version } = part.bundle.manifest;
  return {
    name,
    version,
    rollout: part.rolloutId,
    chunks: prepared.payload.chunks,
    sent_chunks: stored?.sent ?? 0,
    sent_bytes: stored?.sentBytes ?? 0,
    healed_chunks: stored?.healed ?? 0,
    robots: forecastFields(forecast),
  };
}

function storedLine({ part, prepared, stored }: PublishedPart): string {
  const { name, version } = part.bundle.manifest;
  const bytes = [prepared.payload, ...prepared.deltas].reduce((sum, one) => sum + one.bytes, 0);
  const size = `${name} ${version} (${formatBytes(bytes)})`;
  if (stored === null) return `would store ${size}`;
  return `stored ${size}: sent ${countOf(stored.sent, 'chunk')} (${formatBytes(stored.sentBytes)})`;
}

function announcedLines({ set, parts, plan, leader }: PublishedSet, job: SetJob): string[] {
  if (plan === null) return [];
  const rollout = rolloutOf(parts);
  const isWaiting = !job.dryRun && job.announcementOut !== undefined;
  const verb = job.dryRun
    ? 'would announce'
    : isWaiting
      ? 'signed, not announced yet:'
      : 'announced';
  const when = isWaiting ? ' when it is announced' : '';
  const [end, keep] = job.dryRun || isWaiting ? ['would end', 'would keep'] : ['ended', 'kept'];
  const others = [...plan.kept, ...plan.beside, ...plan.stones];
  return [
    `${verb} set ${set.id}, seq ${plan.fields.seq}: ${wavesLine(rollout)}`,
    ...set.members.map(
      (one, at) => `  ${at + 1}. ${one.component} ${one.version} as rollout ${one.rollout}`,
    ),
    '  a robot takes all of them or none',
    ...(set.image === undefined ? [] : [`  one restart into ${set.image} switches all of them`]),
    ...stepLines(rollout),
    ...(plan.superseded.length > 0 ? [`${end} ${plan.superseded.join(', ')}${when}`] : []),
    ...(others.length > 0 ? [`${keep} ${[...new Set(others)].join(', ')}`] : []),
    ...(job.dryRun
      ? parts.flatMap(({ part, forecast }) =>
          forecastLines(forecast).map((line) => `${part.bundle.manifest.name}: ${line}`),
        )
      : []),
    ...(leader ? leaderLines(leader, rollout) : []),
  ];
}
