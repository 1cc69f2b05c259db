/** The policy of the transparency log, as robots and people name it on a command line. */

import { parseLogPolicy, type LogPolicy } from '../tlog/policy.ts';
import { readInput } from './cli.ts';

/** @throws DroverError FILE_UNREADABLE, DOCUMENT_TOO_LARGE, LOG_POLICY_INVALID */
export const readLogPolicy = (path: string): LogPolicy =>
  parseLogPolicy(readInput(path, `log policy ${path}`));
