import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawClaim } from '../../../broker/commands/claim-code.ts';
import {
  accepted,
  afterRestore,
  decideClaim,
  parseRecord,
  revoked,
  showEnrolment,
  tokenOf,
  turnedAway,
  withClaim,
  type EnrolmentRecord,
} from '../../../broker/enrolment/records.ts';
import { ClaimTries } from '../../../broker/enrolment/claim-tries.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { SeldomLog } from '../../../shared/base/seldom-log.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const NOW = Date.parse('2026-11-30T12:00:00Z');
const [ROBOT, MINE, THIEF] = ['amr-0001' as RobotId, sha256Hex(utf8('a')), sha256Hex(utf8('b'))];

const order = (more: { needs_yes?: boolean; claim?: string } = {}) => ({
  robot_id: ROBOT,
  claim_sha256: sha256Hex(utf8(more.claim ?? 'claim')),
  expires_at: NOW + 1000,
  needs_yes: more.needs_yes ?? false,
});
const fresh = (more: { needs_yes?: boolean } = {}): EnrolmentRecord =>
  withClaim(undefined, order(more), { replace: false, now: NOW });
const ask = (record: EnrolmentRecord, tokenSha256 = MINE, now = NOW): EnrolmentRecord =>
  decideClaim(record, { proof: { token_sha256: tokenSha256 }, now, from: '10.0.0.9' });

describe('a claim', () => {
  it('is used once, and the robot that used it gets the same answer again, even when it is old', () => {
    const used = ask(fresh());
    assert.equal(used.claim.state, 'used');
    assert.deepEqual(used.credential, { token_sha256: MINE, since: NOW });
    assert.equal(ask(used, MINE, NOW + 10 * LIMITS.claimLifeMsMax), used);
    assertRefused('CLAIM_USED', () => ask(used, THIEF), /enrol amr-0001/);
  });

  it('is good until its end by the clock of the broker, and no longer', () => {
    assert.equal(ask(fresh(), MINE, NOW + 999).claim.state, 'used');
    assertRefused('CLAIM_EXPIRED', () => ask(fresh(), MINE, NOW + 1000), /2026-11-30T12:00:01/);
  });

  it('that needs approval lets no robot in before it, and belongs to the robot that asked first', () => {
    const waits = ask(fresh({ needs_yes: true }));
    assert.equal(waits.credential, null);
    assert.equal(ask(waits), waits);
    assertRefused('CLAIM_USED', () => ask(waits, THIEF));
    const let_in = accepted(waits, { by: 'ann', now: NOW + 5 });
    assert.equal(tokenOf(let_in), MINE);
    assert.equal(showEnrolment(let_in, NOW).accepted_by, 'ann');
    assertRefused('NOT_FOUND', () => accepted(let_in, { by: 'ann', now: NOW }));
    assertRefused('CLAIM_REVOKED', () => ask(turnedAway(waits)));
  });

  it('that was revoked lets no robot in, and ends the credential', () => {
    const gone = revoked(ask(fresh()));
    assert.equal(gone.credential, null);
    assertRefused('CLAIM_REVOKED', () => ask(gone));
  });

  it('is made again only when asked for; the old credential lasts until the new one is used', () => {
    const used = ask(fresh());
    const again = (replace: boolean) =>
      withClaim(used, order({ claim: 'new' }), { replace, now: NOW });
    assertRefused('CLAIM_EXISTS', () => again(false), /is enrolled/);
    assert.equal(tokenOf(again(true)), MINE);
    assert.equal(tokenOf(ask(again(true), THIEF)), THIEF);
    const late = withClaim(fresh(), order(), { replace: false, now: NOW + 5000 });
    assert.equal(late.claim.state, 'open', 'one that ended unused stands in the way of nothing');
  });

  it('that was open in a backup is void after the restore; an enrolled robot stays', () => {
    assert.equal(
      verdictOf(() => ask(afterRestore(fresh()))),
      'CLAIM_REVOKED',
    );
    const waits = ask(fresh({ needs_yes: true }));
    assert.equal(
      verdictOf(() => ask(afterRestore(waits))),
      'CLAIM_REVOKED',
    );
    const used = ask(fresh());
    assert.equal(afterRestore(used), used);
  });

  it('is read from the database as it was written, and refused when it is damaged', () => {
    const used = ask(fresh());
    assert.deepEqual(parseRecord(JSON.stringify(used)), used);
    assertRefused('DATABASE_DAMAGED', () => parseRecord('{"robot_id":"amr-0001"}'));
  });
});

describe('wrong claims', () => {
  it('are counted for each address, and a flood of addresses shares one count', () => {
    const tries = new ClaimTries(new SeldomLog(makeLog('test', 'silent'), 1, () => 0), () => 0);
    const misses = (from: string, now: number): boolean => tries.mayMiss(from, now);
    for (let n = 0; n < LIMITS.claimTriesMax; n += 1) assert.ok(misses('a', 0));
    assert.ok(!misses('a', 0));
    assert.ok(misses('b', 0), 'a neighbour has a count of its own');
    assert.ok(misses('a', LIMITS.claimTriesMs), 'and so has the next minute');
    for (let n = 0; n < LIMITS.claimTryAddressesMax; n += 1) misses(`n${n}`, LIMITS.claimTriesMs);
    const late = Array.from({ length: LIMITS.claimTriesMax + 1 }, (_none, n) =>
      misses(`late${n}`, LIMITS.claimTriesMs),
    );
    assert.equal(late.at(-1), false);
  });
});

describe('the QR code of a claim', () => {
  it('has each black module once, four white ones around, and the id for people', () => {
    const svg = drawClaim(ROBOT, `claim_${'x'.repeat(43)}`);
    const size = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1]);
    const rows = Array.from({ length: size }, () => ' '.repeat(size).split(''));
    for (const [, x, y, width] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)) {
      for (let at = 0; at < Number(width); at += 1) {
        assert.equal(rows[Number(y)]?.[Number(x) + at], ' ');
        (rows[Number(y)] as string[])[Number(x) + at] = '#';
      }
    }
    const finder = ['#######', '#     #', '# ### #', '# ### #', '# ### #', '#     #', '#######'];
    for (const left of [4, size - 11]) {
      const seen = rows.slice(4, 11).map((row) => row.slice(left, left + 7).join(''));
      assert.deepEqual(seen, finder);
    }
    const edge = [...rows.slice(0, 4), ...rows.slice(-4)].flat();
    assert.ok(edge.every((module) => module === ' '));
    assert.match(svg, />amr-0001<\/text>/);
    assert.ok(svg.length < 8_000, `${svg.length} bytes`);
  });
});
