import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  encodeSiteReport,
  openSiteReport,
  planReport,
} from '../../../publisher/airgap/site-report.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { encodeMessage } from '../../../shared/formats/messages.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';

const { seeds, trust } = makeFleet();
const ABOUT = { fleet: 'test', site: 'hall-2', nowMs: Date.parse('2026-05-04T12:00:00Z') };
const state = (robot: string, minute: number, version = '1.0.0'): Uint8Array =>
  encodeMessage({
    ...{ robot_id: robot, at: `2026-05-04T10:${String(minute).padStart(2, '0')}:00Z` },
    components: [{ name: 'app', version, phase: 'idle' }],
  });
const STATES = [
  state('r1', 1),
  state('r2', 2),
  utf8(new TextDecoder().decode(state('r3', 3)).replace(',', ',\n')),
];
const signers = [seedSigner(seeds.rollout)];
const written = await encodeSiteReport(ABOUT, STATES, signers);

describe('the report of a site', () => {
  it('says what the robots said, whoever carried it [P-13.6]', async () => {
    const { site, atMs, states } = openSiteReport(written, trust);
    assert.deepEqual([site, atMs], ['hall-2', ABOUT.nowMs]);
    assert.deepEqual(
      states.map((one) => one.state.robot_id),
      ['r1', 'r2', 'r3'],
    );
    assert.deepEqual(states[0]?.payload, STATES[0]);
    assert.deepEqual(openSiteReport(await encodeSiteReport(ABOUT, [], signers), trust).states, []);
  });

  it('is refused when any byte of it is another, or one is missing [P-13.6]', () => {
    fc.assert(
      fc.property(
        fc.nat(written.byteLength - 1),
        fc.integer({ min: 1, max: 255 }),
        (at, change) => {
          const bytes = written.slice();
          bytes[at] = (bytes[at] ?? 0) ^ change;
          const verdict = verdictOf(() => openSiteReport(bytes, trust));
          // A label of a key says nothing: what is in the report is the same.
          if (verdict === 'taken') assert.deepEqual(openSiteReport(bytes, trust).states.length, 3);
        },
      ),
      { numRuns: 400 },
    );
    fc.assert(
      fc.property(fc.nat(written.byteLength - 1), (length) => {
        assert.notEqual(
          verdictOf(() => openSiteReport(written.subarray(0, length), trust)),
          'taken',
        );
      }),
    );
  });

  it('is signed by a rollout key of this fleet [P-13.6]', async () => {
    const stranger = await encodeSiteReport(ABOUT, STATES, [seedSigner(fixedSeed(9))]);
    assertRefused('ENVELOPE_KEY_UNKNOWN', () => openSiteReport(stranger, trust));
    const other = await encodeSiteReport({ ...ABOUT, fleet: 'other' }, STATES, signers);
    assertRefused('FLEET_WRONG', () => openSiteReport(other, trust));
  });

  it('changes only what is older than it', () => {
    const report = openSiteReport(written, trust);
    const known = new Map([
      ['r1', state('r1', 0)],
      ['r2', state('r2', 2)],
      ['r3', state('r3', 4)],
    ]);
    const plan = planReport(report, known);
    assert.deepEqual(
      plan.newer.map((one) => one.state.robot_id),
      ['r1'],
    );
    assert.deepEqual([plan.same, plan.older], [['r2'], ['r3']]);
    const unread = planReport(report, new Map([['r1', utf8('nonsense')]]));
    assert.equal(unread.newer.length, 3, 'anything is better than what cannot be read');
  });
});
