/**
 * Byte code of Python: which files of a tree it is, and what a compiled file records about its
 * source. Python writes such files by itself, into a release too: a changed one is no damage.
 * Sans-I/O.
 */

/** Bytes of the longest head of a compiled file: magic, flags, time and size of the source. */
export const BYTE_CODE_HEAD_BYTES = 16;

/** The head of a compiled file that Python checks against the time and size of its source. */
export interface ByteCodeHead {
  /** Seconds since the epoch, modulo 2^32. */
  readonly sourceTimeS: number;
  /** Modulo 2^32; null where the format does not hold it (Python 2). */
  readonly sourceBytes: number | null;
}

/** First magic number with flags in the head (PEP 552, Python 3.7). */
const MAGIC_WITH_FLAGS = 3390;
/** Python 2.7 and older count from here. */
const MAGIC_PYTHON_2 = 20_000;
const CR = 0x0d;
const LF = 0x0a;

/** True for files that Python (or numba) writes beside the sources and may write again. */
export function isByteCode(path: string): boolean {
  return /\.py[co]$/.test(path) || path.split('/').slice(0, -1).includes('__pycache__');
}

/** The path of the source of a compiled file; null for a name that names none. */
export function sourceOfByteCode(path: string): string | null {
  const cached = /^(.*\/)?__pycache__\/([^/]+?)\.[^./]+(?:\.opt-[A-Za-z0-9]+)?\.pyc$/.exec(path);
  if (cached) return `${cached[1] ?? ''}${cached[2]}.py`;
  if (/(^|\/)__pycache__\//.test(path)) return null;
  const beside = /^(.*[^/])\.py[co]$/.exec(path);
  return beside ? `${beside[1]}.py` : null;
}

/** Null when the file is not byte code, or is bound to the hash of its source, not its time. */
export function parseByteCodeHead(head: Uint8Array): ByteCodeHead | null {
  if (head.byteLength < 8 || head[2] !== CR || head[3] !== LF) return null;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const magic = view.getUint16(0, true);
  if (magic >= MAGIC_PYTHON_2) return { sourceTimeS: view.getUint32(4, true), sourceBytes: null };
  const hasFlags = magic >= MAGIC_WITH_FLAGS;
  if (head.byteLength < (hasFlags ? 16 : 12)) return null;
  if (hasFlags && view.getUint32(4, true) !== 0) return null;
  const at = hasFlags ? 8 : 4;
  return { sourceTimeS: view.getUint32(at, true), sourceBytes: view.getUint32(at + 4, true) };
}
