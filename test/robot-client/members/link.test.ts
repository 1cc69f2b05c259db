/**
 * The link between two computers of a robot: the peers that it accepts, and the bytes that it
 * passes on.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { AgentSide } from '../../../robot-client/members/computers.ts';
import { LeaderSide } from '../../../robot-client/members/leader.ts';
import { encodeReport, parseNews } from '../../../robot-client/members/messages.ts';
import {
  makePairFile,
  readPairFile,
  readPairFolder,
  type Pair,
} from '../../../robot-client/members/pair-file.ts';
import { MemberDesk } from '../../../robot-client/members/member-desk.ts';
import { ReportFile } from '../../../robot-client/members/report-file.ts';
import { LeaderLink } from '../../../robot-client/members/secure-link.ts';
import type { PullListener } from '../../../robot-client/update/download.ts';
import { SetBoard } from '../../../robot-client/update/set-board.ts';
import { encodeMachineState, freshState } from '../../../robot-client/update/state.ts';
import { parseRobotId, type Sha256Hex } from '../../../shared/base/ids.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const ROBOT = parseRobotId('amr');
const CHUNK = utf8('a chunk of the fleet');
const EPOCH = '0123456789abcdef';

/** A leader whose fleet has one chunk, and counts how often it is asked for. */
async function stage(t: TestContext) {
  const folder = await tempFolder(t);
  const pairs = join(folder, 'members');
  await mkdir(pairs);
  const path = join(pairs, 'perception.json');
  await makePairFile(path, { robot: ROBOT, computer: 'perception', components: ['vision'] });
  const asked: Sha256Hex[] = [];
  const listeners = new Set<PullListener>();
  const log = makeLog('test', 'silent');
  const leader = new LeaderSide({
    ...{ robot: ROBOT, pairs: readPairFolder(pairs, ROBOT, ['app']).pairs, disk: realDisk, log },
    ...{ listen: { host: '127.0.0.1', port: 0 }, folder: join(folder, 'state'), arch: 'x86_64' },
    compatible: [],
  });
  const side: AgentSide = {
    board: new SetBoard(leader),
    pulls: {
      isUp: true,
      subscribeChunks: (hashes) => {
        asked.push(...hashes);
        const bytes = hashes.includes(sha256Hex(CHUNK)) ? CHUNK : utf8('other bytes');
        for (const one of listeners) one.onChunk(sha256Hex(bytes), bytes).catch(assert.ifError);
      },
      unsubscribeChunks: () => {},
      wantChunks: () => {},
      attach: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    heard: () => ({ progress: new Map(), completeSince: new Map() }),
    tell: () => Promise.resolve(),
    want: () => Promise.resolve(),
    askOrders: () => Promise.resolve(),
    onViews: () => {},
    onNews: () => {},
  };
  leader.attach(side);
  await leader.open();
  const pair = readPairFile(path);
  const link = (as: Pair): LeaderLink => {
    const made = new LeaderLink(as, { host: '127.0.0.1', port: leader.port });
    t.after(() => made.close());
    return made;
  };
  t.after(() => leader.close());
  return { folder, path, leader, pair, link, asked };
}

describe('the link between two computers of a robot', () => {
  it('lets in who has the secret of its pair file, on each connection, and nobody else', async (t) => {
    const { pair, link } = await stage(t);
    const own = link(pair);
    for (let nth = 0; nth < 2; nth += 1) {
      const all = [1, 2, 3].map(() => own.ask('GET', '/news?after=0'));
      for (const { status } of await Promise.all(all)) assert.equal(status, 200);
    }
    const stranger = link({ ...pair, secret: Buffer.alloc(32, 1) });
    await assert.rejects(stranger.ask('GET', '/news'), { code: 'LEADER_AWAY' });
    const other = link({ ...pair, computer: 'arm' });
    await assert.rejects(other.ask('GET', '/news'), { code: 'LEADER_AWAY' });
  });

  it('carries a chunk over the link to the fleet once, and hands on no other bytes', async (t) => {
    const { folder, pair, link, asked } = await stage(t);
    const own = link(pair);
    const hash = sha256Hex(CHUNK);
    for (let nth = 0; nth < 3; nth += 1) {
      const { status, body } = await own.ask('GET', `/chunks/${hash}`);
      assert.equal(status, 200);
      assert.deepEqual(Uint8Array.from(body), CHUNK);
    }
    assert.deepEqual(asked, [hash]);
    const kept = join(folder, 'state/chunks', hash);
    await writeFile(kept, 'rotten');
    assert.deepEqual(Uint8Array.from((await own.ask('GET', `/chunks/${hash}`)).body), CHUNK);
    assert.deepEqual(asked, [hash, hash], 'a damaged one is asked for again');
    assert.deepEqual(await readdir(join(folder, 'state/chunks')), [hash]);
  });

  it('takes reports about the components of the pair file alone, and no older one', async (t) => {
    const { leader, pair, link } = await stage(t);
    const own = link(pair);
    const report = async (name: string, nth: number, active: string | null) => {
      const at = { active, rollback: null, doubt: null, arch: 'aarch64', compatible: [] };
      const state = new TextDecoder().decode(encodeMachineState(freshState()));
      const views = [{ name, state, ...at }];
      const body = encodeReport({ epoch: EPOCH, nth, state: null, views });
      return await own.ask('POST', '/report', { body });
    };
    assert.equal(leader.views.get('vision'), null);
    const refused = await report('app', 1, '1.0.0');
    assert.match(new TextDecoder().decode(refused.body), /MEMBER_REFUSED/);
    assert.equal((await report('vision', 3, '2.0.0')).status, 200);
    assert.equal((await report('vision', 2, '1.0.0')).status, 200);
    assert.equal(leader.views.get('vision')?.active, '2.0.0');
    const news = parseNews((await own.ask('GET', '/news?after=0')).body);
    assert.deepEqual(news.views, [], 'a member hears nothing about itself');
  });

  it('leaves out a computer whose pair file is damaged, unsafe or there twice, and says which', async (t) => {
    const { folder } = await stage(t);
    const members = join(folder, 'members');
    const make = async (computer: string, components: string[], name: string) =>
      await makePairFile(join(members, `${name}.json`), { robot: ROBOT, computer, components });
    await make('arm', ['arm'], 'arm');
    await make('base', ['wheels'], 'base');
    await make('base', ['wheels'], 'base-old');
    await make('lidar', ['app'], 'lidar');
    await make('sonar', ['sonar'], 'sonar');
    await chmod(join(members, 'sonar.json'), 0o644);
    await writeFile(join(members, 'gripper.json'), '{"robot":"amr","computer":"gri', {
      mode: 0o600,
    });
    const { pairs, problems } = readPairFolder(members, ROBOT, ['app']);
    assert.deepEqual(
      pairs.map(({ computer }) => computer),
      ['arm', 'perception'],
    );
    const said = problems.map(({ code, message, hint }) => `${code} ${message} ${hint}`).join('\n');
    assert.ok(problems.every(({ code }) => code === 'PAIR_INVALID'));
    for (const name of ['base', 'base-old', 'lidar', 'sonar', 'gripper'])
      assert.match(said, new RegExp(`members/${name}[.]json`));
    assert.match(said, /component app is on the leader as well/);
    assert.match(said, /chmod 600/);
  });

  it('stays without the address of its members, says why, and opens it when it is there', async (t) => {
    const { folder, path } = await stage(t);
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const log = makeLog('test', 'silent');
    const leader = new LeaderSide({
      ...{ robot: ROBOT, pairs: [readPairFile(path)], disk: realDisk, log, compatible: [] },
      ...{ listen: { host: '127.0.0.1', port }, folder: join(folder, 'two'), arch: 'x86_64' },
    });
    await leader.open();
    t.after(() => leader.close());
    const [found] = leader.problems;
    assert.equal(found?.problem.code, 'LISTEN_FAILED');
    assert.match(found?.problem.hint ?? '', /ss -ltnp/);
    assert.match(leader.explain().join('\n'), /LISTEN_FAILED/);
    other.close();
    await waitUntil('it listens', () => leader.port === port && leader.problems.length === 0);
  });

  it('keeps the last reports of two members that report at one moment', async (t) => {
    const folder = await tempFolder(t);
    const pair = { robot: ROBOT, secret: Buffer.alloc(32) };
    const desks = new Map(
      ['one', 'two'].map((computer) => {
        const desk = new MemberDesk({ ...pair, computer, components: [computer] }, 0);
        return [computer, desk] as const;
      }),
    );
    const warned: unknown[] = [];
    const log = { ...makeLog('test', 'silent'), warn: (what: unknown) => warned.push(what) };
    const file = new ReportFile(realDisk, join(folder, 'reports.json'), log);
    const report = (name: string, nth: number): void => {
      const components = [{ name, version: `${nth}.0.0`, phase: 'idle' as const }];
      desks.get(name)?.restore({ components, countedBy: '', atMs: nth });
    };
    const kept: Promise<void>[] = [];
    for (let nth = 1; nth <= 20; nth += 1) {
      report(nth % 2 === 0 ? 'one' : 'two', nth);
      kept.push(file.keep(desks));
    }
    await Promise.all(kept);
    assert.deepEqual(warned, []);
    assert.match(await readFile(join(folder, 'reports.json'), 'utf8'), /"20[.]0[.]0"/);
  });

  it('refuses a pair file that others may read, or that gives a component to two computers', async (t) => {
    const { folder, path } = await stage(t);
    const { pairs } = readPairFolder(join(folder, 'members'), ROBOT, ['vision']);
    assert.deepEqual(pairs, []);
    await chmod(path, 0o644);
    assertRefused('PAIR_INVALID', () => readPairFile(path), /chmod|others|other users/);
  });
});
