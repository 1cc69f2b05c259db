/**
 * The output of commands, page by page: each `.txt` of this folder is run as it stands, and must
 * print the same. After an intended change, `DROVER_WRITE_TRANSCRIPTS=1` writes the pages again;
 * read the difference before it is committed.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { putPrograms } from '../helpers/printed-stage.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { asWritten, parseTranscript, writeTranscript, type Step } from './transcript.ts';

const PAGES = repositoryFile('test/cli');
const isWriting = process.env['DROVER_WRITE_TRANSCRIPTS'] === '1';

async function run(t: TestContext, steps: readonly Step[]): Promise<Step[]> {
  const home = await tempFolder(t);
  const bin = await putPrograms(home);
  const folder = join(home, 'site');
  await mkdir(folder);
  const env = {
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    ...{ DROVER_KEY: undefined, DROVER_API: undefined, DROVER_TOKEN: undefined },
    ...{ COLUMNS: '100', LC_ALL: 'C', TZ: 'UTC' },
  };
  const said: Step[] = [];
  for (const { command } of steps) {
    const child = startChild(t, 'bash', ['-c', `exec 2>&1; ${command}`], { cwd: folder, env });
    const { code } = await child.exit;
    said.push({ command, said: asWritten(child.stdout, { code, folder }) });
  }
  return said;
}

describe('a transcript', { concurrency: 2 }, () => {
  for (const name of readdirSync(PAGES).filter((file) => file.endsWith('.txt'))) {
    it(`${name} is what the programs print`, async (t) => {
      const path = join(PAGES, name);
      const text = readFileSync(path, 'utf8');
      const { head, steps } = parseTranscript(text);
      assert.ok(steps.length > 0, `${name} has no command`);
      const printed = await run(t, steps);
      if (isWriting) writeFileSync(path, writeTranscript(head, printed));
      else for (const [at, step] of printed.entries()) assert.deepEqual(step, steps[at]);
    });
  }
});
