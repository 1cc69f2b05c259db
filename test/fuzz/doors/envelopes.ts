/**
 * Signed documents: every accepted document was signed, byte for byte, by a key of the right role.
 */

import { openLease } from '../../../shared/formats/lease.ts';
import { openProgress } from '../../../shared/formats/progress.ts';
import { openAnnouncementPayload } from '../../../shared/formats/announcement.ts';
import { openTrustUpdate } from '../../../shared/formats/trust-chain.ts';
import { peekEnvelope, PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { openSiteReport } from '../../../publisher/airgap/site-report.ts';
import { openIndex } from '../../../publisher/airgap/parcel.ts';
import { bytesToBase64, concatBytes, utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { envelopeNow, leaseNow } from '../../helpers/sign-now.ts';
import { BrokenPromise, isTaken, type Door } from '../door.ts';

const SINCE = { issued_at: '2026-01-01T00:00:00Z', expires_at: '2099-01-01T00:00:00Z' };
const LEASED = { issued_at: SINCE.issued_at };
const REFUSALS =
  /^(?:JSON_INVALID|DOCUMENT_TOO_LARGE|ENVELOPE_[A-Z_]+|[A-Z]+_INVALID|FLEET_WRONG|TRUST_[A-Z_]+)$/;

export async function envelopesDoor(): Promise<Door> {
  const fleet = makeFleet();
  const { trust, seeds: keys } = fleet;
  const bundle = await fleet.makeBundle({ version: '1.2.0' });
  const next = utf8(JSON.stringify({ ...JSON.parse(text(fleet.trustBytes)), version: 2 }));
  const body = utf8('{"robot_id":"r1"}\n');
  const report = {
    ...{ kind: 'drover-report', format: 1, fleet: 'test', site: 's', at: SINCE.issued_at },
    ...{ robots: 1, bytes: body.byteLength, sha256: sha256Hex(body) },
  };
  const head = envelopeNow(PAYLOAD_TYPES.report, utf8(JSON.stringify(report)), [keys.rollout]);
  const signed = [
    fleet.announce(5, [fleet.makeRollout('r-1', bundle)]),
    fleet.progress({ rollout: 'r-1', seq: 3 }),
    leaseNow({ fleet: 'test', controller: 'c1', term: 4, beat: 1, ...LEASED }, [keys.rollout]),
    envelopeNow(PAYLOAD_TYPES.trust, next, [keys.root]),
    head,
  ];
  const vouched = new Set(signed.map((one) => text(peekEnvelope(one))));
  const stranger = envelopeNow(PAYLOAD_TYPES.progress, utf8('{}'), [fixedSeed(77)]);
  const doors: readonly ((bytes: Uint8Array) => unknown)[] = [
    (bytes) => openAnnouncementPayload(bytes, trust),
    (bytes) => openProgress(bytes, trust),
    (bytes) => openLease(bytes, trust),
    (bytes) => openTrustUpdate(bytes, trust),
  ];
  const open = (input: Uint8Array): void => {
    for (const door of doors) {
      if (!isTaken(REFUSALS, () => door(input))) continue;
      if (!vouched.has(text(peekEnvelope(input)))) throw new BrokenPromise('nobody signed this');
    }
    isTaken(REFUSALS, () => openSiteReport(input, trust));
    isTaken(REFUSALS, () => openIndex(input, trust.roles.rollout));
  };
  return {
    seeds: [...signed, concatBytes(head, utf8('\n'), body), stranger],
    words: [...Object.values(PAYLOAD_TYPES), '"signatures":', '"keyid":', bytesToBase64(next)],
    refusals: REFUSALS,
    batch: 32,
    open,
  };
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
