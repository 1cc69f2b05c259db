/** The kind of an attachment comes from its own content, and from nothing else. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import { recogniseAttachment, type AttachmentKind } from '../../../shared/formats/attachments.ts';
import { encodeManifest, parseManifest } from '../../../shared/formats/manifest.ts';
import { verdictOf } from '../../helpers/refusal.ts';

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const STATEMENT = {
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ name: 'payload.tar.gz', digest: { sha256: '00' } }],
  predicateType: 'https://slsa.dev/provenance/v1',
  predicate: {},
};
const ENVELOPE = {
  payloadType: 'application/vnd.in-toto+json',
  payload: Buffer.from(JSON.stringify(STATEMENT)).toString('base64'),
  signatures: [],
};

const TAKEN: readonly [AttachmentKind, unknown, string][] = [
  ['sbom', { bomFormat: 'CycloneDX', specVersion: '1.6' }, 'application/vnd.cyclonedx+json'],
  ['sbom', { spdxVersion: 'SPDX-2.3', packages: [] }, 'application/spdx+json'],
  [
    'sbom',
    { '@context': 'https://spdx.org/rdf/3.0.1/spdx-context.jsonld', '@graph': [] },
    'application/spdx+json',
  ],
  ['provenance', STATEMENT, 'application/vnd.in-toto+json'],
  ['provenance', ENVELOPE, 'application/vnd.dsse.envelope.v1+json'],
  [
    'provenance',
    {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      dsseEnvelope: ENVELOPE,
    },
    'application/vnd.dev.sigstore.bundle+json',
  ],
];

const codeOf = (kind: AttachmentKind, bytes: Uint8Array): string =>
  verdictOf(() => recogniseAttachment(kind, bytes));

describe('attachments [P-3.8]', () => {
  for (const [kind, document, mediaType] of TAKEN) {
    it(`${mediaType} is taken as ${kind}, and as nothing else`, () => {
      assert.equal(recogniseAttachment(kind, bytesOf(document)), mediaType);
      const other = kind === 'sbom' ? 'provenance' : 'sbom';
      assert.equal(codeOf(other, bytesOf(document)), 'ATTACHMENT_INVALID');
    });
  }

  it('any other document is refused with a code', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<AttachmentKind>('sbom', 'provenance'),
        fc.oneof(fc.uint8Array(), fc.jsonValue().map(bytesOf)),
        (kind, bytes) => {
          assert.equal(codeOf(kind, bytes), 'ATTACHMENT_INVALID');
        },
      ),
      { numRuns: 300 },
    );
    const large = new Uint8Array(LIMITS.attachmentBytesMax + 1);
    assert.equal(codeOf('sbom', large), 'DOCUMENT_TOO_LARGE');
  });

  it('a manifest names each kind once, and one of a later kind is read past', () => {
    const base = {
      version: '1.0.0',
      min_current_version: '0.0.0',
      rollback_version: '0.0.0',
      target_arch: 'any',
      payload_sha256: 'a'.repeat(64),
      apply_strategy: 'atomic_swap' as const,
    };
    const one = { kind: 'vex', media_type: 'application/json', sha256: 'b'.repeat(64), size: 9 };
    const { attachments } = parseManifest(encodeManifest({ ...base, attachments: [one] }));
    assert.deepEqual(attachments, [one]);
    const twice = { ...base, attachments: [one, one] };
    assert.equal(
      verdictOf(() => encodeManifest(twice)),
      'MANIFEST_INVALID',
    );
  });
});
