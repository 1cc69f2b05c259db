/** Tars for tests: honest ones and ones that no tar program would write. */

import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

export interface TarPart {
  readonly name: string;
  readonly type?: string;
  readonly linkname?: string | null;
  readonly mode?: number;
  readonly body?: Uint8Array | string;
  readonly pax?: Record<string, string>;
}

/** The uncompressed tar of these parts, with its end mark. */
export async function tarOf(parts: readonly TarPart[]): Promise<Buffer> {
  const tar = pack();
  for (const { body, ...header } of parts) {
    const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
    tar.entry({ ...header, mtime: new Date(0) } as Parameters<typeof tar.entry>[0], bytes);
  }
  tar.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of tar as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

export const payloadOf = async (parts: readonly TarPart[]): Promise<Buffer> =>
  gzipSync(await tarOf(parts));

/** The output of `tar -czf` for a folder. */
export function realTar(folder: string, ...flags: string[]): Buffer {
  const options = { maxBuffer: 256 * 1024 * 1024 };
  return execFileSync('tar', ['-cz', ...flags, '-f', '-', '-C', folder, '.'], options);
}
