/** An export of the audit chain: each way to change it is found, and the entry is named. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { gap, recordOf, retired } from '../../../broker/audit/decision.ts';
import { LineSplitter } from '../../../publisher/audit/lines.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import {
  ChainCheck,
  encodeAuditRecord,
  hashOfLine,
  NO_RECORD,
  type ChainExpectation,
} from '../../../shared/formats/audit-record.ts';

const AT = '2026-06-01T00:00:00.000Z';

/** A chain of this many records. */
function chain(count: number): string[] {
  const lines: string[] = [];
  for (let seq = 1; seq <= count; seq += 1) {
    const last = lines.at(-1);
    const prev = last === undefined ? NO_RECORD : hashOfLine(last);
    lines.push(encodeAuditRecord(recordOf(retired(`r${seq}`, 'alice'), { seq, at: AT, prev })));
  }
  return lines;
}

/** `ok` with the last number, or the code and message of the refusal. */
function verdict(lines: readonly string[], want: ChainExpectation = {}): string {
  const check = new ChainCheck(want);
  try {
    for (const line of lines) check.take(line);
    return `ok ${check.end().last.seq}`;
  } catch (error) {
    if (error instanceof DroverError) return `${error.code} ${error.message}`;
    throw error;
  }
}

const LINES = chain(9);
const hashAt = (at: number): Sha256Hex => hashOfLine(LINES[at - 1] ?? '');
const without = (at: number): string[] => LINES.filter((_, index) => index !== at - 1);

describe('an export of the audit chain', () => {
  it('holds as it was written, whole or from any entry on', () => {
    for (let from = 0; from < LINES.length; from += 1) {
      assert.equal(verdict(LINES.slice(from)), 'ok 9');
      const after = from === 0 ? NO_RECORD : hashAt(from);
      assert.equal(verdict(LINES.slice(from), { after, head: hashAt(9) }), 'ok 9');
    }
  });

  it('names the entry where a line was removed, edited or moved', () => {
    assert.match(verdict(without(4)), /^AUDIT_BROKEN .*after entry 3 comes entry 5 \(want 4\)/);
    const edited = LINES.map((line, at) => (at === 3 ? line.replace('alice', 'bob') : line));
    assert.match(verdict(edited), /^AUDIT_BROKEN .*entry 5 does not follow entry 4/);
    const swapped = [...LINES];
    [swapped[3], swapped[4]] = [LINES[4] ?? '', LINES[3] ?? ''];
    assert.match(verdict(swapped), /^AUDIT_BROKEN .*after entry 3 comes entry 5/);
    assert.match(verdict([...LINES.slice(0, 4), '']), /^AUDIT_BROKEN .*after entry 4 is no entry/);
    const half = LINES[4]?.slice(0, 60) ?? '';
    assert.match(verdict([...LINES.slice(0, 4), half]), /^AUDIT_BROKEN .*only a part of one/);
  });

  it('an end that is missing shows with the head that was kept, and only with it', () => {
    const short = LINES.slice(0, 7);
    assert.equal(verdict(short), 'ok 7');
    assert.match(verdict(short, { head: hashAt(9) }), /^AUDIT_CUT .*no entry has the hash/);
    assert.equal(verdict(short, { head: hashAt(5) }), 'ok 7');
    assert.match(
      verdict(LINES.slice(2), { after: hashAt(1) }),
      /^AUDIT_CUT .*entry 3 is the first/,
    );
    assert.match(verdict([]), /^AUDIT_CUT .*there is no entry/);
  });

  it('a chain that was written again from the change on does not have the head', () => {
    const forged = chain(3);
    for (let seq = 4; seq <= 9; seq += 1) {
      const prev = hashOfLine(forged.at(-1) ?? '');
      forged.push(encodeAuditRecord(recordOf(retired(`r${seq}`, 'bob'), { seq, at: AT, prev })));
    }
    assert.equal(verdict(forged), 'ok 9');
    assert.match(verdict(forged, { head: hashAt(9) }), /^AUDIT_CUT/);
  });

  it('a record that names a gap may leave out numbers, and is reported', () => {
    const prev = hashAt(9);
    const line = encodeAuditRecord(
      recordOf(gap('10 to 12 are missing'), { seq: 13, at: AT, prev }),
    );
    const check = new ChainCheck();
    for (const one of [...LINES, line]) check.take(one);
    assert.deepEqual(check.end().gaps, [{ seq: 13, text: '10 to 12 are missing' }]);
    assert.match(verdict([...LINES, line.replace('"seq":13', '"seq":9')]), /^AUDIT_BROKEN/);
  });

  it('names line ends and byte order marks that a copy added, with the line', () => {
    const refused = (text: Uint8Array): { message: string; hint: string } => {
      const splitter = new LineSplitter(LIMITS.auditRecordBytesMax);
      const read = (): string[] => [...splitter.take(text), ...splitter.end()];
      let found = { message: '', hint: '' };
      assert.throws(read, (error: DroverError) => {
        found = { message: error.message, hint: error.hint };
        return error.code === 'AUDIT_BROKEN';
      });
      return found;
    };
    const [first, second] = [LINES[0] ?? '', LINES[1] ?? ''];
    for (const [text, why] of [
      [utf8(`${LINES.join('\r\n')}\r\n`), /line 1 ends with CR LF/],
      [utf8(`${first}\n${second}\r\n`), /line 2 ends with CR LF/],
      [utf8(`\ufeff${LINES.join('\n')}\n`), /line 1 begins with a byte order mark/],
      [Buffer.from(`\ufeff${first}\n`, 'utf16le'), /line 1 begins with a byte order mark/],
    ] as const) {
      const { message, hint } = refused(text);
      assert.match(message, why);
      assert.match(hint, /a copy changed the file/);
    }
    const torn = refused(Buffer.concat([utf8(`${first}\n`), Buffer.from([0x80, 0x0a])]));
    assert.match(torn.message, /line 2 is no text/);
    assert.doesNotMatch(torn.hint, /a copy/);
  });

  it('no change of one byte passes with the head', () => {
    const text = utf8(`${LINES.join('\n')}\n`);
    const places = fc.record({ at: fc.nat(text.length - 1), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(places, ({ at, to }) => {
        fc.pre(text[at] !== to);
        const changed = text.slice();
        changed[at] = to;
        const splitter = new LineSplitter(LIMITS.auditRecordBytesMax);
        try {
          const lines = [...splitter.take(changed), ...splitter.end()];
          const said = verdict(lines, { head: hashAt(9), after: NO_RECORD });
          // The end of the last line may be missing, or be another character of an entry too many.
          return !said.startsWith('ok');
        } catch (error) {
          return error instanceof DroverError;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('a record stays within its bound, whatever its words are', () => {
    for (const filler of ['\u0000', '"', '\\', '\ud83e', '🤖', '猫', '\u202e']) {
      const long = filler.repeat(5_000);
      const decision = { kind: 'robot.retired', subject: long, by: long, text: long };
      const facts = { names: Array.from({ length: 100 }, () => filler.repeat(20)) };
      const at = { seq: Number.MAX_SAFE_INTEGER - 1, at: AT, prev: hashAt(1) };
      const line = encodeAuditRecord(recordOf({ ...decision, facts }, at));
      assert.ok(utf8(line).byteLength <= LIMITS.auditRecordBytesMax, filler);
      assert.equal(verdict([line]), `ok ${at.seq}`);
    }
  });
});
