/** Parsers of command-line words, topics and addresses, for mistyped and for hostile input. */

import { parseRelease, parseRoots, parseTags } from '../../../robot-client/commands/options.ts';
import { parseWindow } from '../../../robot-client/local/windows.ts';
import { parsePasswordHash } from '../../../broker/access/passwords.ts';
import { parseDeltaFrom } from '../../../publisher/bundle/deltas/plan-deltas.ts';
import { parseGateBounds, parseGates } from '../../../publisher/rollout/gate-words.ts';
import { parseWaveNumbers, parseWaves } from '../../../publisher/rollout/plan-rollout.ts';
import { parseBrokerUrls } from '../../../shared/base/broker-urls.ts';
import { parseByteSize, parseRate } from '../../../shared/base/byte-sizes.ts';
import { formatDurationMs, parseDurationMs } from '../../../shared/base/durations.ts';
import { parseSealEnd, parseSealEntry } from '../../../robot-client/install/seal.ts';
import { chunkOfFilter, filterSweepsChunks, parseTopic } from '../../../shared/formats/topics.ts';
import { readEntryName } from '../../../broker/backup/format.ts';
import { versionMeets, isVersion } from '../../../shared/base/version.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { BrokenPromise, isTaken, type Door } from '../door.ts';

const REFUSALS = /^(?:USAGE|ROOT_NOT_UTF8|[A-Z_]+_INVALID)$/;
const SEEDS = [
  ...['fleet/robots/r1/state', 'fleet/rollouts/r-1', `fleet-chunks/${'0a'.repeat(32)}`, '#', '+/+'],
  ...[
    '30m',
    '1.5h',
    '500ms',
    '64KiB',
    '10MB/s',
    'mqtt://h:1883,mqtts://[::1]:8883',
    'app=/srv/app',
  ],
  ...['10,50,100', 'task_success_min=0.98', '22:00-04:00', 'mon-fri 01:00-05:30', '1.2.3-rc.1+b5'],
  ...['hall:b', '1.1.0=./old', '["f","bin/run",493,12,"00"]', `end ${'0a'.repeat(32)}`],
  ...['scrypt$16384$8$1$AAAA$BBBB', 'databases/control/0', `chunks/${'0a'.repeat(32)}`],
];

export async function wordsDoor(): Promise<Door> {
  const parsers: readonly ((text: string) => unknown)[] = [
    ...[parseTopic, chunkOfFilter, filterSweepsChunks, parseByteSize, parseRate, parseWindow],
    ...[parseWaves, parsePasswordHash, parseDeltaFrom, parseSealEntry, parseSealEnd],
    ...[readEntryName, parseRelease, parseDurationThereAndBack],
    (text) => parseBrokerUrls(text, 'read --broker'),
    (text) => [parseGates([text]), parseGateBounds([text]), parseWaveNumbers([text])],
    (text) => [parseRoots([text]), parseTags([text])],
    (text) => isVersion(text) && versionMeets(text, '1.0.0'),
  ];
  return {
    seeds: SEEDS.map(utf8),
    words: SEEDS,
    refusals: REFUSALS,
    batch: 128,
    open: (input) => {
      const text = new TextDecoder().decode(input);
      for (const parse of parsers) isTaken(REFUSALS, () => parse(text));
    },
  };
}

function parseDurationThereAndBack(text: string): void {
  const spanMs = parseDurationMs(text);
  if (parseDurationMs(formatDurationMs(spanMs)) === spanMs) return;
  throw new BrokenPromise(`${text} is ${spanMs} ms, which is written as another span`);
}
