/**
 * Shows the progress of a long transfer: a bar on a terminal, a line for each tenth in a pipe,
 * nothing with --json. It writes to stderr or through the Output, never into a result.
 */

import { SingleBar } from 'cli-progress';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import type { Output } from '../../shared/io/cli.ts';

export interface Meter {
  add(bytes: number): void;
  stop(): void;
}

const STEPS = 10;
/** A smaller transfer is over before anybody has read a line about it. */
const LINES_FROM_BYTES = 8 * 1024 * 1024;

const SILENT: Meter = { add: () => undefined, stop: () => undefined };

/** @param bytesTotal 100 %; 0 makes a meter that prints nothing */
export function makeMeter(output: Output, label: string, bytesTotal: number): Meter {
  if (output.json || bytesTotal === 0) return SILENT;
  if (process.stderr.isTTY) return barMeter(label, bytesTotal);
  return bytesTotal < LINES_FROM_BYTES ? SILENT : lineMeter(output, label, bytesTotal);
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

function lineMeter(output: Output, label: string, bytesTotal: number): Meter {
  const startedAtMs = Date.now();
  let done = 0;
  let told = 0;
  return {
    add: (bytes) => {
      done += bytes;
      const step = Math.min(STEPS, Math.floor((done / bytesTotal) * STEPS));
      if (step <= told) return;
      told = step;
      const rate = formatBytes(rateOf(done, startedAtMs));
      output.say(`${label} ${step * (100 / STEPS)}% of ${formatBytes(bytesTotal)}, ${rate}/s`);
    },
    stop: () => undefined,
  };
}
