import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeNotifier } from '../../../broker/rollout/notify.ts';
import type { AuditEntry } from '../../../broker/rollout/rollout-view.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const ENTRY: AuditEntry = {
  seq: 3,
  at: '2026-06-01T00:00:00.000Z',
  rollout: 'x-1',
  kind: 'halted',
  by: 'gate',
  text: 'halted in wave 1',
  wave: 1,
  threshold: 0.1,
  status: 'rolling_back',
  evidence: [],
};

async function program(t: TestContext, script: string): Promise<{ path: string; folder: string }> {
  const folder = await tempFolder(t);
  const path = join(folder, 'call');
  await writeFile(path, `#!/bin/sh\ncd ${folder}\n${script}\n`);
  await chmod(path, 0o755);
  return { path, folder };
}

const failure = (pattern: RegExp) => (error: unknown) =>
  error instanceof DroverError && error.code === 'NOTIFY_FAILED' && pattern.test(error.message);

test('the program gets the decision as JSON, and its kind and rollout in the environment', async (t) => {
  const { path, folder } = await program(
    t,
    'cat > got; echo "$DROVER_EVENT $DROVER_ROLLOUT" > env',
  );
  await makeNotifier(path)(ENTRY);
  assert.deepEqual(JSON.parse(await readFile(join(folder, 'got'), 'utf8')), ENTRY);
  assert.equal(await readFile(join(folder, 'env'), 'utf8'), 'halted x-1\n');
});

test('a program that reads nothing is not in the way', async (t) => {
  const { path } = await program(t, 'exit 0');
  await makeNotifier(path)({ ...ENTRY, text: 'x'.repeat(200_000) });
});

test('a program that fails or is missing is reported with its last output', async (t) => {
  const { path } = await program(t, 'echo "no route to pager" >&2; exit 3');
  await assert.rejects(makeNotifier(path)(ENTRY), failure(/exit 3: no route to pager/));
  await assert.rejects(makeNotifier(`${path}-gone`)(ENTRY), failure(/ENOENT/));
});
