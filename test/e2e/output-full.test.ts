/** Programs whose output goes to a full disk: they do their work, and say so where they can. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { freePort } from '../helpers/free-port.ts';
import { programFile, type DroverProgram } from '../helpers/program-file.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { Site } from './site.ts';

/** The words of a shell that runs a program with these redirections. */
const shell = (program: DroverProgram, args: readonly string[], to: string): string[] => [
  '-c',
  `exec "$0" "$@" ${to}`,
  process.execPath,
  programFile(program),
  ...args,
];
const BOTH = '> /dev/full 2> /dev/full';

describe('a program whose output goes to a full disk', () => {
  it('serves and updates all the same, as broker and as agent', async (t) => {
    const site = await Site.open(t);
    const [mqtt, http] = [await freePort(), await freePort()];
    const ports = ['--mqtt', String(mqtt), '--http', String(http)];
    const data = ['--data', site.path('data'), '--trust', site.path('trust.json')];
    const broker = startChild(t, 'sh', shell('broker', [...data, ...ports], BOTH));
    const isUp = async (): Promise<boolean> =>
      await fetch(`http://127.0.0.1:${http}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await waitUntil('the broker to answer', isUp);
    const url = `mqtt://127.0.0.1:${mqtt}`;
    const root = site.path('robot');
    const own = ['--id', 'r1', '--root', root, '--broker', url, '--hooks', site.path('no-hooks')];
    const trust = ['--trust', site.path('trust.json')];
    const agent = startChild(t, 'sh', shell('robot-client', [...own, ...trust], BOTH));
    await site.publish(url, await site.bundle('1.0.0'));
    await waitUntil('the update', () => existsSync(join(root, 'active/VERSION')));
    assert.equal(broker.ended, null, broker.describe());
    assert.equal(agent.ended, null, agent.describe());
    agent.kill('SIGTERM');
    await agent.exit;
    await rm(join(root, 'active'));
    const recover = startChild(t, 'sh', shell('robot-client', ['recover', '--root', root], BOTH));
    assert.ok([0, 3].includes((await recover.exit).code ?? -1), 'as its unit takes it');
    assert.equal(await readlink(join(root, 'active')), 'releases/1.0.0');
  });

  it('says that its answer was lost, with a code and without a stack', async (t) => {
    const site = await Site.open(t);
    const bundle = await site.bundle('1.0.0');
    const asked = startChild(t, 'sh', shell('publisher', ['inspect', bundle], '> /dev/full'));
    assert.equal((await asked.exit).code, 3, asked.describe());
    assert.match(asked.stderr, /^drover: error: write the answer: .*\(DISK_FULL\)$/m);
    assert.doesNotMatch(asked.stderr, / at .*\.js/);
    const early = startChild(t, 'sh', shell('publisher', ['inspect', bundle], '| true'));
    assert.equal((await early.exit).code, 0, early.describe());
  });
});
