/** `npm run replay FILE`: prints each decision of a trace; exit 1 when one comes out otherwise now. */

import { readFileSync } from 'node:fs';
import { replayTrace } from './replay.ts';

const [path = ''] = process.argv.slice(2);
if (path === '') {
  process.stderr.write('usage: npm run replay -- FILE (DROVER_TRACE=FILE records one)\n');
  process.exitCode = 2;
} else {
  const { lines, differ, unread } = replayTrace(readFileSync(path, 'utf8'));
  for (const line of lines) process.stdout.write(`${line}\n`);
  const rest = unread === 0 ? '' : `, ${unread} lines not understood`;
  process.stdout.write(`${differ.length} decisions differ${rest}\n`);
  if (differ.length > 0) process.exitCode = 1;
}
