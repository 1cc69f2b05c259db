/** docs/protocol.md §1 to §6, clause by clause, against the code that parses documents. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRobotId } from '../../shared/base/ids.ts';
import { base64ToBytes, concatBytes, utf8 } from '../../shared/crypto/bytes.ts';
import { signatureIsValid } from '../../shared/crypto/ed25519.ts';
import { assertFresh, openAnnouncement } from '../../shared/formats/announcement.ts';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { openEnvelope, PAYLOAD_TYPES, preAuthEncoding } from '../../shared/formats/envelope.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import { parseTrust } from '../../shared/formats/trust.ts';
import { archFits, cohortFraction } from '../../shared/rules/rollout-rules.ts';
import { compareVersions, isVersion } from '../../shared/base/version.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { bundleSignatureNow, envelopeNow } from '../helpers/sign-now.ts';

const fleet = makeFleet();
const KiB = 1024;
const HASH = 'ab'.repeat(32);
const SIX = {
  version: '1.1.0',
  min_current_version: '1.0.0',
  target_arch: 'any',
  payload_sha256: HASH,
  rollback_version: '1.0.0',
  apply_strategy: 'atomic_swap',
} as const;

const json = (text: string) => parseStrictJson(utf8(text), 'document', 64 * KiB);
const manifest = (more: object) => parseManifest(utf8(JSON.stringify({ ...SIX, ...more })));

test('JSON is read strictly [P-1.1]', () => {
  const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
  json(deep(16));
  const bad = ['{"a":1,"a":2}', '{"__proto__":1}', '{"constructor":1}', '{"prototype":1}'];
  for (const text of [...bad, deep(18), '1e999', '{} {}', '\ufeff{}']) {
    assert.throws(() => json(text), { code: 'JSON_INVALID' }, text);
  }
  const notUtf8 = new Uint8Array([0x22, 0xff, 0x22]);
  assert.throws(() => parseStrictJson(notUtf8, 'document', 9), { code: 'JSON_INVALID' });
});

test('unknown fields are ignored, wrong ones are refused by name [P-1.2]', () => {
  assert.equal(manifest({ colour: 'red' }).version, '1.1.0');
  assert.throws(() => manifest({ version: 1 }), { code: 'MANIFEST_INVALID', message: /version/ });
});

test('a document above its size is refused before it is parsed [P-1.3]', () => {
  const spaces = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0x20);
  const tooLarge = { code: 'DOCUMENT_TOO_LARGE' };
  assert.throws(() => parseManifest(spaces(64 * KiB)), { code: 'JSON_INVALID' });
  assert.throws(() => parseManifest(spaces(64 * KiB + 1)), tooLarge);
  assert.throws(() => parseTrust(spaces(64 * KiB + 1)), tooLarge);
  assert.throws(() => openAnnouncement(spaces(512 * KiB + 1), fleet.trust), tooLarge);
  const payload = spaces(16 * KiB + 1);
  const long = envelopeNow(PAYLOAD_TYPES.progress, payload, [fleet.seeds.rollout]);
  assert.throws(() => openProgress(long, fleet.trust), tooLarge);
});

test('ids are 1 to 64 of A-Z a-z 0-9 _ - [P-1.4]', () => {
  for (const id of ['r', 'R_2-x', 'a'.repeat(64)]) assert.equal(parseRobotId(id), id);
  for (const id of ['', 'a.b', 'a/b', '+', 'ä', 'a'.repeat(65)]) {
    assert.throws(() => parseRobotId(id), { code: 'USAGE' }, id);
  }
});

test('versions are strict semver, ordered by precedence [P-1.5]', () => {
  for (const version of ['1.2.3', '1.2.3-rc.1+build.5']) assert.ok(isVersion(version));
  for (const version of ['v1.2.3', '1.2', '01.2.3', ' 1.2.3', `1.2.3-${'a'.repeat(60)}`]) {
    assert.equal(isVersion(version), false, version);
  }
  assert.ok(compareVersions('1.2.3-rc.1', '1.2.3') < 0);
  assert.equal(compareVersions('1.2.3+a', '1.2.3+b'), 0);
});

test('hashes are lower-case hex, base64 is canonical [P-1.6]', () => {
  assert.throws(() => manifest({ payload_sha256: 'AB'.repeat(32) }), { code: 'MANIFEST_INVALID' });
  assert.deepEqual(base64ToBytes('AQ=='), new Uint8Array([1]));
  for (const text of ['AQ', 'AR==', 'AQ==\n', 'A-==']) assert.equal(base64ToBytes(text), null);
});

test('instants are UTC with Z [P-1.7]', () => {
  const withExpiry = (expires: string) => () => parseTrust(utf8(trustText({ expires })));
  withExpiry('2026-01-31T00:00:00Z')();
  withExpiry('2026-01-31T00:00:00.123Z')();
  for (const text of ['2026-01-31', '2026-01-31T00:00:00+01:00', '2026-13-31T00:00:00Z']) {
    assert.throws(withExpiry(text), { code: 'TRUST_INVALID' }, text);
  }
});

function trustText(more: object): string {
  const text = new TextDecoder().decode(fleet.trustBytes);
  return JSON.stringify({ ...(JSON.parse(text) as object), ...more });
}

test('a manifest with the six required fields is enough, and each is required [P-3.1]', () => {
  assert.equal(manifest({}).name, 'app');
  for (const field of Object.keys(SIX)) {
    assert.throws(() => manifest({ [field]: undefined }), { facts: { field } });
  }
  assert.throws(() => manifest({ apply_strategy: 'other' }), {
    facts: { field: 'apply_strategy' },
  });
});

test('optional fields of a manifest are checked when they are there [P-3.2]', () => {
  const delta = { from_version: '1.0.0', from_tar_sha256: HASH, sha256: HASH, size: 5 };
  assert.equal(manifest({ name: 'nav', payload_size: 5, deltas: [delta] }).deltas.length, 1);
  const bad = { payload_size: 0, payload_tar_sha256: 'x', deltas: Array(17).fill(delta), name: '' };
  for (const [field, value] of Object.entries(bad)) {
    assert.throws(() => manifest({ [field]: value }), { code: 'MANIFEST_INVALID' }, field);
  }
});

test('verification is strict RFC 8032: no small-order key is taken [P-3.4]', () => {
  // With the identity as public key, ZIP-215 takes R = identity, S = 0 for every message.
  const identity = '01' + '00'.repeat(31);
  const signature = concatBytes(new Uint8Array([1]), new Uint8Array(63));
  assert.equal(signatureIsValid(signature, utf8('any'), identity), false);
});

test('bundle signatures are counted by key, and refusals tell why [P-3.5]', async () => {
  const { manifestBytes, signature } = await fleet.makeBundle({ version: '1.1.0' });
  const { trust, keys } = fleet;
  const verify = (signatures: Uint8Array[], release = trust.roles.release) =>
    verifyBundle({
      manifestBytes,
      signatures,
      trust: { ...trust, roles: { ...trust.roles, release } },
    });
  verify([signature]);
  const two = { keys: [keys.release, 'cd'.repeat(32)], threshold: 2 };
  const code = (want: string) => ({ code: want });
  assert.throws(() => verify([signature, signature], two), code('BUNDLE_SIGNATURES_TOO_FEW'));
  const payloadSha256 = parseManifest(manifestBytes).payload_sha256;
  const byRoot = bundleSignatureNow(manifestBytes, payloadSha256, fleet.seeds.root);
  assert.throws(() => verify([byRoot]), code('BUNDLE_KEY_UNKNOWN'));
  assert.throws(() => verify([new Uint8Array(64)]), code('BUNDLE_SIGNATURE_BAD'));
  assert.throws(() => verify([new Uint8Array(63)]), code('SIGNATURE_MALFORMED'));
});

test('a bundle is bound to the payload that was received [P-3.6]', async () => {
  const { manifestBytes, signature } = await fleet.makeBundle({ version: '1.1.0' });
  const other = parseManifest(utf8(JSON.stringify(SIX))).payload_sha256;
  const input = { manifestBytes, signatures: [signature], trust: fleet.trust };
  verifyBundle(input);
  assert.throws(() => verifyBundle({ ...input, payloadSha256: other }), {
    code: 'PAYLOAD_HASH_MISMATCH',
  });
});

test('CPU names are compared by their canonical form [P-3.7]', () => {
  const same = [
    ['aarch64', 'arm64'],
    ['x86_64', 'amd64', 'x64', 'x86-64'],
    ['armv7l', 'arm', 'armhf'],
  ];
  for (const group of same) {
    for (const a of group) for (const b of group) assert.ok(archFits(a, b), `${a} ${b}`);
  }
  assert.ok(archFits('any', 'riscv64'));
  assert.equal(archFits('arm64', 'x64'), false);
});

test('trust.json holds three roles with different keys and a reachable threshold [P-4.2]', () => {
  const { roles } = JSON.parse(trustText({})) as { roles: Record<string, object> };
  const key = fleet.keys.release;
  const bad = [
    { keys: [], threshold: 1 },
    { keys: [key, key], threshold: 1 },
    { keys: [key], threshold: 2 },
    { keys: [key], threshold: 0 },
    { keys: ['AB'.repeat(32)], threshold: 1 },
  ];
  for (const release of bad) {
    const text = trustText({ roles: { ...roles, release } });
    assert.throws(() => parseTrust(utf8(text)), { code: 'TRUST_INVALID' });
  }
  assert.equal(parseTrust(utf8(trustText({ fleet: undefined }))).fleet, 'default');
});

test('an envelope signs type and payload as DSSE says [P-4.3]', () => {
  const encoded = preAuthEncoding('http://example.com/HelloWorld', utf8('hello world'));
  const want = 'DSSEv1 29 http://example.com/HelloWorld 11 hello world';
  assert.equal(new TextDecoder().decode(encoded), want);
});

test('a document of one type never passes for another [P-4.4]', () => {
  const progress = fleet.progress({ rollout: 'r-1', seq: 1 });
  assert.throws(() => openAnnouncement(progress, fleet.trust), { code: 'ENVELOPE_TYPE_WRONG' });
});

test('signatures of an envelope are counted before its payload is parsed [P-4.5]', () => {
  const role = fleet.trust.roles.rollout;
  const type = PAYLOAD_TYPES.announcement;
  const sign = (...seeds: Uint8Array[]) => envelopeNow(type, utf8('no JSON at all'), seeds);
  const { rollout, release } = fleet.seeds;
  assert.equal(openEnvelope(sign(rollout), type, role).byteLength, 14);
  assert.throws(() => openEnvelope(sign(release), type, role), { code: 'ENVELOPE_KEY_UNKNOWN' });
  const two = { keys: [fleet.keys.rollout, fleet.keys.root], threshold: 2 };
  assert.throws(() => openEnvelope(sign(rollout, rollout), type, two), {
    code: 'ENVELOPE_SIGNATURES_TOO_FEW',
  });
  const other = utf8(new TextDecoder().decode(sign(rollout)).replace('"sig":"', '"sig":"AAAA'));
  assert.throws(() => openEnvelope(other, type, role), { code: 'ENVELOPE_MALFORMED' });
  const forged = JSON.parse(new TextDecoder().decode(sign(rollout))) as { payload: string };
  forged.payload = 'AAAA';
  assert.throws(() => openEnvelope(utf8(JSON.stringify(forged)), type, role), {
    code: 'ENVELOPE_SIGNATURE_BAD',
  });
  assert.throws(() => openAnnouncement(sign(rollout), fleet.trust), { code: 'JSON_INVALID' });
});

test('an announcement lists rollouts, none twice [P-5.1]', async () => {
  const rollout = fleet.makeRollout('r-1', await fleet.makeBundle({ version: '1.1.0' }));
  assert.equal(openAnnouncement(fleet.announce(1, []), fleet.trust).rollouts.length, 0);
  for (const bytes of [fleet.announce(1, [rollout, rollout]), fleet.announce(0, [])]) {
    const open = () => openAnnouncement(bytes, fleet.trust);
    assert.throws(open, { code: 'ANNOUNCEMENT_INVALID' });
  }
});

test('a rollout has bounds, defaults, and a target that narrows [P-5.2] [P-5.4]', async () => {
  const bundle = await fleet.makeBundle({ version: '1.1.0' });
  const open = (more: object) =>
    openAnnouncement(fleet.announce(1, [fleet.makeRollout('r-1', bundle, more)]), fleet.trust);
  const [rollout] = open({}).rollouts;
  assert.deepEqual(rollout?.target, { tags: [], robots: [] });
  assert.deepEqual([rollout?.emergency, rollout?.min_canaries], [false, 1]);
  assert.deepEqual(rollout?.waves, [{ percent: 100, soak_s: 0 }]);
  const bad = [
    { waves: [] },
    { waves: [{ percent: 101 }] },
    { health_timeout_s: 86_401 },
    { salt: 'x'.repeat(129) },
    { artifacts: [] },
    { target: { tags: ['two words'] } },
    { target: { robots: ['r.1'] } },
  ];
  for (const more of bad) assert.throws(() => open(more), { code: 'ANNOUNCEMENT_INVALID' });
});

test('another fleet, a lower seq and a past date are refused, an equal seq is not [P-5.5]', () => {
  const bytes = makeFleet('other').announce(1, []);
  assert.throws(() => openAnnouncement(bytes, fleet.trust), { code: 'FLEET_WRONG' });
  const document = { seq: 5, expires_at: 1_000 };
  assertFresh(document, 5, 999);
  assert.throws(() => assertFresh(document, 6, 999), { code: 'ANNOUNCEMENT_REPLAYED' });
  assert.throws(() => assertFresh(document, 5, 1_000), { code: 'ANNOUNCEMENT_EXPIRED' });
});

test('progress names rollout, wave, threshold and status [P-6.1]', () => {
  const progress = (more: object) => fleet.progress({ rollout: 'r-1', seq: 1, ...more });
  assert.deepEqual(openProgress(progress({}), fleet.trust).reasons, []);
  for (const more of [{ threshold: 1.1 }, { wave: 17 }, { status: 'done' as never }]) {
    const open = () => openProgress(progress(more), fleet.trust);
    assert.throws(open, { code: 'ANNOUNCEMENT_INVALID' });
  }
});

test('a fraction is the first 53 bits of the hash, so a threshold only adds robots [P-6.2]', () => {
  // From test/vectors/worked-example.json, which Python computed as well.
  assert.equal(cohortFraction('example-salt', parseRobotId('r13')), 0.05485194920922842);
});
