import assert from 'node:assert/strict';
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { runEffect } from '../../../robot-client/update/effects.ts';
import type { EffectContext } from '../../../robot-client/update/effect-context.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { afterRollback } from '../../../robot-client/update/endings.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { announce, factsOf, makeRollout, makeWorld } from '../world.ts';

const world = makeWorld();

function makeJob(): Job {
  const offer = announce(world, [makeRollout(world, { version: '1.1.0' })]);
  const { verdict } = decideOffer(offer, factsOf(world));
  assert.ok(verdict.kind === 'take');
  return verdict.job;
}

async function contextOf(t: TestContext, disk: Disk, state: MachineState): Promise<EffectContext> {
  const root = await tempFolder(t);
  return {
    component: 'app',
    layout: layoutOf(root),
    disk,
    link: {
      isUp: false,
      subscribeChunks: () => {},
      unsubscribeChunks: () => {},
      wantChunks: () => {},
      attach: () => () => {},
    },
    trust: world.trust,
    hooksFolder: `${root}/hooks`,
    bytesPerSecondMax: null,
    signal: new AbortController().signal,
    now: Date.now,
    confirmed: new Promise(() => {}),
    state: () => state,
    onProgress: () => {},
    onWaiting: () => {},
    readySaid: () => null,
  };
}

describe('the check before a download', () => {
  it('refuses with the bytes that are missing when the disk is too small [P-10.4]', async (t) => {
    const small: Disk = { ...realDisk, free: async () => ({ bytes: 1_000, inodes: 1_000 }) };
    const job = makeJob();
    const event = await runEffect({ kind: 'check', job }, await contextOf(t, small, freshState()));
    assert.equal(event?.kind, 'refused');
    assert.ok(event && 'problem' in event);
    assert.equal(event.problem.code, 'DISK_SPACE_SHORT');
    assert.match(event.problem.message, /got 1000 bytes free, want \d+/);
  });

  it('counts the payload, what it unpacks to, and a reserve', async (t) => {
    const job = { ...makeJob(), payloadBytes: 1_000_000, tarBytes: 5_000_000 };
    for (const [bytes, kind] of [
      [38_000_000, 'refused'],
      [40_000_000, 'fits'],
    ] as const) {
      const disk: Disk = { ...realDisk, free: async () => ({ bytes, inodes: 1_000 }) };
      const event = await runEffect({ kind: 'check', job }, await contextOf(t, disk, freshState()));
      assert.equal(event?.kind, kind);
    }
  });
});

describe('the verification of what was received', () => {
  it('asks for one more download, then gives the bundle up', async (t) => {
    const job = { ...makeJob(), payloadBytes: 3 };
    for (const [corruptCount, kind] of [
      [0, 'corrupt'],
      [1, 'refused'],
    ] as const) {
      const counted = { ...job, corruptCount };
      const state: MachineState = { ...freshState(), phase: 'verifying', job: counted };
      const context = await contextOf(t, realDisk, state);
      const folder = `${context.layout.staging}/${job.payloadSha256.slice(0, 32)}`;
      await realDisk.mkdir(folder);
      const file = await realDisk.open(`${folder}/payload.tar.gz`, 'create');
      await file.write(Buffer.from('bad'), 0);
      await file.close();
      const event = await runEffect({ kind: 'verify', job: counted }, context);
      assert.equal(event?.kind, kind);
      assert.ok(event && 'problem' in event);
      assert.equal(event.problem.code, 'PAYLOAD_HASH_MISMATCH');
    }
  });
});

describe('a version on trial that is healthy', () => {
  for (const [what, harm, kind] of [
    ['is whole', async () => {}, 'healthy'],
    [
      'wrote a file of its own anew',
      (tree: string) => writeFile(`${tree}/conf`, 'mine'),
      'healthy',
    ],
    ['removed a file of its own', (tree: string) => rm(`${tree}/conf`), 'healthy'],
    ['emptied one', (tree: string) => writeFile(`${tree}/conf`, ''), 'healthy'],
    [
      'removed each of its files',
      async (tree: string) => {
        for (const name of await readdir(tree)) await rm(`${tree}/${name}`, { recursive: true });
      },
      'unhealthy',
    ],
    ['removed its program', (tree: string) => rm(`${tree}/bin`, { recursive: true }), 'unhealthy'],
  ] as const) {
    it(`is ${kind === 'healthy' ? '' : 'not '}confirmed when it ${what}`, async (t) => {
      const job = makeJob();
      const context = await contextOf(t, realDisk, freshState());
      const tree = await makeSealedRelease(context.layout, job.version, { conf: 'as packed' });
      await symlink(`releases/${job.version}`, context.layout.active);
      await harm(tree);
      const event = await runEffect({ kind: 'probe', job }, context);
      assert.equal(event?.kind, kind);
      if (event?.kind === 'unhealthy') assert.equal(event.problem.code, 'RELEASE_DAMAGED');
    });
  }
});

describe('a version that goes back', () => {
  it('stays as it is while its stop hook may not be run, and is stopped before another starts', async (t) => {
    const job = { ...makeJob(), previousVersion: '1.0.0' };
    const state: MachineState = { ...freshState(), phase: 'rolling_back', job };
    const context = await contextOf(t, realDisk, state);
    const { hooksFolder, layout } = context;
    for (const version of ['1.0.0', '1.1.0']) await makeSealedRelease(layout, version);
    await symlink('releases/1.1.0', layout.active);
    await symlink('releases/1.0.0', layout.rollback);
    await mkdir(hooksFolder);
    const said = `${layout.root}/said`;
    for (const name of ['stop', 'start']) {
      const text = `#!/bin/sh\necho ${name} "$DROVER_VERSION" >>${said}\n`;
      await writeFile(`${hooksFolder}/${name}`, text, { mode: 0o755 });
    }
    const rollBack = () => runEffect({ kind: 'rollBack', job, inMs: 0 }, context);

    await chmod(hooksFolder, 0o777);
    const held = await rollBack();
    assert.equal(held?.kind, 'rollback_failed');
    assert.ok(held && 'problem' in held);
    assert.match(held.problem.message, /^stop 1\.1\.0: hook stop: .*: chmod go-w \S+$/);
    assert.equal(await readlink(layout.active), 'releases/1.1.0');

    await chmod(hooksFolder, 0o755);
    assert.equal((await rollBack())?.kind, 'rolled_back');
    assert.equal(await readFile(said, 'utf8'), 'stop 1.1.0\nstart 1.0.0\n');
    assert.equal(await readlink(layout.active), 'releases/1.0.0');
  });

  it('is not blocked when a folder that is left out of PATH made its hook fail', () => {
    for (const [code, blocked] of [
      ['PATH_UNSAFE', 0],
      ['HOOK_FAILED', 1],
    ] as const) {
      const job = { ...makeJob(), cause: toProblem(new DroverError(code, 'start 1.1.0')) };
      const state: MachineState = { ...freshState(), phase: 'rolling_back', job };
      assert.equal(afterRollback(state, '1.0.0', 1).blocked.length, blocked, code);
    }
  });
});
