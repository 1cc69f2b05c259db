/** A sealed file that was cut short says so, wherever it ends; one with a wrong byte never does. */

import assert from 'node:assert/strict';
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { contentOf } from '../../../publisher/airgap/export-contents.ts';
import { ParcelReader } from '../../../publisher/airgap/parcel-reader.ts';
import { isSealed, openSeal, unseal } from '../../../publisher/airgap/parcel-seal.ts';
import { writeParcel } from '../../../publisher/airgap/parcel-writer.ts';
import { encodeIndex, type ParcelIndexFields } from '../../../publisher/airgap/parcel.ts';
import { PartsReader } from '../../../publisher/transfer/file-parts.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import type { Scope } from '../../helpers/scope.ts';

const fleet = makeFleet();
const role = fleet.trust.roles.rollout;
const KIND = 'drover-export';

interface Stage {
  readonly bytes: Buffer;
  /** `taken`, or the code of the refusal. */
  read(bytes: Uint8Array): Promise<string>;
}

interface Shape {
  readonly payloadBytes: number;
  /** Signatures under patches make the index long: members of a bundle with so many deltas. */
  readonly deltas: number;
  readonly isSigned: boolean;
}

async function stageOf(t: Scope, { payloadBytes, deltas, isSigned }: Shape): Promise<Stage> {
  const folder = await tempFolder(t);
  const [identity, out] = [await generateX25519Identity(), join(folder, 'a.drover-export')];
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const bundles = Array.from({ length: Math.ceil((deltas + 1) / 17) }, (_, at) => at);
  const contents = bundles.flatMap((at) => [
    contentOf(`bundles/${at}/manifest.json`, new TextEncoder().encode('{}')),
    contentOf(`bundles/${at}/signature.sig`, new Uint8Array(64)),
    contentOf(`bundles/${at}/payload.tar.gz`, new Uint8Array(payloadBytes).fill(7)),
    ...Array.from({ length: deltas === 0 ? 0 : 16 }, (_, nth) =>
      contentOf(`bundles/${at}/deltas/1.0.${nth}.zst`, new Uint8Array(9).fill(nth)),
    ),
  ]);
  const fields: ParcelIndexFields = {
    ...{ kind: KIND, format: 1, fleet: 'test', seq: 5, created_at: '2026-01-01T00:00:00Z' },
    members: contents.map(({ member }) => member),
  };
  await writeParcel({
    ...{ out, split: null, kind: KIND, contents, dryRun: false },
    index: await encodeIndex(fields, isSigned ? [seedSigner(fixedSeed(9))] : []),
    seal: await openSeal(encrypter),
    meter: () => ({ add: () => undefined, stop: () => undefined }),
  });
  const path = join(folder, 'stick');
  const read = async (bytes: Uint8Array): Promise<string> => {
    await writeFile(path, bytes);
    const file = await PartsReader.open(path);
    try {
      const plain = (await isSealed(file))
        ? await unseal(file, decrypter, { kind: KIND, role, into: folder })
        : await PartsReader.open(path);
      const reader = await ParcelReader.over(plain, KIND, role);
      for (const member of reader.index.members) await reader.read(member);
      await reader.close();
      return 'taken';
    } catch (error) {
      if (error instanceof DroverError) return error.code;
      throw error;
    } finally {
      await file.close();
    }
  };
  return { bytes: await readFile(out), read };
}

const SHAPES: readonly (readonly [string, Shape])[] = [
  ['of one piece', { payloadBytes: 1_500, deltas: 0, isSigned: false }],
  ['of one piece, signed', { payloadBytes: 1_500, deltas: 0, isSigned: true }],
  ['of some pieces', { payloadBytes: 200_000, deltas: 0, isSigned: false }],
  ['of some pieces, signed', { payloadBytes: 200_000, deltas: 0, isSigned: true }],
  ['whose index is longer than a piece', { payloadBytes: 100, deltas: 540, isSigned: true }],
];

describe('a sealed file', () => {
  for (const [what, shape] of SHAPES) {
    it(`${what} is PARCEL_TRUNCATED wherever it is cut, and damaged with a wrong byte`, async (t) => {
      const { bytes, read } = await stageOf(t, shape);
      assert.equal(await read(bytes), 'taken');
      const borders = [0, 1, 21, 22, 23, 100, 150, 200, 201, 215, 216, 217, 232]
        .concat(
          [1, 2, 3].flatMap((nth) => [-17, -16, -1, 0, 1].map((by) => 216 + nth * 65_552 + by)),
        )
        .concat([bytes.length - 17, bytes.length - 16, bytes.length - 1])
        .filter((at) => at >= 0 && at < bytes.length);
      const length = fc.oneof(fc.nat(bytes.length - 1), fc.nat(Math.min(3_000, bytes.length - 1)));
      for (const at of borders) {
        assert.equal(await read(bytes.subarray(0, at)), 'PARCEL_TRUNCATED', `cut to ${at}`);
      }
      await fc.assert(
        fc.asyncProperty(length, async (at) => {
          assert.equal(await read(bytes.subarray(0, at)), 'PARCEL_TRUNCATED', `cut to ${at}`);
        }),
        { numRuns: 25 },
      );
      await fc.assert(
        fc.asyncProperty(length, fc.integer({ min: 1, max: 255 }), async (at, by) => {
          const changed = Buffer.from(bytes);
          changed.writeUInt8(changed.readUInt8(at) ^ by, at);
          // A name of another recipient, or of another format, has a code of its own.
          const codes = ['PARCEL_DAMAGED', 'PARCEL_NOT_FOR_US', 'PARCEL_INVALID'];
          const code = await read(changed);
          assert.ok(codes.includes(code), `${code} with another byte at ${at}`);
        }),
        { numRuns: 25 },
      );
    });
  }

  it('is damaged, and not cut, with any wrong byte in a file of one piece', async (t) => {
    const { bytes, read } = await stageOf(t, { payloadBytes: 600, deltas: 0, isSigned: false });
    for (let at = 216; at < bytes.length; at += 29) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 8)), at);
      assert.equal(await read(changed), 'PARCEL_DAMAGED', `at ${at}`);
    }
  });
});
