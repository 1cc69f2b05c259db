/**
 * `drover verify`: checks whether a robot with this trust.json (and this log policy) would take a
 * bundle.
 */

import { countOf } from '../../shared/base/printable.ts';
import type { Argv } from 'yargs';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { shortHash } from '../../shared/base/ids.ts';
import type { LogProof } from '../../shared/tlog/proof.ts';
import { checkBundle } from '../bundle/check-bundle.ts';
import { logFields, logProofText } from '../bundle/log-proof-part.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { withTrust } from './options.ts';

const withOptions = (argv: Argv) =>
  withTrust(withJson(argv))
    .positional('bundle', { type: 'string', demandOption: true })
    .option('require-log', {
      ...TEXT,
      describe: 'refuse it unless it is logged as this policy file wants',
    })
    .example('$0 verify bundles/1.4.2 --trust trust.json', 'exit 3 when it is refused');

export function verifyCommand(yargs: Argv): Argv {
  return yargs.command(
    'verify <bundle>',
    'check signatures, payload, deltas, attachments and proof of logging of a bundle',
    withOptions,
    async (argv) => {
      const trust = readTrust(argv.trust);
      const checked = await checkBundle(argv.bundle, { trust, policyPath: argv.requireLog });
      const { manifest, payloadSha256, deltasFrom: deltas, attachments, logProof } = checked;
      const { name, version, target_arch: arch, image = null } = manifest;
      const log = logProof && logFields(logProof);
      const keys = `at least ${countOf(trust.roles.release.threshold, 'release key')}`;
      makeOutput(argv.json).result(
        {
          ...{ ok: true, name, version, arch, payload_sha256: payloadSha256 },
          ...{ image, deltas, attachments, log },
        },
        [
          `ok: ${name} ${version} for ${arch}, payload ${shortHash(payloadSha256)}, signed by ${keys}`,
          ...(image ? [`ok: an image of ${formatBytes(image.size)} for a system slot`] : []),
          ...(deltas.length > 0 ? [`ok: deltas from ${deltas.join(', ')}`] : []),
          ...(attachments.length > 0 ? [`ok: ${attachments.join(' and ')} as signed`] : []),
          ...(logProof ? [logLine(logProof, argv.requireLog)] : []),
        ],
      );
    },
  );
}

function logLine(proof: LogProof, policyPath: string | undefined): string {
  const by =
    policyPath === undefined ? '; by whom is for --require-log' : `, as ${policyPath} wants`;
  return `ok: logged as ${logProofText(proof)}${by}`;
}
