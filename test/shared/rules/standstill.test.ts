/** Codes with which a robot takes no update at all. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import { STANDSTILL_CODES, standstillOf } from '../../../shared/rules/standstill.ts';

const told = (code: string, version: string | null = null) => ({ last_error: { code, version } });

test("everything that stands in a slot and is not Drover's is a standstill, a lost release is none", () => {
  const slots = Object.keys(CATALOGUE).filter((code) => code.startsWith('SLOT_'));
  assert.ok(slots.length >= 7);
  for (const code of [...slots, 'ADOPT_IMPOSSIBLE']) assert.equal(standstillOf(told(code)), code);
  assert.equal(standstillOf(told('RELEASE_LOST')), null);
  assert.equal(standstillOf(told('RELEASE_IN_THE_WAY')), null);
});

test('a code that one version ended with says nothing of the next version', () => {
  assert.equal(standstillOf(told('DISK_FULL', '1.0.0')), null);
  assert.equal(standstillOf(told('DISK_FULL')), 'DISK_FULL');
  assert.equal(standstillOf(told('ROOT_SPLIT', '1.0.0')), 'ROOT_SPLIT');
});

test('a robot whose clock disagrees with the announcement takes nothing until that is repaired', () => {
  for (const code of ['ANNOUNCEMENT_EXPIRED', 'ANNOUNCEMENT_AHEAD']) {
    assert.equal(standstillOf(told(code)), code);
  }
});

test('a robot without a problem, or with one of a newer Drover, takes what is offered', () => {
  assert.equal(standstillOf({}), null);
  assert.equal(standstillOf({ last_error: null }), null);
  assert.equal(standstillOf(told('OF_A_NEWER_DROVER')), null);
});

test('each code has its hint, and mending is worth a wait', () => {
  assert.equal(new Set(STANDSTILL_CODES).size, STANDSTILL_CODES.length);
  for (const code of STANDSTILL_CODES) assert.ok(CATALOGUE[code].hint.length > 0);
});
