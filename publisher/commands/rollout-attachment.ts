/**
 * `drover rollout sbom` and `provenance`: writes an attachment of a rollout, byte for byte, to
 * stdout or a file.
 */

import type { Argv } from 'yargs';
import type { AttachmentKind } from '../../shared/formats/attachments.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { assertNewFile, writeNewFile } from '../../shared/io/new-file.ts';
import { openApi, rolloutPath, withApi, withId, type ApiArgs } from './rollout-options.ts';

export const ATTACHMENT_VERBS: Readonly<Record<AttachmentKind, string>> = {
  sbom: 'print the bill of materials that was published with it',
  provenance: 'print how it was made, as it was published with it',
};

export const withAttachment = (argv: Argv, kind: AttachmentKind) =>
  withId(withApi(argv))
    .option('out', { ...TEXT, describe: 'write a new file instead' })
    .example(`$0 rollout ${kind} app-1-4-2-k3f9 > ${kind}.json`, '');

interface AttachmentArgs extends ApiArgs {
  readonly id: string;
  readonly out?: string | undefined;
}

/** @throws DroverError NOT_FOUND, FILE_EXISTS, FILE_UNREADABLE, and those of the API */
export async function runAttachment(kind: AttachmentKind, args: AttachmentArgs): Promise<void> {
  const file = args.out === undefined ? null : { path: args.out, what: kind, option: '--out' };
  if (file) assertNewFile(file);
  const path = `${rolloutPath(args.id)}/${kind}`;
  const bytes = await openApi(args).get(path, LIMITS.attachmentBytesMax);
  if (file === null) {
    process.stdout.write(bytes);
    return;
  }
  await writeNewFile(file, bytes);
}
