/** The log of an update, with files: when it is kept, what survives, what a full disk costs. */

import assert from 'node:assert/strict';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { decideLog } from '../../../robot-client/logs/keep-rule.ts';
import { AskBudget } from '../../../robot-client/logs/log-desk.ts';
import { LogLines } from '../../../robot-client/logs/log-lines.ts';
import { UpdateLog } from '../../../robot-client/logs/update-log.ts';
import { parseUnit, readJournal } from '../../../robot-client/logs/journal.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { step, type MachineEvent } from '../../../robot-client/update/machine.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { unpackLog } from '../../../shared/io/packed-log.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { faultyDisk } from '../faulty-disk.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const world = makeWorld();

function jobOf(version: string, rollout: string): Job {
  const announced = announce(world, [makeRollout(world, { version })]);
  const { verdict } = decideOffer(announced, factsOf(world));
  if (verdict.kind !== 'take') throw new Error('the world is broken');
  return { ...verdict.job, rollout };
}

const problem = { code: 'HEALTH_FAILED', message: 'no camera', hint: '' } as const;
const toProbation = (job: Job): MachineEvent[] => [
  { kind: 'offered', job },
  { kind: 'fits' },
  { kind: 'downloaded' },
  { kind: 'intact' },
  { kind: 'staged' },
  { kind: 'ready', previousVersion: '1.0.0' },
  { kind: 'swapped' },
];

/** A machine whose steps a log follows, as those of a component. */
async function robot(t: Scope, disk: Disk = realDisk, isHandedOver = true) {
  const root = await tempFolder(t);
  await mkdir(join(root, 'state'));
  let state: MachineState = freshState();
  const open = (): UpdateLog =>
    new UpdateLog({
      ...{
        component: 'app',
        layout: layoutOf(root),
        disk,
        units: [],
        bytesMax: 4_096,
        isHandedOver,
      },
      ...{ log: makeLog('test', 'silent'), now: () => NOW, onKept: () => undefined },
    });
  let log = open();
  return {
    folder: join(root, 'state/logs'),
    state: join(root, 'state'),
    get log() {
      return log;
    },
    restart: () => (log = open()),
    /** As `recover` does it: no agent sees the event. */
    unseen: (event: MachineEvent) => (state = step(state, event, NOW).state),
    play: async (...events: MachineEvent[]) => {
      for (const event of events) {
        const before = state;
        state = step(state, event, NOW).state;
        await log.follow({ before, event, after: state });
      }
    },
  };
}

const textOf = async ({ log }: { log: UpdateLog }): Promise<string> =>
  log.newest ? await unpackLog(log.newest.packed) : '';

describe('the log of an update', () => {
  it('is kept with what hooks printed at the step that fails, before the next one', async (t) => {
    const one = await robot(t);
    await one.play(...toProbation(jobOf('1.1.0', 'one')));
    one.log.output('hook health', 'camera is gone\nTOKEN=abcdefgh');
    one.log.output('hook health', 'camera is gone\nTOKEN=abcdefgh');
    assert.equal(one.log.newest, null);
    await one.play({ kind: 'unhealthy', problem });
    const text = await textOf(one);
    assert.match(text, /^\{"component":"app","rollout":"one","version":"1\.1\.0","code":"HEALTH_/);
    assert.match(text, /hook health printed \n {4}camera is gone\n {4}TOKEN=\[redacted\]\n/);
    assert.match(text, /the same 1 more times/);
    assert.deepEqual(await readdir(one.folder), ['0001-one.gz']);
    assert.equal(one.log.told?.code, 'HEALTH_FAILED');
  });

  it('survives a start between output and failure, and a way back that no agent saw', async (t) => {
    const one = await robot(t);
    await one.play(...toProbation(jobOf('1.1.0', 'one')));
    one.log.output('module slots switch', 'kernel said no');
    await one.play({ kind: 'power_returned', by: 'agent' });
    one.restart();
    one.unseen({ kind: 'boots_exhausted', problem: { ...problem, code: 'BOOT_LIMIT_REACHED' } });
    one.unseen({ kind: 'rolled_back' });
    await one.play({ kind: 'power_returned', by: 'agent' });
    assert.match(await textOf(one), /"code":"BOOT_LIMIT_REACHED"[^]*kernel said no/);
    one.restart();
    await one.play({ kind: 'power_returned', by: 'agent' });
    assert.deepEqual(await readdir(one.folder), ['0001-one.gz'], 'it is kept once');
  });

  it('is replaced when the way back of the same update fails too', async (t) => {
    const one = await robot(t);
    await one.play(...toProbation(jobOf('1.1.0', 'one')), { kind: 'unhealthy', problem });
    one.log.output('hook start', 'the old one does not start either');
    await one.play({ kind: 'rollback_failed', problem: { ...problem, code: 'ROLLBACK_FAILED' } });
    assert.deepEqual(await readdir(one.folder), ['0002-one.gz']);
    assert.match(await textOf(one), /ROLLBACK_FAILED[^]*does not start either/);
  });

  it('is promised in no report where it stays on the robot', async (t) => {
    const one = await robot(t, realDisk, false);
    await one.play(...toProbation(jobOf('1.1.0', 'one')), { kind: 'unhealthy', problem });
    assert.deepEqual(await readdir(one.folder), ['0001-one.gz']);
    assert.equal(one.log.told, null);
  });

  it('is one of the last few, and not kept of an update that went well', async (t) => {
    const one = await robot(t);
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      const ending: MachineEvent[] = [{ kind: 'unhealthy', problem }, { kind: 'rolled_back' }];
      await one.play(...toProbation(jobOf('1.1.0', name)), ...ending);
    }
    await one.play(...toProbation(jobOf('1.2.0', 'well')), { kind: 'healthy' });
    const names = await readdir(one.folder);
    assert.deepEqual(names, ['0003-c.gz', '0004-d.gz', '0005-e.gz']);
  });

  it('is given up on a disk that is full, and the update does not notice', async (t) => {
    let isFull = false;
    const disk = faultyDisk(({ name }) => {
      if (isFull && name === 'write') throw new DroverError('DISK_FULL', 'write: no space');
    });
    const one = await robot(t, disk);
    await one.play(...toProbation(jobOf('1.1.0', 'one')), { kind: 'unhealthy', problem });
    await one.play({ kind: 'rolled_back' });
    isFull = true;
    await one.play(...toProbation(jobOf('1.2.0', 'two')), { kind: 'unhealthy', problem });
    await one.play({ kind: 'rolled_back' });
    const left = await readdir(one.state);
    assert.ok(!left.includes('logs') && !left.some((name) => name.endsWith('.new')), left.join());
  });

  it('writes only the log of the update, without secrets', async (t) => {
    const one = await robot(t);
    await one.play(...toProbation(jobOf('1.1.0', 'one')));
    one.log.output('hook start', 'password: abcdefgh');
    await one.play({ kind: 'well' });
    assert.deepEqual(await readdir(one.state), ['update-log']);
    const text = await readFile(join(one.state, 'update-log'), 'utf8');
    assert.match(text, /password: \[redacted\]/);
  });
});

describe('a log is not kept', () => {
  const job = jobOf('1.1.0', 'one');
  const before = { ...freshState(), phase: 'checking' as const, job };
  const failureOf = (from: MachineState, event: MachineEvent) =>
    decideLog(null, { before: from, event, after: step(from, event, NOW).state }).failure;

  it('of a rollout that does not fit the robot, nor of one that is tried again', () => {
    assert.equal(failureOf(before, { kind: 'refused', problem }), null);
    const full = { ...problem, code: 'DISK_FULL' as const };
    assert.equal(
      failureOf({ ...before, phase: 'staging' }, { kind: 'refused', problem: full }),
      null,
    );
    const bad = { ...problem, code: 'PAYLOAD_HASH_MISMATCH' as const };
    const kept = failureOf({ ...before, phase: 'verifying' }, { kind: 'refused', problem: bad });
    assert.equal(kept?.code, 'PAYLOAD_HASH_MISMATCH');
  });

  it('of a rollout that people took back', () => {
    const installed = { ...freshState(), installed: job };
    const recalled = { ...problem, code: 'ROLLOUT_RECALLED' as const };
    assert.equal(failureOf(installed, { kind: 'recalled', problem: recalled }), null);
  });
});

describe('the bounds of a log', () => {
  it('keep whole lines from the end', () => {
    const lines = new LogLines('', 1_000);
    for (let at = 0; at < 500; at += 1) lines.say('info', { at }, 'step', NOW);
    assert.ok(lines.text.length <= 1_000);
    assert.match(lines.text, /^\[lines before .*\]\n\d{4}-[^]*\{"at":499\}\n$/);
  });

  it('allow a few requests at once and then one in ten minutes', () => {
    const budget = new AskBudget();
    const taken = (now: number, count: number): number =>
      Array.from({ length: count }, () => budget.take(now)).filter(Boolean).length;
    assert.equal(taken(0, 100), LIMITS.failureLogAsksMax);
    assert.equal(taken(LIMITS.failureLogAskMs - 1, 100), 0);
    assert.equal(taken(3 * LIMITS.failureLogAskMs, 100), 3);
  });

  it('has why the system refuses to start journalctl', async (t) => {
    const folder = await tempFolder(t);
    const path = process.env['PATH'];
    t.after(() => void (process.env['PATH'] = path));
    process.env['PATH'] = folder;
    await writeFile(join(folder, 'journalctl'), '#!/bin/sh\n', { mode: 0o755 });
    const busy = await open(join(folder, 'journalctl'), 'r+'); // ETXTBSY, which Node throws
    t.after(() => busy.close());
    const [section] = await readJournal({ units: ['app.service'], isOtherBoot: false });
    assert.match(section?.text ?? '', /could not be read: .*ETXTBSY/);
  });

  it('is a unit that journalctl cannot take for an option', () => {
    assert.equal(parseUnit('robot-app@1.service'), 'robot-app@1.service');
    for (const bad of ['--file=/etc/shadow', '', 'a b', 'x\ny', '../x'])
      assertRefused('USAGE', () => parseUnit(bad));
  });
});
