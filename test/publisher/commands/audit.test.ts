/** `drover audit` as a process: how it refuses, and which limits of a check it names. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { retired } from '../../../broker/audit/decision.ts';
import { startApi } from '../../broker/api.ts';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const KEPT = '5a'.repeat(32);

/** Exit code and all lines of `drover audit`. */
async function audit(t: TestContext, ...words: readonly string[]): Promise<string> {
  const child = startDrover(t, 'publisher', ['audit', ...words]);
  const { code } = await child.exit;
  return `exit ${code}\n${child.stdout}${child.stderr}`;
}

it('a check and an export of the audit chain say what is missing, and what they cannot see', async (t) => {
  const folder = await tempFolder(t);
  const api = await startApi(t, {});
  for (const robot of ['r1', 'r2']) await api.audit.note(retired(robot, 'alice'));
  const file = (name: string): string => join(folder, name);
  const [whole, tail, none] = [file('whole'), file('tail'), file('none')];
  const from = ['--api', api.url, '--out'];
  const exported = await audit(t, 'export', ...from, whole);
  assert.match(exported, /^exit 0\n[^]*3 entries, 1 to 3/);
  const text = await readFile(whole, 'utf8');
  await writeFile(tail, text.slice(text.indexOf('\n') + 1));

  const [other, later, open, dash, newest, cut] = await Promise.all([
    audit(t, 'verify', whole, '--head', KEPT),
    audit(t, 'verify', tail, `--after=${KEPT}`),
    audit(t, 'verify', tail),
    audit(t, 'verify', '-'),
    audit(t, 'export', '--api', api.url, '--after', '3'),
    audit(t, 'export', ...from, none, '--after', '4'),
  ]);
  for (const one of [other, later]) {
    assert.match(one, new RegExp(`^exit 3\n[^]*the (?:hash|entry) ${KEPT}[^]*AUDIT_CUT`));
    assert.match(one, /hint: the export does not reach what you kept/);
  }
  assert.match(open, /^exit 0\n[^]*entries before 2 are not in it[^]*cut off at its end/);
  assert.doesNotMatch(exported, /entries before/);
  assert.match(dash, /^exit 2\n[^]*USAGE[^]*\/dev\/stdin/);
  assert.match(newest, /^exit 0\n.*no entry is newer than 3/);
  assert.match(cut, /^exit 3\n[^]*the chain ends with entry 3 \(got --after 4\) \(AUDIT_CUT\)/);
  await assert.rejects(readFile(none), { code: 'ENOENT' });
});
