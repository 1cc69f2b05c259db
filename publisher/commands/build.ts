/** `drover build`: the command line of the stage in ../bundle/build.ts. */

import type { Argv } from 'yargs';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { makeOutput, type Output } from '../../shared/io/cli.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { archNote } from '../../shared/rules/rollout-rules.ts';
import { countOf, printable, shellWord } from '../../shared/base/printable.ts';
import { ATOMIC_SWAP } from '../../shared/formats/apply-strategy.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { ATTACHMENT_KINDS } from '../../shared/formats/attachments.ts';
import { attachmentText, type AttachmentSource } from '../bundle/attachments.ts';
import { buildBundle, type BuiltBundle } from '../bundle/build.ts';
import { deltaLine } from '../bundle/deltas/delta-parts.ts';
import { strategyFor, type BundleLabels } from '../bundle/plan-bundle.ts';
import type { TreePlan } from '../bundle/plan-tree.ts';
import { requiresText } from '../../shared/rules/requires.ts';
import type { Requires } from '../../shared/formats/manifest.ts';
import { parseDurationMs } from '../../shared/base/durations.ts';
import { parseGateBounds } from '../rollout/gate-words.ts';
import { LIST, TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';

export function buildCommand(yargs: Argv): Argv {
  return yargs.command(
    'build [folder]',
    "pack an application's folder, or a system image, into a bundle",
    withOptions,
    runBuild,
  );
}

function withOptions(argv: Argv) {
  return withModes(withDryRun(withJson(argv)))
    .positional('folder', { type: 'string', describe: 'of the application' })
    .option('image', {
      ...TEXT,
      describe: 'file with the image of a system slot, instead of a folder (docs/system-images.md)',
    })
    .option('version', { ...TEXT, demandOption: true, describe: 'semantic version' })
    .option('arch', { ...TEXT, demandOption: true, describe: 'aarch64, x86_64, … or any' })
    .option('min-current', { ...TEXT, default: '0.0.0', describe: 'lowest version to update' })
    .option('rollback', { ...TEXT, describe: 'version to fall back to; default: --min-current' })
    .option('downgrade-from', {
      ...TEXT,
      describe: 'robots that run or ran versions up to this may come down to it',
    })
    .option('min-health-timeout', {
      ...TEXT,
      describe: 'shortest --health-timeout that a publish may give it',
    })
    .option('min-gate', {
      ...LIST,
      describe: 'NAME=VALUE that the gates of a publish may not be laxer than; may be given again',
    })
    .option('name', {
      ...TEXT,
      describe: 'component; default: app (of a system image as a rule: system)',
    })
    .option('module', {
      ...TEXT,
      describe:
        'module of the robot that applies it (docs/modules.md); default: active is led to it',
    })
    .option('compatible', {
      ...LIST,
      describe: 'machine that it is for, as --compatible of the robot names it; may be given again',
    })
    .option('requires', {
      ...LIST,
      describe:
        'COMPONENT=RANGE of versions of another component, such as system=">=2.1 <3"; may be given again',
    })
    .option('delta-from', {
      ...LIST,
      describe:
        'older bundle, or VERSION=TAR (with --image VERSION=IMAGE), to make a delta from; may be given again',
    })
    .option('sbom', {
      ...TEXT,
      describe: 'bill of materials that goes with it: CycloneDX or SPDX JSON',
    })
    .option('provenance', { ...TEXT, describe: 'in-toto statement that goes with it, in JSON' })
    .option('zstd', { ...TEXT, default: 'zstd', describe: 'program that makes deltas' })
    .option('out', { ...TEXT, demandOption: true, describe: 'bundle folder to make' })
    .example('$0 build ./app --version 1.4.2 --arch aarch64 --out bundles/1.4.2', '')
    .example('$0 build ./app --version 1.4.2 --arch any --min-current 1.2.0 --out b', '')
    .example('$0 build --image root.ext4 --name system --version 2.0.0 --arch aarch64 --out b', '')
    .example('$0 build ./app … --delta-from bundles/1.4.1 --delta-from bundles/1.4.0', '')
    .example('$0 build --image root.ext4 … --delta-from bundles/system-1.9.0', '');
}

const withModes = <T>(argv: Argv<T>) =>
  argv
    .option('plain-modes', {
      type: 'boolean',
      default: false,
      describe: 'pack 0755 and 0644 instead of the permission bits that the files have',
    })
    .option('drop-xattrs', {
      type: 'boolean',
      default: false,
      describe: 'pack without file capabilities, ACLs and other extended attributes',
    });

/** Component of a bundle whose build names none. */
const DEFAULT_COMPONENT = 'app';

type BuildArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

/** @throws DroverError USAGE */
function sourceOf({ folder, image, module, dropXattrs, plainModes }: BuildArgs): string {
  const no = (why: string): DroverError => new DroverError('USAGE', `build: ${why}`);
  if (image === undefined) {
    if (folder !== undefined) return folder;
    throw no('name the folder of the application, or --image FILE');
  }
  if (folder !== undefined) throw no(`got the folder ${folder} and --image, want one of them`);
  if (module !== undefined) throw no('--image goes into a system slot, and --module applies trees');
  if (dropXattrs || plainModes) throw no('--drop-xattrs and --plain-modes are for folders');
  return image;
}

async function runBuild(argv: BuildArgs): Promise<void> {
  const source = sourceOf(argv);
  const labels: BundleLabels = {
    name: argv.name ?? DEFAULT_COMPONENT,
    version: argv.version,
    arch: argv.arch,
    minCurrent: argv.minCurrent,
    rollback: argv.rollback ?? argv.minCurrent,
    downgradeFrom: argv.downgradeFrom,
    bounds: boundsOf(argv),
    module: argv.module,
    image: argv.image === undefined ? undefined : 'unread',
    compatible: argv.compatible ?? [],
    requires: requiresOf(argv),
  };
  const { out, dryRun, deltaFrom: deltasFrom = [], zstd } = argv;
  const output = makeOutput(argv.json);
  const { plainModes, dropXattrs } = argv;
  const modes = { plainModes, dropXattrs };
  const attachments = attachmentsOf(argv);
  const job = { source, out, labels, deltasFrom, attachments, zstd, ...modes, dryRun, output };
  report(output, labels, await buildBundle(job), namedNote(argv));
}

/** @throws DroverError USAGE for a text without a range, or a component that is given twice */
function requiresOf({ requires = [] }: BuildArgs): Requires {
  const all = requires.map((text): [string, string] => {
    const at = text.indexOf('=');
    if (at > 0) return [text.slice(0, at), text.slice(at + 1).trim()];
    const want = 'want COMPONENT=RANGE, such as system=">=2.1 <3"';
    throw new DroverError('USAGE', `build: --requires: got ${text}, ${want}`);
  });
  const twice = all.find(([name], nth) => all.findIndex(([one]) => one === name) !== nth);
  if (!twice) return Object.fromEntries(all);
  throw new DroverError('USAGE', `build: --requires: ${twice[0]} is given twice: write one range`);
}

function attachmentsOf(argv: BuildArgs): AttachmentSource[] {
  return ATTACHMENT_KINDS.flatMap((kind) => {
    const path = argv[kind];
    return path === undefined ? [] : [{ kind, path }];
  });
}

/** Bounds that are signed with the manifest; undefined when none was given. */
function boundsOf(argv: BuildArgs): BundleLabels['bounds'] {
  const { minHealthTimeout, minGate = [] } = argv;
  const gates = parseGateBounds(minGate);
  const seconds = minHealthTimeout === undefined ? null : parseDurationMs(minHealthTimeout) / 1000;
  if (seconds === null && minGate.length === 0) return undefined;
  return {
    ...(seconds !== null && { health_timeout_min_s: Math.ceil(seconds) }),
    ...(minGate.length > 0 && { gates }),
  };
}

/** Facts about the tree that may surprise its author. */
function notes({ staleByteCode: [first, ...more] }: TreePlan, arch: string): string[] {
  const about = archNote(arch);
  const named = about === null ? [] : [`note: ${about}`];
  if (first === undefined) return named;
  const which = `"${printable(first)}"${more.length > 0 ? ` and ${more.length} more` : ''}`;
  return [...named, `note: byte code that Python will not use, compile it again: ${which}`];
}

/** A robot with several components takes images for its component `system`. */
function namedNote({ image, name, version }: BuildArgs): string[] {
  if (image === undefined || name !== undefined) return [];
  return [
    `note: this image is for component ${DEFAULT_COMPONENT}, since no --name was given: most robots take images for component system; build it for that one: drover build --image ${shellWord(image)} --name system --version ${version} …`,
  ];
}

function report(
  output: Output,
  labels: BundleLabels,
  built: BuiltBundle,
  more: readonly string[],
): void {
  const { out, plan, payload, image, deltas, attachments } = built;
  const { name, version, arch, compatible = [], requires = {} } = labels;
  const strategy = strategyFor(labels);
  const head = `${name} ${version} for ${arch}: ${countOf(plan.files, 'file')}, ${formatBytes(plan.bytes)}`;
  output.result(
    {
      dry_run: payload === null,
      bundle: out,
      name,
      version,
      entries: plan.entries.length,
      files: plan.files,
      unpacked_size: plan.bytes,
      apply_strategy: strategy,
      compatible,
      requires,
      ...(image && { image }),
      stale_byte_code: plan.staleByteCode.length,
      attachments,
      ...(payload && {
        payload_sha256: payload.sha256,
        payload_size: payload.bytes,
        payload_tar_sha256: payload.tarSha256,
        payload_tar_size: payload.tarBytes,
        deltas: deltas.map(({ from_version, coding, size }) => ({ from_version, coding, size })),
      }),
    },
    payload
      ? [
          `built ${head} packed into ${formatBytes(payload.bytes)}`,
          `payload ${shortHash(payload.sha256)}`,
          ...(strategy === ATOMIC_SWAP ? [] : [`applied by ${strategy}`]),
          ...(compatible.length === 0 ? [] : [`for machines: ${compatible.join(', ')}`]),
          ...(Object.keys(requires).length === 0 ? [] : [`requires ${requiresText(requires)}`]),
          ...notes(plan, arch),
          ...more,
          ...deltas.map((one) => deltaLine(one, payload.bytes)),
          ...attachments.map((one) => `${one.kind}: ${attachmentText(one)}`),
          `next: drover sign ${out} --key NAME.key`,
        ]
      : [`would build ${head}`, ...more],
  );
}
