/** Files that are carried by hand: the export of an air gap, and the backup of a broker. */

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { DatabaseRecord } from '../../../broker/backup/format.ts';
import { readBackup } from '../../../broker/backup/read.ts';
import { writeBackup } from '../../../broker/backup/write.ts';
import { encodeIndex } from '../../../publisher/airgap/parcel.ts';
import { contentOf } from '../../../publisher/airgap/export-contents.ts';
import { ParcelReader } from '../../../publisher/airgap/parcel-reader.ts';
import { writeParcel } from '../../../publisher/airgap/parcel-writer.ts';
import { verifyBundles } from '../../../publisher/airgap/unpack-parcel.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import type { Scope } from '../../helpers/scope.ts';
import { BrokenPromise, type Door } from '../door.ts';
import { folderInMemory } from '../memory-folder.ts';

/** Everything that a parcel hands out as verified must be signed by a release key. */
export async function parcelDoor(scope: Scope): Promise<Door> {
  const [fleet, folder] = [makeFleet(), await folderInMemory(scope)];
  const { trust } = fleet;
  const bundle = await fleet.makeBundle({ version: '1.2.0' });
  const contents = [
    contentOf('trust.json', fleet.trustBytes),
    contentOf('bundles/0/manifest.json', bundle.manifestBytes),
    contentOf('bundles/0/signature.sig', bundle.signature),
    contentOf('bundles/0/payload.tar.gz', bundle.payload),
  ];
  const file = join(folder, 'a.drover-export');
  const index = await encodeIndex(
    {
      ...{ kind: 'drover-export', format: 1, fleet: 'test', seq: 5 },
      ...{ created_at: '2026-01-01T00:00:00Z', members: contents.map(({ member }) => member) },
    },
    [seedSigner(fleet.seeds.rollout)],
  );
  const meter = () => ({ add: () => undefined, stop: () => undefined });
  await writeParcel({
    ...{ out: file, split: null, kind: 'drover-export', index, contents, meter },
    ...{ seal: null, dryRun: false },
  });
  const whole = new Uint8Array(await readFile(file));
  const signed = sha256Hex(bundle.payload);
  return {
    seeds: [whole],
    words: ['"members":', '"size":', '"sha256":', 'bundles/1/', 'ustar\u000000', '../'],
    refusals:
      /^(?:PARCEL_[A-Z]+|ENVELOPE_[A-Z_]+|BUNDLE_[A-Z]+|[A-Z]+_INVALID|PAYLOAD_[A-Z_]+|FILE_UNREADABLE|[A-Z]+_TOO_LARGE|SIGNATURE_[A-Z]+)$/,
    batch: 32,
    open: async (input) => {
      await rm(file, { force: true });
      await writeFile(file, input);
      const reader = await ParcelReader.open(file, 'drover-export', trust.roles.rollout);
      try {
        for (const { verified } of await verifyBundles(reader, trust))
          if (verified.manifest.payload_sha256 !== signed)
            throw new BrokenPromise('nobody signed it');
        for (const member of reader.index.members) await reader.read(member);
      } finally {
        await reader.close();
      }
    },
  };
}

export async function backupDoor(): Promise<Door> {
  const chunk = utf8('a chunk');
  const hash = sha256Hex(chunk);
  const records: readonly DatabaseRecord[] = [
    ['a', utf8('1')],
    ['b', new Uint8Array(300)],
  ];
  const database = {
    snapshot: () => Object.assign(Readable.from(records), { close: async () => undefined }),
  };
  const chunks = { list: () => Readable.from([[hash]]), get: async () => chunk };
  const source = { databases: new Map([['control', database]]), chunks };
  const whole = new Uint8Array(await buffer(writeBackup(source, { hasChunks: true, now: 0 })));
  return {
    seeds: [whole],
    words: ['databases/control/', 'chunks/', 'ustar\u000000', '"databases":', '"entries":', hash],
    refusals: /^(?:BACKUP_[A-Z]+|JSON_INVALID|DOCUMENT_TOO_LARGE)$/,
    batch: 32,
    open: async (input) => {
      for await (const part of readBackup(Readable.from([Buffer.from(input)]), 'file'))
        if (part.kind === 'chunk' && sha256Hex(part.bytes) !== part.hash)
          throw new BrokenPromise('a chunk under the hash of another');
    },
  };
}
