/**
 * `drover trust rotate`, `sign` and `publish`: gives other keys to a fleet that is already in use.
 */

import { countOf } from '../../shared/base/printable.ts';
import type { Argv } from 'yargs';
import { instantText } from '../../shared/base/durations.ts';
import { coSignEnvelope, PAYLOAD_TYPES, signEnvelope } from '../../shared/formats/envelope.ts';
import { toProblem } from '../../shared/base/errors.ts';
import { trustProblem } from '../../shared/rules/trust-life.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { makeOutput, readInput } from '../../shared/io/cli.ts';
import { assertNewFile, writeNewFile } from '../../shared/io/new-file.ts';
import { readTrustFile, readUpdateFile, updatePath } from '../../shared/io/trust-file.ts';
import { KEY_ENVIRONMENT } from '../../shared/io/key-file.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { parseTrust, type RoleName, type TrustRoot } from '../../shared/formats/trust.ts';
import {
  assertRootKeys,
  keptKeyLine,
  keptKeys,
  missingSignatures,
  planNextTrust,
  trustLifeMs,
} from '../trust/plan-trust.ts';
import { parsePublicKey } from '../../shared/formats/public-key.ts';
import { publishTrustUpdate, type Rotated } from '../trust/rotate.ts';
import { writtenLines } from '../rollout/announcement-report.ts';
import { LIST, TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import {
  brokerOptions,
  commandLog,
  namesKeys,
  openSigners,
  thresholdOption,
  warn,
  withAnnouncementOut,
  withBroker,
  withKeys,
  withTrust,
} from './options.ts';

const withFormer = <T>(argv: Argv<T>) => withTrust(argv, 'trust.json that is in force');

/** Both sign an update: the root before it, and its own. */
const rootKeysOf = (current: TrustRoot, next: TrustRoot): PublicKeyHex[] => [
  ...new Set([...current.roles.root.keys, ...next.roles.root.keys]),
];

export function withRotateOptions(argv: Argv) {
  return withKeys(withFormer(withDryRun(withJson(argv))))
    .option('release', { ...LIST, describe: 'from now on may say WHAT runs; default: as before' })
    .option('rollout', { ...LIST, describe: 'may say WHO and WHEN; default: as before' })
    .option('root', { ...LIST, describe: 'may replace keys; default: as before' })
    .option('release-threshold', thresholdOption('release'))
    .option('rollout-threshold', thresholdOption('rollout'))
    .option('root-threshold', thresholdOption('root'))
    .option('expires', { ...TEXT, default: '365d', describe: 'life of the new trust.json' })
    .option('out', {
      ...TEXT,
      demandOption: true,
      describe: 'new trust.json; beside it OUT.update',
    })
    .example(
      '$0 trust rotate --trust trust.json --rollout keys/new.pub --key keys/root.key --out trust-2.json',
      'another rollout key; trust publish brings it to the fleet',
    );
}

export async function runRotate(
  argv: Awaited<ReturnType<typeof withRotateOptions>['argv']>,
): Promise<void> {
  const current = readTrustFile(argv.trust);
  const files = {
    trust: { path: argv.out, what: 'trust', option: '--out' },
    update: { path: updatePath(argv.out), what: 'update of trust', option: '--out' },
  };
  for (const file of Object.values(files)) assertNewFile(file);
  const change = (name: RoleName, threshold: number | undefined) => {
    const keys = argv[name]?.map((path) =>
      parsePublicKey(readInput(path, `public key ${path}`), path),
    );
    return { ...(keys && { keys }), ...(threshold !== undefined && { threshold }) };
  };
  const { document, bytes } = planNextTrust({
    current,
    expiresAtMs: Date.now() + trustLifeMs(argv.expires),
    issuedAtMs: Date.now(),
    changes: {
      root: change('root', argv.rootThreshold),
      release: change('release', argv.releaseThreshold),
      rollout: change('rollout', argv.rolloutThreshold),
    },
  });
  const next = parseTrust(bytes);
  const signers = await openSigners(argv, rootKeysOf(current, next));
  assertRootKeys(signers, { current, next });
  const update = await signEnvelope(PAYLOAD_TYPES.trust, bytes, signers);
  if (!argv.dryRun) {
    await writeNewFile(files.trust, bytes);
    await writeNewFile(files.update, update);
  }
  const missing = missingSignatures(update, { current, next });
  const kept = keptKeys(current, next);
  for (const one of kept) warn(keptKeyLine(one));
  const written = { dry_run: argv.dryRun, out: argv.out, update: updatePath(argv.out) };
  makeOutput(argv.json).result({ ...written, trust: document, missing, kept }, [
    `${argv.dryRun ? 'would write' : 'wrote'} ${argv.out}, version ${document.version} for fleet ${document.fleet}, good until ${document.expires}`,
    ...whatIsMissing(updatePath(argv.out), missing),
  ]);
}

export function withSignOptions(argv: Argv) {
  return withKeys(withFormer(withDryRun(withJson(argv)))).positional('update', {
    ...{ type: 'string', demandOption: true },
  });
}

export async function runSign(
  argv: Awaited<ReturnType<typeof withSignOptions>['argv']>,
): Promise<void> {
  const current = readTrustFile(argv.trust);
  const { bytes: before, next } = readUpdateFile(argv.update);
  const signers = await openSigners(argv, rootKeysOf(current, next));
  assertRootKeys(signers, { current, next });
  const update = await coSignEnvelope(before, PAYLOAD_TYPES.trust, signers);
  if (!argv.dryRun) await writeFileAtomic(argv.update, update);
  const missing = missingSignatures(update, { current, next });
  makeOutput(argv.json).result({ dry_run: argv.dryRun, update: argv.update, missing }, [
    `${argv.dryRun ? 'would sign' : 'signed'} version ${next.version}`,
    ...whatIsMissing(argv.update, missing),
  ]);
}

function whatIsMissing(path: string, missing: { current: number; next: number }): string[] {
  const { current, next } = missing;
  if (current === 0 && next === 0)
    return [`next: drover trust publish ${path} --trust … --broker …`];
  const lines = [];
  if (current > 0) lines.push(`lacks ${countOf(current, 'signature')} of the root before it`);
  if (next > 0) lines.push(`lacks ${countOf(next, 'signature')} of its own root keys`);
  return [...lines, `next: drover trust sign ${path} --trust … --key …`];
}

export function withPublishOptions(argv: Argv) {
  return withAnnouncementOut(withKeys(withBroker(withFormer(withDryRun(withJson(argv))))))
    .positional('update', { type: 'string', demandOption: true })
    .option('fresh', {
      type: 'boolean',
      default: false,
      describe: 'end all rollouts: after a theft, since the thief may have announced them',
    })
    .example(
      '$0 trust publish trust-2.json.update --trust trust.json --broker mqtt://host --key keys/new.key',
      'a rollout key of the new root signs again what is announced',
    );
}

export async function runPublish(
  argv: Awaited<ReturnType<typeof withPublishOptions>['argv']>,
): Promise<void> {
  const { bytes: update, next: asked } = readUpdateFile(argv.update);
  const hasKeys = namesKeys(argv) || process.env[KEY_ENVIRONMENT] !== undefined;
  const { announcementOut } = argv;
  const known = asked.roles.rollout.keys;
  const signers = hasKeys ? await openSigners(argv, known) : [];
  const { next, wasThere, announcement, ended } = await publishTrustUpdate({
    ...{ update, signers, announcementOut, trust: readTrustFile(argv.trust) },
    broker: await brokerOptions(argv),
    fresh: argv.fresh,
    dryRun: argv.dryRun,
    log: commandLog(),
  });
  const isWritten = announcement === 'signed again' && !argv.dryRun;
  const problem = trustProblem(next, Date.now());
  if (problem) warn(`${problem.message} (${problem.code}); hint: ${problem.hint}`);
  const result = {
    ...{ dry_run: argv.dryRun, version: next.version, announcement, ended },
    published_before: wasThere,
    expires_at: instantText(next.expires),
    problem: problem && toProblem(problem),
  };
  const again = wasThere ? ': it was published before' : '';
  makeOutput(argv.json).result(result, [
    `${argv.dryRun ? 'would publish' : 'published'} trust root ${next.version}${again}`,
    ...aboutAnnouncement(announcement, argv),
    ...(isWritten ? writtenLines({ trust: next, signers, announcementOut }) : []),
    ...ended.map((id) => endLine(id, argv)),
  ]);
}

interface HowPublished {
  readonly fresh: boolean;
  readonly dryRun: boolean;
  readonly announcementOut?: string | undefined;
}

function endLine(id: string, { fresh, dryRun, announcementOut }: HowPublished): string {
  const isOut = announcementOut === undefined;
  const ends = dryRun ? 'would end' : isOut ? 'ended' : 'would end when the file is announced';
  return fresh
    ? `rollout ${id} ${ends}`
    : `rollout ${id} ${ends}: its bundle has no release signature that still counts`;
}

function aboutAnnouncement(
  announcement: Rotated['announcement'],
  { fresh, dryRun, announcementOut }: HowPublished,
): string[] {
  switch (announcement) {
    case 'none':
      return [];
    case 'holds':
      return ['what is announced holds under it as well'];
    case 'signed again':
      if (dryRun) return [`would sign ${fresh ? 'an empty list' : 'again what is announced'}`];
      if (announcementOut !== undefined) return ['signed, not announced yet'];
      return [fresh ? 'an empty list is announced' : 'what is announced is signed again'];
    case 'not taken any more':
      return [
        'robots take no more part in what is announced: its keys are not in the new root',
        'next: the same command with --key and a rollout key of the new root',
      ];
  }
}
