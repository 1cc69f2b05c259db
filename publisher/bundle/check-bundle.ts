/** Decides whether a robot would accept a bundle: all checks of `drover verify`. */

import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { readLogPolicy } from '../../shared/io/trust-file.ts';
import { assertLogged } from '../../shared/tlog/logged.ts';
import type { LogProof } from '../../shared/tlog/proof.ts';
import { checkAttachments } from './attachments.ts';
import { checkDeltas } from './deltas/delta-parts.ts';
import { readLogProof } from './log-proof-part.ts';
import { hashPayload } from './payload.ts';

export interface CheckedBundle {
  readonly manifest: Manifest;
  readonly payloadSha256: Sha256Hex;
  /** Versions from which a delta in the bundle leads to this one. */
  readonly deltasFrom: readonly string[];
  /** Kinds of the signed attachments that are in the bundle. */
  readonly attachments: readonly string[];
  /** Null when the bundle carries no proof that it was logged. */
  readonly logProof: LogProof | null;
}

/**
 * Reads every byte of a bundle: signatures, payload, deltas, attachments and proof of logging.
 * @param path a bundle's folder, or its one-file form
 * @param policyPath refuse it unless it is logged as this policy file wants
 * @throws DroverError as `openBundle` and `verifyBundle`; DELTA_…, ATTACHMENT_… and LOG_… codes
 */
export async function checkBundle(
  path: string,
  { trust, policyPath }: { readonly trust: TrustRoot; readonly policyPath?: string | undefined },
): Promise<CheckedBundle> {
  const bundle = await openBundle(path);
  try {
    const payloadSha256 = await hashPayload(bundle);
    const { manifestBytes, signatures } = bundle;
    const { manifest } = verifyBundle({ manifestBytes, signatures, trust, payloadSha256 });
    const deltas = await checkDeltas(bundle);
    const deltasFrom = [...new Set(deltas.map(({ delta }) => delta.from_version))];
    const found = (await checkAttachments(bundle)).filter(({ bytes }) => bytes !== null);
    const attachments = found.map(({ attachment }) => attachment.kind);
    const logProof = await checkLog(bundle, policyPath);
    return { manifest, payloadSha256, deltasFrom, attachments, logProof };
  } finally {
    await bundle.close();
  }
}

async function checkLog(bundle: Bundle, policyPath: string | undefined): Promise<LogProof | null> {
  const part = await readLogProof(bundle);
  if (policyPath !== undefined) {
    assertLogged(bundle.manifestBytes, part?.text, readLogPolicy(policyPath));
  }
  return part?.proof ?? null;
}
