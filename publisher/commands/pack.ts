/** `drover pack`: a bundle folder as one `.drover` file, for a stick or an artifact store. */

import { existsSync } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { openBundle } from '../../shared/io/bundle-folder.ts';
import { listParts, writeBundleTar } from '../../shared/io/bundle-tar.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { hashPayload } from '../bundle/payload.ts';
import { TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';

export function packCommand(yargs: Argv): Argv {
  return yargs.command(
    'pack <bundle>',
    'make one .drover file of a signed bundle folder',
    (argv) =>
      withDryRun(withJson(argv))
        .positional('bundle', { type: 'string', demandOption: true })
        .option('out', { ...TEXT, demandOption: true, describe: 'file to write' })
        .example('$0 pack bundles/1.4.2 --out app-1.4.2.drover', ''),
    async (argv) => {
      if (existsSync(argv.out)) {
        throw new DroverError('FILE_EXISTS', `pack ${argv.out}: it is there already`, {
          hint: 'choose another --out, or remove the old file yourself',
        });
      }
      const bundle = await openBundle(argv.bundle);
      try {
        await hashPayload(bundle);
        const parts = await listParts(bundle.folder, bundle.manifest);
        if (!argv.dryRun) await writeBeside(argv.out, (path) => writeBundleTar(bundle, path));
        const bytes = argv.dryRun
          ? parts.reduce((sum, part) => sum + part.bytes, 0)
          : (await stat(argv.out)).size;
        makeOutput(argv.json).result(
          { dry_run: argv.dryRun, out: argv.out, size: bytes, parts: parts.map((p) => p.name) },
          [
            `${argv.dryRun ? 'would pack' : 'packed'} ${bundle.manifest.version} into ${argv.out} (${formatBytes(bytes)})`,
          ],
        );
      } finally {
        await bundle.close();
      }
    },
  );
}

/** The file gets its name when it is complete. */
async function writeBeside(out: string, write: (path: string) => Promise<void>): Promise<void> {
  const beside = `${out}.${process.pid}.tmp`;
  try {
    await write(beside);
    await rename(beside, out);
  } catch (cause) {
    await rm(beside, { force: true });
    if (cause instanceof DroverError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `pack ${out}: ${why}`, { cause });
  }
}
