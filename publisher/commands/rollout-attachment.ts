/**
 * `drover rollout sbom` and `provenance`: what was published with a rollout, byte for byte, for a
 * scanner behind a pipe or into a file.
 */

import { writeFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import type { AttachmentKind } from '../../shared/formats/attachments.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
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
  const path = `${rolloutPath(args.id)}/${kind}`;
  const bytes = await openApi(args).get(path, LIMITS.attachmentBytesMax);
  if (args.out === undefined) {
    process.stdout.write(bytes);
    return;
  }
  try {
    await writeFile(args.out, bytes, { flag: 'wx', flush: true });
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const why = isThere ? 'it is there already' : (cause as Error).message;
    const code = isThere ? 'FILE_EXISTS' : 'FILE_UNREADABLE';
    throw new DroverError(code, `write ${args.out}: ${why}`, { cause });
  }
}
