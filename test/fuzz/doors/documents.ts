/** Every parser of a document gets every input: whatever it is, each of them answers or refuses. */

import assert from 'node:assert/strict';
import { parseRun } from '../../../broker/rollout/record.ts';
import { parseMarks } from '../../../broker/control/event-marks.ts';
import { parsePending } from '../../../publisher/rollout/pending-announcement.ts';
import {
  parseCommanded,
  parseExpiry,
  parseHistory,
  parseRollouts,
} from '../../../publisher/rollout/rollout-answer.ts';
import { parseSeen } from '../../../robot-client/fleet/seen-file.ts';
import { parseUsage } from '../../../robot-client/fleet/usage.ts';
import {
  encodeMachineState,
  freshState,
  parseMachineState,
} from '../../../robot-client/update/state.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import {
  encodeMessage,
  parsePresence,
  parseRefusal,
  parseRobotEvent,
  parseRobotState,
  parseWant,
} from '../../../shared/formats/messages.ts';
import { parseStrictJson } from '../../../shared/formats/strict-json.ts';
import { parseTrust } from '../../../shared/formats/trust.ts';
import { encodeEvent } from '../../broker/reports.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { BrokenPromise, isTaken, type Door } from '../door.ts';

const BYTES_MAX = 64 * 1024;
const AT = '2026-05-04T10:00:00Z';

export async function documentsDoor(): Promise<Door> {
  const fleet = makeFleet();
  const { manifestBytes } = await fleet.makeBundle({ version: '1.2.0' });
  const parsers: readonly ((bytes: Uint8Array) => unknown)[] = [
    ...[parseTrust, parseManifest, parseRobotState, parseRobotEvent, parsePresence, parseWant],
    ...[parseRefusal, parseMachineState, parseUsage, parsePending, parseRun, parseRollouts],
    ...[parseExpiry, parseHistory, parseCommanded],
    (bytes) => parseSeen(bytes, [fleet.keys.rollout]),
    (bytes) => parseMarks(new TextDecoder().decode(bytes)),
    agreesWithJson,
  ];
  const open = (input: Uint8Array): void => {
    for (const parse of parsers) isTaken(REFUSALS, () => parse(input));
  };
  return {
    seeds: [fleet.trustBytes, manifestBytes, ...reports(), ...stateFiles()],
    words: ['"schema":', '"version":', '"components":', '"__proto__":', 'T00:00:00Z', '\\u0061'],
    refusals: REFUSALS,
    batch: 64,
    open,
  };
}

const REFUSALS =
  /^(?:JSON_INVALID|DOCUMENT_TOO_LARGE|[A-Z]+_INVALID|STATE_(?:CORRUPT|NEWER)|ANNOUNCEMENT_PENDING|API_ANSWER_[A-Z]+)$/;

function agreesWithJson(bytes: Uint8Array): void {
  const value = parseStrictJson(bytes, 'document', BYTES_MAX);
  try {
    assert.deepEqual(value, JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new BrokenPromise('strict JSON means something else than JSON', { cause });
  }
}

function reports(): Uint8Array[] {
  const problem = { code: 'HEALTH_CHECK_FAILED', message: 'no answer', hint: 'look' };
  const app = {
    ...{ name: 'app', version: '1.0.0', phase: 'idle' as const },
    last_update: { rollout: 'r-1', version: '1.1.0', outcome: 'rolled_back', at: AT, ...problem },
  };
  const state = { robot_id: 'r1', at: AT, arch: 'x86_64', components: [app], tags: ['hall'] };
  const wanted = { wanted_version: '2.0.0', min_current_version: '1.5.0' };
  const asked = { component: 'app', arch: 'x86_64', current_version: null, ...wanted };
  return [
    utf8(JSON.stringify(state)),
    encodeEvent('r1', 7, { from: 'downloading', to: 'verifying', event: 'downloaded' }),
    encodeMessage({ robot_id: 'r1', at: AT, package: asked }),
    utf8('{"online":true,"via":"relay-1"}'),
  ];
}

function stateFiles(): Uint8Array[] {
  const floor = { seq: 4, at: 1_700_000_000_000 };
  return [
    encodeMachineState(freshState()),
    utf8(JSON.stringify({ schema: 1, announcement: 4, progress: { r: 2 }, completeSince: {} })),
    utf8(JSON.stringify({ schema: 1, epoch: 'e1', components: { app: [] } })),
    utf8(JSON.stringify({ floors: { announcement: floor, progress: { r: floor } } })),
  ];
}
