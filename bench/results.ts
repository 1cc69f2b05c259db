/** Appends a measurement to bench/RESULTS.md with what is needed to judge it later. */

import { execFileSync } from 'node:child_process';
import { appendFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Repository root, from dist/bench/. */
export const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Read when the run begins: a long one outlives commits that it does not measure. */
const COMMIT = describeCommit();

function describeCommit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: REPOSITORY, encoding: 'utf8' }).trim();
  const dirty =
    git('status', '--porcelain', '--', '.', ':!bench/RESULTS.md') === ''
      ? ''
      : ' with uncommitted changes';
  return `${git('rev-parse', '--short', 'HEAD')}${dirty}`;
}

export async function appendResult(
  title: string,
  command: string,
  table: { columns: readonly string[]; rows: readonly (readonly (string | number)[])[] },
): Promise<void> {
  const [cpu] = cpus();
  const text = [
    '',
    `## ${title}`,
    '',
    `- ${new Date().toISOString()}, commit ${COMMIT}`,
    `- ${cpus().length} x ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
    `- \`${command}\``,
    '',
    `| ${table.columns.join(' | ')} |`,
    `|${table.columns.map(() => '---').join('|')}|`,
    ...table.rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ].join('\n');
  console.log(text);
  await appendFile(join(REPOSITORY, 'bench/RESULTS.md'), text);
}
