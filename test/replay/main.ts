/** `npm run replay FILE`: prints each decision of a trace; exit 1 when one comes out otherwise now. */

import { LIMITS } from '../../shared/base/limits.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { readInput, runProgram } from '../../shared/io/cli.ts';
import { replayTrace } from './replay.ts';

await runProgram('replay', async () => {
  const [path = ''] = process.argv.slice(2);
  if (path === '' || path.startsWith('-')) {
    throw new DroverError('USAGE', 'read the words: want the file of a trace', {
      hint: 'npm run replay -- FILE; DROVER_TRACE=FILE of an agent or a broker records one',
    });
  }
  const text = new TextDecoder().decode(readInput(path, `trace ${path}`, LIMITS.traceBytesMax));
  const { lines, differ, unread } = replayTrace(text);
  for (const line of lines) process.stdout.write(`${line}\n`);
  const rest = unread === 0 ? '' : `, ${unread} lines not understood`;
  process.stdout.write(`${differ.length} decisions differ${rest}\n`);
  if (differ.length > 0) process.exitCode = 1;
});
