/**
 * Texts of a transparency log: an accepted proof is about a manifest in the log, however the bytes
 * were changed. Attachments are opened here too: they also come from strangers.
 */

import { recogniseAttachment } from '../../../shared/formats/attachments.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { parseCheckpoint } from '../../../shared/tlog/checkpoint.ts';
import { assertLogged } from '../../../shared/tlog/logged.ts';
import { parseNote } from '../../../shared/tlog/note.ts';
import { parseLogPolicy } from '../../../shared/tlog/policy.ts';
import { makeProof, policyText } from '../../shared/tlog/log-maker.ts';
import { BrokenPromise, isTaken, type Door } from '../door.ts';

const REFUSALS = /^(?:LOG_[A-Z_]+|DOCUMENT_TOO_LARGE|ATTACHMENT_INVALID)$/;
const MANIFESTS = Array.from({ length: 9 }, (_, at) => utf8(`{"version":"1.${at}.0"}`));
const STRANGER = utf8('{"version":"6.6.6"}');
const DOCUMENTS = [
  '{"bomFormat":"CycloneDX","specVersion":"1.6"}',
  '{"spdxVersion":"SPDX-2.3","packages":[]}',
  '{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}',
];

export async function logDoor(): Promise<Door> {
  const proofs = [await makeProof(MANIFESTS, 4), await makeProof(MANIFESTS, 0, ['w1', 'w3'])];
  const policyLines = policyText('group two 2 w1 w2 w3', 'quorum two');
  const policy = parseLogPolicy(utf8(policyText('quorum none')));
  const whole = new Set(proofs);
  const open = (input: Uint8Array): void => {
    const text = new TextDecoder().decode(input);
    for (const parse of [parseNote, parseCheckpoint]) isTaken(REFUSALS, () => parse(text));
    isTaken(REFUSALS, () => parseLogPolicy(input));
    for (const kind of ['sbom', 'provenance'] as const) {
      isTaken(REFUSALS, () => recogniseAttachment(kind, input));
    }
    if (isTaken(REFUSALS, () => assertLogged(STRANGER, text, policy))) {
      throw new BrokenPromise('a manifest that was never logged is proven to be');
    }
    for (const manifest of MANIFESTS) {
      isTaken(REFUSALS, () => assertLogged(manifest, text, policy));
    }
    if (whole.has(text) && !isLogged(text)) throw new BrokenPromise('a whole proof is refused');
  };
  const isLogged = (text: string): boolean =>
    MANIFESTS.some((manifest) => {
      try {
        return assertLogged(manifest, text, policy).size === MANIFESTS.length;
      } catch (error) {
        if (error instanceof DroverError) return false;
        throw error;
      }
    });
  return {
    seeds: [...proofs, policyLines, ...DOCUMENTS].map(utf8),
    words: ['c2sp.org/tlog-proof@v1\n', 'index ', 'extra ', '\n\n', '\u2014 ', 'group ', 'quorum '],
    refusals: REFUSALS,
    batch: 16,
    open,
  };
}
