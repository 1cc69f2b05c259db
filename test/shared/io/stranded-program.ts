/** A program whose work waits for what never comes; `stranded.test.ts` runs it. */

import { runProgram } from '../../../shared/io/cli.ts';

await runProgram('stranded', () => new Promise(() => {}));
