/**
 * Reads an attachment of an announced rollout for the HTTP API: it collects the chunks from
 * wherever the broker has them and compares the result with the hash in the manifest. It reads one
 * attachment at a time, so that memory holds one however many clients ask.
 */

import type { Announcement } from '../../shared/formats/announcement.ts';
import type { Attachment } from '../../shared/formats/attachments.ts';
import type { ChunkReader } from '../../shared/formats/bundle-chunks.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { concatBytes } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseChunkIndex } from '../../shared/transfer/chunk-index.ts';

export interface AttachmentSources {
  /** Returns the current announcement, or null when there is none. */
  announcement(): Announcement | null;
  readonly read: ChunkReader;
}

export interface WholeAttachment {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

export class AttachmentReader {
  readonly #sources: AttachmentSources;
  readonly #queue = new SerialQueue(LIMITS.attachmentReadersMax);

  constructor(sources: AttachmentSources) {
    this.#sources = sources;
  }

  /** @throws DroverError NOT_FOUND, CONNECTIONS_FULL, ATTACHMENT_MISMATCH, CHUNK_INDEX_INVALID,
   * BROKER_UNREACHABLE */
  async read(rolloutId: string, kind: string): Promise<WholeAttachment> {
    if (this.#queue.size >= LIMITS.attachmentReadersMax) {
      throw new DroverError('CONNECTIONS_FULL', `read ${kind}: too many are asked for at once`);
    }
    return await this.#queue.run(() => this.#read(rolloutId, kind));
  }

  async #read(rolloutId: string, kind: string): Promise<WholeAttachment> {
    const { rollout, attachment } = this.#find(rolloutId, kind);
    const stored = rollout.attachments.find((one) => one.sha256 === attachment.sha256);
    const what = `read the ${kind} of ${rolloutId}`;
    // Two documents state the size, and only one of them bounds what is read here.
    if (stored?.size !== attachment.size) {
      throw new DroverError('NOT_FOUND', `${what}: it was announced without it`);
    }
    const chunk = async (hash: Sha256Hex): Promise<Uint8Array> => {
      const bytes = await this.#sources.read(hash);
      if (bytes) return bytes;
      throw new DroverError('NOT_FOUND', `${what}: this broker does not hold ${shortHash(hash)}`, {
        hint: 'ask the broker where it was published, or read it from the bundle: drover inspect',
      });
    };
    const { chunks } = parseChunkIndex(await chunk(stored.chunk_index), stored);
    const pieces: Uint8Array[] = [];
    for (const hash of chunks) pieces.push((await chunk(hash)).slice());
    const bytes = concatBytes(...pieces);
    if (sha256Hex(bytes) !== attachment.sha256) {
      throw new DroverError('ATTACHMENT_MISMATCH', `${what}: its hash differs`);
    }
    return { mediaType: attachment.media_type, bytes };
  }

  #find(rolloutId: string, kind: string) {
    const what = `read the ${kind} of ${rolloutId.slice(0, 80)}`;
    const rollouts = this.#sources.announcement()?.rollouts ?? [];
    const rollout = rollouts.find((one) => one.id === rolloutId);
    if (!rollout) throw new DroverError('NOT_FOUND', `${what}: it is not announced`);
    const { attachments } = parseManifest(rollout.manifest);
    const attachment: Attachment | undefined = attachments.find((one) => one.kind === kind);
    if (attachment) return { rollout, attachment };
    throw new DroverError('NOT_FOUND', `${what}: the bundle has none`, {
      hint: `build the bundle with --${kind} FILE to have one`,
    });
  }
}
