/**
 * Packs the log of a failed update into a bound, and unpacks one within a bound: what a robot sends
 * may unpack to more than any reader has. When the text is too large the begin of each section
 * goes, since the end says why something failed.
 */

import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { countOf } from '../base/printable.ts';

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** Each halving keeps a half at most: a megabyte is gone after twenty. */
const HALVINGS_MAX = 24;

export interface LogSection {
  readonly title: string;
  readonly text: string;
}

/**
 * @param head the first line, always kept
 * @param bytesMax of the result
 * @returns gzip bytes; null when not even the head fits
 */
export async function packLog(
  head: string,
  sections: readonly LogSection[],
  bytesMax: number,
): Promise<Uint8Array | null> {
  let kept = sections;
  for (let nth = 0; nth <= HALVINGS_MAX; nth += 1) {
    const marked = kept.map((one, at) => withMark(one, sections[at]?.text ?? ''));
    const text = compose(head, marked);
    if (text.length <= LIMITS.failureLogTextCharsMax) {
      const packed = await pack(text);
      if (packed.byteLength <= bytesMax) return packed;
    }
    kept = kept.map(({ title, text: whole }) => ({ title, text: lastHalf(whole) }));
  }
  return null;
}

const compose = (head: string, sections: readonly LogSection[]): string =>
  [head, ...sections.flatMap(({ title, text }) => ['', `== ${title} ==`, text.trimEnd()]), ''].join(
    '\n',
  );

/** Says that the beginning is gone, so that the first line left is not taken for the first line. */
function withMark({ title, text }: LogSection, whole: string): LogSection {
  if (text.length === whole.length) return { title, text };
  const lines = whole.split('\n').length - text.split('\n').length;
  const gone = lines > 0 ? countOf(lines, 'line') : 'the begin of a line';
  return { title, text: `[${gone} left out here: this log has a bound]\n${text}` };
}

/** From a line break on, where there is one. */
function lastHalf(text: string): string {
  const half = text.slice(Math.ceil(text.length / 2));
  const line = half.indexOf('\n');
  return line < 0 ? half : half.slice(line + 1);
}

/**
 * @returns text that may hold anything: show it with `printable`
 * @throws DroverError FAILURE_LOG_INVALID
 */
export async function unpackLog(packed: Uint8Array): Promise<string> {
  try {
    const bytes = await unpack(packed, { maxOutputLength: LIMITS.failureLogTextBytesMax });
    return bytes.toString('utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FAILURE_LOG_INVALID', `unpack log: ${why}`, { cause });
  }
}
