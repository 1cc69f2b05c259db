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
  readonly logs: LogMode;
  readonly 'log-unit': readonly string[];
  readonly 'log-bytes': string;
}): LogRules {
  const units = given['log-unit'];
  if (units.length > LIMITS.failureLogUnitsMax) {
    const counts = `(got ${units.length}, want at most ${LIMITS.failureLogUnitsMax})`;
    throw new DroverError('USAGE', `read --log-unit: too many ${counts}`);
  }
  const bytesMax = parseByteSize(given['log-bytes']);
  if (bytesMax < LIMITS.failureLogBytesMin || bytesMax > LIMITS.failureLogBytesMax) {
    const want = `${formatBytes(LIMITS.failureLogBytesMin)} to ${formatBytes(LIMITS.failureLogBytesMax)}`;
    throw new DroverError('USAGE', `read --log-bytes: out of range (want ${want})`);
  }
  return { mode: given.logs, units: units.map(parseUnit), bytesMax };
}
