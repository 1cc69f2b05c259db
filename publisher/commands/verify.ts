/**
 * `drover verify`: checks whether a robot with this trust.json (and this log policy) would take a
 * bundle.
 */

import type { Argv } from 'yargs';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { readLogPolicy } from '../../shared/io/log-policy-file.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { assertLogged } from '../../shared/tlog/logged.ts';
import { checkAttachments } from '../bundle/attachments.ts';
import { checkDeltas } from '../bundle/deltas/delta-parts.ts';
import { logFields, logProofText, readLogProof } from '../bundle/log-proof-part.ts';
import { hashPayload } from '../bundle/payload.ts';
import { readTrust } from '../trust/read-trust.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';

const withOptions = (argv: Argv) =>
  withJson(argv)
    .positional('bundle', { type: 'string', demandOption: true })
    .option('trust', { ...TEXT, demandOption: true, describe: 'trust.json of the fleet' })
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
      const bundle = await openBundle(argv.bundle);
      try {
        const payloadSha256 = await hashPayload(bundle);
        const { manifestBytes, signatures } = bundle;
        const { manifest } = verifyBundle({ manifestBytes, signatures, trust, payloadSha256 });
        const { name, version, target_arch: arch } = manifest;
        const deltas = (await checkDeltas(bundle)).map(({ delta }) => delta.from_version);
        const found = (await checkAttachments(bundle)).filter(({ bytes }) => bytes !== null);
        const attachments = found.map(({ attachment }) => attachment.kind);
        const { log, line } = await checkLog(bundle, argv.requireLog);
        makeOutput(argv.json).result(
          {
            ok: true,
            name,
            version,
            arch,
            payload_sha256: payloadSha256,
            deltas,
            attachments,
            log,
          },
          [
            `ok: ${name} ${version} for ${arch}, payload ${shortHash(payloadSha256)}, signed by ${trust.roles.release.threshold} or more release keys`,
            ...(deltas.length > 0 ? [`ok: deltas from ${deltas.join(', ')}`] : []),
            ...(attachments.length > 0 ? [`ok: ${attachments.join(' and ')} as signed`] : []),
            ...line,
          ],
        );
      } finally {
        await bundle.close();
      }
    },
  );
}

/** @throws DroverError LOG_PROOF_MISSING, LOG_PROOF_INVALID, LOG_POLICY_INVALID */
async function checkLog(bundle: Bundle, policyPath: string | undefined) {
  const part = await readLogProof(bundle);
  if (policyPath !== undefined) {
    assertLogged(bundle.manifestBytes, part?.text, readLogPolicy(policyPath));
  }
  if (part === null) return { log: null, line: [] };
  const by =
    policyPath === undefined ? '; by whom is for --require-log' : `, as ${policyPath} wants`;
  return { log: logFields(part.proof), line: [`ok: logged as ${logProofText(part.proof)}${by}`] };
}
