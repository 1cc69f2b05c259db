/** `drover verify`: would a robot with this trust.json take these bytes? */

import type { Argv } from 'yargs';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { openBundle } from '../../shared/io/bundle-folder.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { checkAttachments } from '../bundle/attachments.ts';
import { checkDeltas } from '../bundle/deltas/delta-parts.ts';
import { hashPayload } from '../bundle/payload.ts';
import { readTrust } from '../trust/read-trust.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';

export function verifyCommand(yargs: Argv): Argv {
  return yargs.command(
    'verify <bundle>',
    'check signatures, payload, deltas and attachments of a bundle',
    (argv) =>
      withJson(argv)
        .positional('bundle', { type: 'string', demandOption: true })
        .option('trust', { ...TEXT, demandOption: true, describe: 'trust.json of the fleet' })
        .example('$0 verify bundles/1.4.2 --trust trust.json', 'exit 3 when it is refused'),
    async (argv) => {
      const trust = readTrust(argv.trust);
      const bundle = await openBundle(argv.bundle);
      try {
        const payloadSha256 = await hashPayload(bundle);
        const { manifestBytes, signatures } = bundle;
        const { manifest } = verifyBundle({ manifestBytes, signatures, trust, payloadSha256 });
        const { name, version, target_arch: arch } = manifest;
        const deltas = (await checkDeltas(bundle)).map(({ delta }) => delta.from_version);
        const found = (await checkAttachments(bundle)).filter(({ bytes }) => bytes !== null);
        const attachments = found.map(({ attachment }) => attachment.kind);
        makeOutput(argv.json).result(
          { ok: true, name, version, arch, payload_sha256: payloadSha256, deltas, attachments },
          [
            `ok: ${name} ${version} for ${arch}, payload ${shortHash(payloadSha256)}, signed by ${trust.roles.release.threshold} or more release keys`,
            ...(deltas.length > 0 ? [`ok: deltas from ${deltas.join(', ')}`] : []),
            ...(attachments.length > 0 ? [`ok: ${attachments.join(' and ')} as signed`] : []),
          ],
        );
      } finally {
        await bundle.close();
      }
    },
  );
}
