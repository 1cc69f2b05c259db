/**
 * `drover inspect`: shows what a bundle says about itself and what is really in it. It verifies no
 * signature.
 */

import { countOf } from '../../shared/base/printable.ts';
import type { Argv } from 'yargs';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { chunkCount } from '../../shared/transfer/chunk-index.ts';
import { toProblem } from '../../shared/base/errors.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { checkDelta, DELTA_WORDS, presentDeltas } from '../bundle/deltas/delta-parts.ts';
import { deltaResultOf } from '../../shared/formats/manifest.ts';
import { attachmentText, checkAttachment } from '../bundle/attachments.ts';
import { logFields, logProofText, readLogProof } from '../bundle/log-proof-part.ts';
import { chunkPayload } from '../bundle/payload.ts';
import { countPayload } from '../bundle/payload-census.ts';
import { requiresText } from '../../shared/rules/requires.ts';
import { withJson } from '../../shared/io/cli-options.ts';

export function inspectCommand(yargs: Argv): Argv {
  return yargs.command(
    'inspect <bundle>',
    'show what a bundle holds, signed or not',
    (argv) =>
      withJson(argv)
        .positional('bundle', { type: 'string', demandOption: true })
        .example('$0 inspect bundles/1.4.2', '')
        .example('$0 inspect app-1.4.2.drover --json', ''),
    async (argv) => {
      const bundle = await openBundle(argv.bundle, { unsigned: true });
      try {
        const facts = await inspect(bundle);
        makeOutput(argv.json).result(facts, lines(facts));
      } finally {
        await bundle.close();
      }
    },
  );
}

const NO_CENSUS = { entries: null, files: null, bytes: null, attributed: [] };

type Facts = Awaited<ReturnType<typeof inspect>>;

async function inspect(bundle: Bundle) {
  const { manifest } = bundle;
  const chunkBytes = LIMITS.chunkBytesDefault;
  const payload = await chunkPayload(bundle, chunkBytes);
  const archive = await countPayload(bundle).then(
    (census) => ({ ...census, problem: null }),
    (error: unknown) => ({ ...NO_CENSUS, problem: toProblem(error) }),
  );
  return {
    name: manifest.name,
    version: manifest.version,
    arch: manifest.target_arch,
    min_current_version: manifest.min_current_version,
    rollback_version: manifest.rollback_version,
    downgrade_from: manifest.downgrade_from ?? null,
    bounds: manifest.bounds ?? null,
    apply_strategy: manifest.apply_strategy,
    compatible: manifest.compatible,
    requires: manifest.requires,
    image: manifest.image ?? null,
    payload: {
      size: payload.bytes,
      sha256: payload.sha256,
      declared_sha256: manifest.payload_sha256,
      matches: payload.sha256 === manifest.payload_sha256,
      tar_size: manifest.payload_tar_size ?? null,
      tar_sha256: manifest.payload_tar_sha256 ?? null,
    },
    archive,
    chunks: {
      size: chunkBytes,
      count: chunkCount(payload.bytes, chunkBytes),
      different: payload.pieces.length - 1,
      index: payload.indexHash,
    },
    signatures: bundle.signatures.length,
    deltas: await inspectDeltas(bundle),
    attachments: await inspectAttachments(bundle),
    log: await inspectLogProof(bundle),
  };
}

async function inspectDeltas(bundle: Bundle) {
  const { deltas } = bundle.manifest;
  const resultBytes = deltaResultOf(bundle.manifest)?.bytes;
  const present = await presentDeltas(bundle);
  const facts = deltas.map(async (delta) => {
    const { from_version, from_tar_sha256: from_sha256, coding, size } = delta;
    const part = present.find((one) => one.delta === delta);
    const base = { from_version, from_sha256, coding, size, present: part !== undefined };
    const nothing = { segments: null, memory: null, problem: null };
    if (!part) return { ...base, ...nothing };
    return await checkDelta(delta, part.path, resultBytes).then(
      ({ segments, memoryBytes: memory }) => ({ ...base, segments, memory, problem: null }),
      (error: unknown) => ({ ...base, ...nothing, problem: toProblem(error) }),
    );
  });
  return await Promise.all(facts);
}

/** The attachments, each with its description or its problem. */
async function inspectAttachments({ folder, manifest }: Bundle) {
  const facts = manifest.attachments.map(async (attachment) => {
    const state = await checkAttachment(folder, attachment).then(
      (part) => ({ present: part && part.bytes !== null, problem: null }),
      (error: unknown) => ({ present: true, problem: toProblem(error) }),
    );
    return { ...attachment, ...state };
  });
  return await Promise.all(facts);
}

/** Null when it travels without a proof of logging. */
async function inspectLogProof(bundle: Bundle) {
  return await readLogProof(bundle).then(
    (part) => part && { ...logFields(part.proof), shown: logProofText(part.proof), problem: null },
    (error: unknown) => ({ shown: null, problem: toProblem(error) }),
  );
}

function logLine({ shown, problem }: NonNullable<Facts['log']>): string {
  if (problem) return `log         refused: ${problem.message} (${problem.code})`;
  return `log         ${shown}`;
}

function attachmentLine(attachment: Facts['attachments'][number]): string {
  const { kind, present, problem } = attachment;
  const head = kind.padEnd(10);
  if (problem) return `${head}  refused: ${problem.message} (${problem.code})`;
  const state =
    present === null ? ', of a kind that this drover does not know' : ', not in this bundle';
  return `${head}  ${attachmentText(attachment)}${present === true ? '' : state}`;
}

function deltaLine({ coding, size, ...delta }: Facts['deltas'][number], isImage: boolean): string {
  const kind = DELTA_WORDS[coding];
  const base = `${isImage ? 'the image of ' : ''}${delta.from_version}`;
  const named = isImage ? ` (sha256 ${shortHash(delta.from_sha256)})` : '';
  const head = `delta       from ${base}${named}, ${formatBytes(size)}, ${kind}`;
  if (delta.problem) return `${head}, refused: ${delta.problem.message} (${delta.problem.code})`;
  if (!delta.present) return `${head}, not in this bundle`;
  return `${head}, in ${countOf(delta.segments ?? 0, 'segment')} of up to ${formatBytes(delta.memory ?? 0)}`;
}

function lines(facts: Facts): string[] {
  const { payload, archive, chunks } = facts;
  const hash = payload.matches
    ? `sha256 ${shortHash(payload.sha256)}, as the manifest says`
    : `sha256 ${shortHash(payload.sha256)}, but the manifest says ${shortHash(payload.declared_sha256)}`;
  return [
    `${facts.name} ${facts.version} for ${facts.arch}`,
    `from        ${facts.min_current_version} or later, falls back to ${facts.rollback_version}`,
    `strategy    ${facts.apply_strategy}`,
    ...(facts.compatible.length > 0 ? [`machines    ${facts.compatible.join(', ')}`] : []),
    ...(Object.keys(facts.requires).length > 0
      ? [`requires    ${requiresText(facts.requires)}`]
      : []),
    ...(facts.image
      ? [`image       ${formatBytes(facts.image.size)}, sha256 ${shortHash(facts.image.sha256)}`]
      : []),
    ...(facts.downgrade_from ? [`downgrade   from versions up to ${facts.downgrade_from}`] : []),
    ...(facts.bounds ? [`bounds      of an announcement: ${JSON.stringify(facts.bounds)}`] : []),
    `payload     ${formatBytes(payload.size)}, ${hash}`,
    archive.problem
      ? `archive     refused: ${archive.problem.message} (${archive.problem.code})`
      : `archive     ${countOf(archive.entries, 'entry', 'entries')}, ${countOf(archive.files, 'file')}, ${formatBytes(archive.bytes ?? 0)}`,
    ...(archive.attributed.length > 0
      ? [
          `attributes  of ${countOf(archive.attributed.length, 'entry', 'entries')}: robots do not restore them`,
        ]
      : []),
    `chunks      ${chunks.count} of ${formatBytes(chunks.size)}, index ${shortHash(chunks.index)}`,
    `signatures  ${facts.signatures === 0 ? 'none: not signed yet' : facts.signatures}`,
    ...facts.deltas.map((one) => deltaLine(one, facts.image !== null)),
    ...facts.attachments.map(attachmentLine),
    ...(facts.log ? [logLine(facts.log)] : []),
  ];
}
