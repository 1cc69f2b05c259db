/**
 * Shows the progress of a long transfer as a bar on a terminal, on stderr. It prints nothing in a
 * pipe, and nothing with --json: standard output holds the result alone.
 */

import { SingleBar } from 'cli-progress';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import type { Output } from '../../shared/io/cli.ts';

export interface Meter {
  add(bytes: number): void;
  stop(): void;
}

const SILENT: Meter = { add: () => undefined, stop: () => undefined };

/** @param bytesTotal 100 %; 0 makes a meter that prints nothing */
export function makeMeter(output: Output, label: string, bytesTotal: number): Meter {
  if (output.json || bytesTotal === 0 || !process.stderr.isTTY) return SILENT;
  return barMeter(label, bytesTotal);
}

function barMeter(label: string, bytesTotal: number): Meter {
  const startedAtMs = Date.now();
  const bar = new SingleBar({
    format: `${label.padEnd(10)} {bar} {percentage}% | {done} of ${formatBytes(bytesTotal)} | {rate}/s | {eta_formatted} left`,
    barsize: 24,
    hideCursor: true,
    etaBuffer: 50,
  });
  let done = 0;
  bar.start(bytesTotal, 0, { done: formatBytes(0), rate: formatBytes(0) });
  return {
    add: (bytes) => {
      done += bytes;
      bar.update(Math.min(done, bytesTotal), {
        done: formatBytes(done),
        rate: formatBytes(rateOf(done, startedAtMs)),
      });
    },
    stop: () => bar.stop(),
  };
}

/** Bytes per second since the start. */
function rateOf(bytes: number, startedAtMs: number): number {
  return Math.round(bytes / Math.max(0.001, (Date.now() - startedAtMs) / 1000));
}
