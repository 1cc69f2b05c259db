/**
 * `import { verifyBundle } from 'drover'`: what other programs need of Drover's formats, without a
 * command line and without a connection. Refusals are DroverErrors with a stable code.
 */

import { readTrust } from '../shared/io/trust-file.ts';
import { checkBundle } from './bundle/check-bundle.ts';

export { CATALOGUE, type ErrorCode } from '../shared/base/error-catalogue.ts';
export { DroverError } from '../shared/base/errors.ts';
export {
  parseRobotEvent,
  parseRobotState,
  type RobotEvent,
  type RobotState,
} from '../shared/formats/messages.ts';
export { parseTopic, type Topic } from '../shared/formats/topics.ts';

/** Content of a bundle that a robot with this trust would accept. */
export interface BundleFacts {
  readonly name: string;
  readonly version: string;
  readonly targetArch: string;
  /** 64 hex digits. */
  readonly payloadSha256: string;
  /** Versions from which a delta in the bundle leads to this one. */
  readonly deltasFrom: readonly string[];
  /** Kinds of the signed attachments in the bundle: `sbom`, `provenance`. */
  readonly attachments: readonly string[];
  /** True when it carries a proof that it was logged; whose log counts is for `logPolicy`. */
  readonly hasLogProof: boolean;
}

/**
 * Reads every byte of a bundle, as `drover verify` does.
 * @param path a bundle's folder, or its one-file form
 * @param options.trust path of trust.json of the fleet
 * @param options.logPolicy path of a policy file; refuse it unless it is logged as that wants
 * @throws DroverError with the code for which a robot would refuse it, or FILE_UNREADABLE
 */
async function verifyBundleAt(
  path: string,
  options: { readonly trust: string; readonly logPolicy?: string },
): Promise<BundleFacts> {
  const trust = readTrust(options.trust);
  const checked = await checkBundle(path, { trust, policyPath: options.logPolicy });
  const { manifest, payloadSha256, deltasFrom, attachments, logProof } = checked;
  const { name, version, target_arch: targetArch } = manifest;
  const hasLogProof = logProof !== null;
  return { name, version, targetArch, payloadSha256, deltasFrom, attachments, hasLogProof };
}

export { verifyBundleAt as verifyBundle };
