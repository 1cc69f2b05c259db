/**
 * The first table of docs/recovery.md, row by row: real robots are brought into what a row says,
 * and what it prints is typed. In the end all of them take the next version.
 */

import assert from 'node:assert/strict';
import { cp, readFile, readlink, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { canMount, mounts, remount, untilHeard } from './mounted-roots.ts';
import { Site, type Robot } from './site.ts';

const KEPT_FREE_BYTES = 20 * 1024 * 1024;

/** A row that another test tries with real agents: its file and a part of its name. */
type Elsewhere = readonly [file: string, name: string];

interface Stand {
  readonly robot: Robot;
  readonly broker: BrokerChild;
  /** Types the nth command of `drover-robot` in the row. */
  type(nth: number, version?: string): Promise<{ code: number | null; said: string }>;
}

type Trial = (on: Stand) => Promise<void>;

const untilTold = async ({ robot, broker }: Stand, code: string | null): Promise<void> =>
  untilHeard([robot, broker], 'app', code);

const afterPowerCut: Trial = async ({ robot, type }) => {
  await robot.kill();
  await rm(join(robot.root, 'active'));
  const { code, said } = await type(0);
  assert.equal(code, 0, said);
  assert.match(await readlink(join(robot.root, 'active')), /^releases\/1\.[01]\.0$/);
  robot.start();
};

const agentOff: Trial = async ({ robot }) => {
  const explain = async (): Promise<string> => {
    const child = startDrover({ after: () => {} }, 'robot-client', [
      'explain',
      '--root',
      robot.root,
    ]);
    await child.exit;
    return child.stdout;
  };
  await robot.kill();
  assert.match(await explain(), /the agent is not running/);
  robot.start();
  await robot.runs('1.1.0');
  assert.doesNotMatch(await explain(), /the agent is not running/);
};

const plainFolder: Trial = async (on) => {
  const { robot, type } = on;
  const active = join(robot.root, 'active');
  await robot.kill();
  await cp(join(robot.root, 'releases/1.1.0'), `${active}.copy`, { recursive: true });
  await rm(active);
  await rename(`${active}.copy`, active);
  robot.start();
  await untilTold(on, 'SLOT_FOLDER');
  await robot.kill();
  const { code, said } = await type(0);
  assert.equal(code, 0, said);
  robot.start();
  await untilTold(on, null);
};

/** The name of a link on the way has a byte that is no UTF-8. */
const strangeName: Trial = async (on) => {
  const { root } = on.robot;
  const active = join(root, 'active');
  await on.robot.kill();
  const release = await readlink(active);
  await symlink(release, Buffer.from(`${root}/caf\xe9`, 'latin1'));
  await rm(active);
  await symlink(Buffer.from('caf\xe9', 'latin1'), active);
  on.robot.start();
  await untilTold(on, 'SLOT_NOT_UTF8');
  await symlink(release, join(root, 'next'));
  await rename(join(root, 'next'), active);
  await untilTold(on, null);
};

/** Waits with the next update, which is announced to all at the end. */
const shortOfRoom: Trial = async ({ robot }) => {
  const { bavail, bsize } = await statfs(robot.root);
  const bytes = Number(bavail) * Number(bsize) - KEPT_FREE_BYTES;
  await writeFile(join(robot.root, 'filler'), Buffer.alloc(bytes, 1));
};

const readOnly: Trial = async (on) => {
  const { robot } = on;
  remount(robot.root, 'ro');
  await untilTold(on, 'DISK_READ_ONLY');
  remount(robot.root, 'rw');
  await untilTold(on, null);
};

const lostFile: Trial = async (on) => {
  const { robot, type } = on;
  await rm(join(robot.root, 'releases/1.1.0/bin/app'));
  await robot.kill();
  robot.start();
  await untilTold(on, 'RELEASE_DAMAGED');
  await robot.kill();
  const { said } = await type(0);
  assert.match(said, /boots 1\.0\.0/);
  assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.0.0');
  robot.start();
  await robot.runs('1.0.0');
};

const severalReleases: Trial = async ({ robot, type }) => {
  await robot.kill();
  for (const name of ['active', 'rollback', 'state'])
    await rm(join(robot.root, name), { recursive: true });
  const first = await type(0);
  assert.equal(first.code, 3, first.said);
  assert.match(first.said, /1\.0\.0.*1\.1\.0|1\.1\.0.*1\.0\.0/s);
  const second = await type(1, '1.1.0');
  assert.equal(second.code, 0, second.said);
  assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.1.0');
  robot.start();
};

/** It failed 1.1.0 already; now the fault is repaired. */
const blocked: Trial = async ({ robot, type }) => {
  await robot.hook('health', 'exit 0');
  const { code, said } = await type(0, '1.1.0');
  assert.equal(code, 0, said);
  await robot.runs('1.1.0', 60_000);
};

const lostState: Trial = async ({ robot }) => {
  await robot.kill();
  await rm(join(robot.root, 'state'), { recursive: true });
  robot.start();
  await robot.runs('1.1.0', 60_000);
};

const ROWS: readonly (readonly [start: string, trial: Trial | Elsewhere])[] = [
  ['the application does not start', afterPowerCut],
  ['`explain` says `the agent is not running`', agentOff],
  ['`SLOT_SHARED`', ['../robot-client/install/slot-links', 'stops an update before anything']],
  ['`SLOT_NOT_UTF8`', strangeName],
  ['`ROOT_NOT_UTF8`', ['../robot-client/commands/given-roots', 'whose name is not UTF-8']],
  ['another code that begins with `SLOT_`', plainFolder],
  ['`DISK_SPACE_SHORT`, `DISK_FULL`', shortOfRoom],
  ['`DISK_READ_ONLY`', readOnly],
  ['`RELEASE_DAMAGED`, `RELEASE_LOST`', lostFile],
  ['`RELEASE_DAMAGED`, `RELEASE_LOST`', severalReleases],
  ['`ROLLBACK_FAILED`', ['way-back', 'recalled, which runs well, until it is repaired']],
  ['a version is blocked', blocked],
  ['`ACTIVE_CHANGED`', ['way-back', 'when a person took it back by hand']],
  ['`STATE_LOST`', lostState],
  ['`NOT_A_FILE`', ['../robot-client/recover/in-the-way', 'to be moved away, and leaves it']],
  ['`PERMISSION_DENIED`', ['../robot-client/install/forbidden.slow', 'names user and path']],
  ['`ROBOT_ALREADY_RUNNING`', ['one-agent', 'is refused by whatever way it comes']],
  ['`ROOT_NOT_MOUNTED`', ['mount-order', 'an agent that starts before the mount waits for it']],
  ['`ROOT_REPLACED`', ['unmounted-root', 'goes on when it is mounted again']],
  ['`ROBOT_ID_TWICE`', ['robot-twins', 'are noticed by the broker and by both robots']],
  [
    '`AGENT_FELL_BACK`',
    ['../robot-client/self/launch-script.slow', 'again when a person removes the counts'],
  ],
  ['`MEMBER_AWAY`', ['../robot-client/members/leader-start', 'is shown first, then stored']],
  [
    'no agent runs at all',
    ['../robot-client/self/launch-script.slow', 'where drover-agent is no component'],
  ],
  ['`TRUST_EXPIRED`', ['robot-trust-end', 'whose trust.json ends is reported before']],
  ['`TRUST_EXPIRED`, `TRUST_LOST`', ['trust-rotation', 'when trust.json of a robot is lost']],
];

interface Row {
  readonly seen: string;
  /** Words of each command of `drover-robot` that the row prints. */
  readonly commands: readonly (readonly string[])[];
}

async function readTable(): Promise<Row[]> {
  const page = await readFile(repositoryFile('docs/recovery.md'), 'utf8');
  const [, part = ''] = page.split('## In front of a robot');
  const [table = ''] = part.split('\n## ');
  return table
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| what you see'))
    .map((line) => {
      const [, seen = '', what = ''] = line.split('|').map((cell) => cell.trim());
      const commands = [...what.matchAll(/`drover-robot ([^`]+)`/g)];
      return { seen, commands: commands.map(([, words = '']) => words.split(' ')) };
    })
    .filter(({ seen }) => seen !== 'another code');
}

test('each row of the table has a trial', async () => {
  for (const { seen } of await readTable())
    assert.ok(
      ROWS.some(([start]) => seen.startsWith(start)),
      seen,
    );
  for (const [start, trial] of ROWS) {
    if (typeof trial === 'function') continue;
    const text = await readFile(repositoryFile(`test/e2e/${trial[0]}.test.ts`), 'utf8');
    assert.ok(text.includes(trial[1]), `${start}: ${trial.join(': ')}`);
  }
});

test('the commands of the table bring each robot back, and the next version reaches all', async (t) => {
  if (!canMount(t)) return;
  const [table, disks] = [await readTable(), mounts(t)];
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const trials = ROWS.filter((row): row is [string, Trial] => typeof row[1] === 'function');
  const stands: (readonly [Trial, Stand])[] = [];
  for (const [nth, [start, trial]] of trials.entries()) {
    const id = `t${nth}`;
    if (trial === readOnly || trial === shortOfRoom) await disks.tmpfs(site.path(id), 'size=96m');
    const robot = site.robot(id, broker.url);
    const row = table.find(({ seen }) => seen.startsWith(start));
    const type: Stand['type'] = async (at, version = '') => {
      const words = (row?.commands[at] ?? []).map((word) =>
        word.replace(/^DIR$/, robot.root).replace(/^VERSION$/, version),
      );
      const child = startDrover(t, 'robot-client', words);
      const { code } = await child.exit;
      return { code, said: child.describe() };
    };
    stands.push([trial, { robot, broker, type }]);
  }
  await site.publish(broker.url, await site.bundle('1.0.0'));
  for (const [trial, { robot }] of stands) {
    await robot.runs('1.0.0', 60_000);
    if (trial === blocked)
      await robot.hook('health', 'if [ "$DROVER_VERSION" = 1.1.0 ]; then exit 70; fi');
  }
  await site.publish(broker.url, await site.bundle('1.1.0'));
  for (const [trial, { robot }] of stands) {
    if (trial !== blocked) await robot.runs('1.1.0', 60_000);
    else await robot.until('gave 1.1.0 up', (s) => s.blocked.includes('1.1.0'), 60_000);
  }
  for (const [trial, stand] of stands) await trial(stand);
  await site.publish(broker.url, await site.bundle('1.2.0'));
  for (const [trial, stand] of stands) {
    if (trial === shortOfRoom) {
      await untilTold(stand, 'DISK_SPACE_SHORT');
      await rm(join(stand.robot.root, 'filler'));
    }
    await stand.robot.runs('1.2.0', 90_000);
  }
  await waitUntil('the fleet to know it', async () => {
    const answer = await fetch(`${broker.httpUrl}/robots`);
    const { robots } = (await answer.json()) as { robots: { version: string }[] };
    return robots.length === stands.length && robots.every((one) => one.version === '1.2.0');
  });
});
