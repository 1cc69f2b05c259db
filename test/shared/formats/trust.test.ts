import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { assertTrustCurrent, parseTrust, rolesOfKey } from '../../../shared/formats/trust.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const key = (digit: string) => digit.repeat(64);
const role = (keys: readonly string[], threshold: unknown = 1) => ({ keys, threshold });
const ROLES = { root: role([key('a')]), release: role([key('b')]), rollout: role([key('c')]) };
const parse = (more: object) =>
  parseTrust(
    utf8(JSON.stringify({ version: 1, expires: '2099-01-01T00:00:00Z', roles: ROLES, ...more })),
  );
const refused = (more: object, words: RegExp) =>
  assertRefused('TRUST_INVALID', () => parse(more), words);
const release = (keys: readonly unknown[], threshold: unknown = 1) => ({
  roles: { ...ROLES, release: { keys, threshold } },
});

test('a trust root names its fleet, its end and three roles', () => {
  assert.deepEqual(parse({}), {
    version: 1,
    fleet: 'default',
    expires: Date.UTC(2099, 0, 1),
    roles: ROLES,
  });
});

test('a threshold is between one and the number of different keys', () => {
  const two = [key('1'), key('2')];
  assert.equal(parse(release(two, 2)).roles.release.threshold, 2);
  refused(release(two, 3), /field roles\.release: the threshold is above/);
  refused(release(two, 0), /threshold/);
  refused(release(two, 1.5), /threshold/);
  refused(release(two, '1'), /threshold/);
  refused(release([key('1'), key('1')], 2), /stands there twice/);
  refused(release([]), /keys/);
  refused(
    release(Array.from({ length: 17 }, (_, at) => at.toString(16).padStart(64, '0'))),
    /keys/,
  );
});

test('a key is 64 lower-case hex digits', () => {
  for (const bad of [key('A'), 'ab', '', key('g'), `${key('a')}\n`, null, 7]) {
    refused(release([bad]), /64 lower-case hex|keys\.0/);
  }
});

test('a missing role, version or end is refused by name', () => {
  const { rollout: _, ...without } = ROLES;
  refused({ roles: without }, /field roles\.rollout/);
  refused({ version: 0 }, /field version/);
  refused({ version: 2 ** 53 }, /field version/);
  refused({ expires: '2099-02-30T00:00:00Z' }, /field expires/);
  refused({ expires: undefined }, /field expires/);
  refused({ fleet: 'a.b' }, /field fleet/);
});

test('any document is a trust root or a typed refusal', () => {
  fc.assert(
    fc.property(fc.json(), fc.uint8Array({ maxLength: 50 }), (json, bytes) => {
      verdictOf(() => parseTrust(utf8(json)));
      verdictOf(() => parseTrust(bytes));
    }),
  );
  const huge = new Uint8Array(LIMITS.trustBytesMax + 1).fill(0x20);
  assertRefused('DOCUMENT_TOO_LARGE', () => parseTrust(huge));
});

test('a trust root ends at the millisecond it names', () => {
  const { trust } = makeFleet();
  assertTrustCurrent(trust, trust.expires - 1);
  assertRefused('TRUST_EXPIRED', () => assertTrustCurrent(trust, trust.expires), /2099-01-01/);
});

test('the roles of a key are all that hold it', () => {
  const trust = parse({ roles: { ...ROLES, rollout: role([key('a'), key('c')]) } });
  assert.deepEqual(rolesOfKey(trust, key('a')), ['root', 'rollout']);
  assert.deepEqual(rolesOfKey(trust, key('f')), []);
});
