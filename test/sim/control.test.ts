/** The control of the simulation: a broken controller must be found, or its worlds prove nothing. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const WORLDS = '8';

test('a controller that opens waves on approvals given early is found within eight worlds', async (t) => {
  const [broken, main] = ['./early-approvals.js', './main.js'].map((file) =>
    fileURLToPath(new URL(file, import.meta.url)),
  );
  assert.ok(broken !== undefined && main !== undefined);
  const child = spawn(process.execPath, ['--import', broken, main, WORLDS], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 1, printed);
  assert.match(printed, /no wave opens without a gate that passed/);
});
