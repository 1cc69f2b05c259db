/**
 * `npm run bench -- uplink [MiB] [robots]`: cloud and two sites behind relays in network namespaces,
 * and how often a bundle crossed each site's cable. Default 100 MiB and 20 robots on each site; the
 * promise is at most 1.05 times, both ways and reports of robots included. Needs root.
 */

import type { Scope } from '../test/helpers/scope.ts';
import { runUplink } from '../test/e2e/uplink-stage.ts';
import { appendResult } from './results.ts';

const MiB = 1024 * 1024;
const RATIO_MAX = 1.05;
const TIMEOUT_MS = 900_000;

export async function benchUplink(args: readonly string[]): Promise<void> {
  const [mebibytes, robotsPerSite] = [Number(args[0] ?? 100), Number(args[1] ?? 20)];
  const after: (() => void | Promise<void>)[] = [];
  const scope: Scope = { after: (run) => void after.push(run) };
  try {
    const size = { mebibytes, robotsPerSite, timeoutMs: TIMEOUT_MS };
    const { sites, seconds, ratio } = await runUplink(scope, size);
    const rows = sites.map(({ name, traffic }) => [
      `site-${name}`,
      (traffic.down / MiB).toFixed(2),
      (traffic.up / MiB).toFixed(2),
      ((traffic.down + traffic.up) / (mebibytes * MiB)).toFixed(4),
      `<= ${RATIO_MAX}`,
      seconds.toFixed(0),
    ]);
    const command = `npm run bench -- uplink ${mebibytes} ${robotsPerSite}`;
    const columns = ['cable of', 'MiB down', 'MiB up', 'times the bundle', 'promise', 'seconds'];
    const title = `${mebibytes} MiB over the cables of two sites, ${robotsPerSite} robots on each`;
    await appendResult(title, command, { columns, rows });
    if (ratio > RATIO_MAX) throw new Error('a cable carried more than is promised');
  } finally {
    for (const run of after.reverse()) await run();
  }
}
