import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  encodeMessage,
  encodeRefusal,
  parseOnline,
  parsePresence,
  parseRefusal,
  parseRobotEvent,
  parseRobotState,
  parseWant,
  type RobotStateFields,
  PHASES,
} from '../../../shared/formats/messages.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const AT = '2026-01-31T12:00:00Z';
const state: RobotStateFields = {
  robot_id: 'r1',
  at: AT,
  components: [{ name: 'app', version: '1.4.2', phase: 'idle' }],
};
const parse = (more: object) => parseRobotState(utf8(JSON.stringify({ ...state, ...more })));
const refused = (more: object, words: RegExp) =>
  assertRefused('JSON_INVALID', () => parse(more), words);
const component = (more: object) => ({ components: [{ ...state.components[0], ...more }] });

test('a report comes back as it was written, for every phase', () => {
  for (const phase of PHASES) {
    const parsed = parseRobotState(encodeMessage({ ...state, ...component({ phase }) }));
    assert.equal(parsed.components[0]?.phase, phase);
    assert.equal(parsed.at, Date.UTC(2026, 0, 31, 12));
  }
});

test('a report that no robot would write is refused by field', () => {
  refused({ robot_id: 'r/1' }, /field robot_id/);
  refused({ at: 'yesterday' }, /field at/);
  refused({ components: [] }, /field components/);
  refused({ components: Array(17).fill(state.components[0]) }, /field components/);
  refused(component({ phase: 'dancing' }), /components\.0\.phase/);
  refused(component({ version: 'latest' }), /components\.0\.version/);
  refused(component({ transfer: { bytes_done: -1, bytes_total: 1 } }), /bytes_done/);
  refused(component({ last_error: { code: 'oops', message: '' } }), /last_error\.code/);
  refused({ metrics: { cpu: '3' } }, /metrics/);
  refused({ tags: ['a b'] }, /tags/);
});

test('an error code of a newer robot is kept, not dropped', () => {
  const last_error = { code: 'BATTERY_TOO_WARM', message: 'it is' };
  const parsed = parse(component({ last_error }));
  assert.equal(parsed.components[0]?.last_error?.code, 'BATTERY_TOO_WARM');
});

test('a want names at most so many chunks, and a package it could take', () => {
  const want = { robot_id: 'r1', at: AT };
  const wanted = (more: object) => () => parseWant(utf8(JSON.stringify({ ...want, ...more })));
  const hash = 'ab'.repeat(32);
  assert.equal(verdictOf(wanted({ chunks: Array(LIMITS.wantChunksMax).fill(hash) })), 'taken');
  assertRefused('JSON_INVALID', wanted({ chunks: Array(LIMITS.wantChunksMax + 1).fill(hash) }));
  assertRefused('JSON_INVALID', wanted({ chunks: ['#'] }), /chunks\.0/);
  assertRefused('JSON_INVALID', wanted({ package: { component: 'app' } }), /package\./);
});

test('a refusal of the broker names a code of the catalogue', () => {
  const refusal = { code: 'STORE_FULL', message: 'no room', topic: 'fleet-chunks/x' } as const;
  assert.deepEqual(parseRefusal(encodeRefusal(refusal)), refusal);
  for (const code of ['NO_SUCH_CODE', 'toString', '__proto__', '']) {
    assertRefused('JSON_INVALID', () => parseRefusal(utf8(JSON.stringify({ ...refusal, code }))));
  }
});

test('any bytes on any report topic are a message or a typed refusal', () => {
  const parsers = [parseRobotState, parseRobotEvent, parseOnline, parseWant, parseRefusal];
  const good = encodeMessage(state);
  const overwrite = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.json(), fc.uint8Array({ maxLength: 60 }), overwrite, (json, bytes, edit) => {
      const changed = good.slice();
      changed[edit[0]] = edit[1];
      for (const parser of parsers) {
        for (const input of [utf8(json), bytes, changed]) verdictOf(() => parser(input));
      }
    }),
    { numRuns: 200 },
  );
  const huge = new Uint8Array(LIMITS.reportBytesMax + 1);
  for (const parser of parsers) assertRefused('DOCUMENT_TOO_LARGE', () => parser(huge));
});

test('the reader of a report takes out the secrets that an older agent left in it', () => {
  const message = 'run hook health of 1.4.2: exit 70 (password=hunter2\nmqtt://bob:hunter2@host)';
  const problem = { code: 'HEALTH_FAILED', message, hint: message };
  const read = parse(component({ last_error: problem, waiting_for: message })).components[0];
  const event = parseRobotEvent(
    utf8(
      JSON.stringify({
        ...{ robot_id: 'r1', event_seq: 1, at: AT, component: 'app', from: 'idle', to: 'idle' },
        ...{ event: 'failed', problem },
      }),
    ),
  );
  const presence = { online: true, problem: { ...problem, message: 'token: hunter2' } };
  const texts = [read, event, parsePresence(utf8(JSON.stringify(presence)))].map((one) =>
    JSON.stringify(one),
  );
  for (const text of texts) assert.doesNotMatch(text, /hunter2/);
  assert.equal(read?.last_error?.message.split('\n')[0]?.endsWith('(password=[redacted]'), true);
});
