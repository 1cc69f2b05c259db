/** Options of the agent about the logs of failed updates, and how they are read. */

import type { Argv } from 'yargs';
import { formatBytes, parseByteSize } from '../../shared/base/byte-sizes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { parseUnit } from '../logs/journal.ts';
import { LOG_MODES, LOG_RULES, type LogMode, type LogRules } from '../logs/log-desk.ts';

export const withLogs = <T>(args: Argv<T>) =>
  args
    .option('logs', {
      choices: LOG_MODES,
      default: LOG_RULES.mode,
      describe: 'hand the log of a failed update over: never, when asked, or at once',
    })
    .option('log-unit', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'systemd unit whose journal belongs to such a log; repeatable',
    })
    .option('log-bytes', {
      ...TEXT,
      default: `${LOG_RULES.bytesMax / 1024}K`,
      describe: 'size of one such log, compressed, such as 256K',
    });

/** @throws DroverError USAGE */
export function parseLogRules(given: {
  readonly mode: LogMode;
  readonly units: readonly string[];
  readonly bytes: string;
}): LogRules {
  const { failureLogUnitsMax, failureLogBytesMin, failureLogBytesMax } = LIMITS;
  if (given.units.length > failureLogUnitsMax) {
    const counts = `(got ${given.units.length}, want at most ${failureLogUnitsMax})`;
    throw new DroverError('USAGE', `read --log-unit: too many ${counts}`);
  }
  const bytesMax = parseByteSize(given.bytes);
  if (bytesMax < failureLogBytesMin || bytesMax > failureLogBytesMax) {
    const want = `${formatBytes(failureLogBytesMin)} to ${formatBytes(failureLogBytesMax)}`;
    throw new DroverError('USAGE', `read --log-bytes: out of range (want ${want})`);
  }
  return { mode: given.mode, units: given.units.map(parseUnit), bytesMax };
}
