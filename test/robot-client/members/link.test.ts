/**
 * The link between two computers of a robot: the peers that it accepts, and the bytes that it
 * passes on.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { LeaderSide } from '../../../robot-client/members/leader.ts';
import { MemberSide } from '../../../robot-client/members/member.ts';
import { encodeReport, parseNews } from '../../../robot-client/members/messages.ts';
import {
  makePairFile,
  readPairFile,
  readPairFolder,
} from '../../../robot-client/members/pair-file.ts';
import { MemberDesk } from '../../../robot-client/members/member-desk.ts';
import { ReportFile } from '../../../robot-client/members/report-file.ts';
import { LeaderLink } from '../../../robot-client/members/secure-link.ts';
import { SetBoard } from '../../../robot-client/update/set-board.ts';
import { failureOf, type DroverError, type Problem } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import type { RobotStateFields } from '../../../shared/formats/messages.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { CHUNK, EPOCH, ROBOT, stage, viewOf } from './link-stage.ts';

const AT = '2026-01-01T00:00:00.000Z';
const NO_SET = { members: [] } as unknown as RolloutSet;

describe('the link between two computers of a robot', () => {
  it('lets in only a computer with the secret of its pair file, on each connection', async (t) => {
    const { pair, link } = await stage(t);
    const own = link(pair);
    for (let nth = 0; nth < 2; nth += 1) {
      const all = [1, 2, 3].map(() => own.ask('GET', `/news?after=0&me=${EPOCH}`));
      for (const { status } of await Promise.all(all)) assert.equal(status, 200);
    }
    const stranger = link({ ...pair, secret: Buffer.alloc(32, 1) });
    await assert.rejects(stranger.ask('GET', '/news'), { code: 'LEADER_REFUSES' });
    const other = link({ ...pair, computer: 'arm' });
    await assert.rejects(other.ask('GET', '/news'), { code: 'LEADER_REFUSES' });
  });

  it('says on both sides that the secret is another one, or that the name has no pair file', async (t) => {
    const { leader, pair, link } = await stage(t);
    const wrong = await failureOf(link({ ...pair, secret: Buffer.alloc(32, 1) }).ask('GET', '/n'));
    assert.match(
      wrong?.message ?? '',
      /refuses computer perception: the secret here is not the one/,
    );
    const unknown = await failureOf(link({ ...pair, computer: 'arm' }).ask('GET', '/n'));
    assert.match(unknown?.message ?? '', /refuses computer arm: .* or there is none$/);
    for (const said of [wrong, unknown]) assert.doesNotMatch(said?.message ?? '', /SSL|\n/);
    const lines = (): string => leader.explain().join('\n');
    await waitUntil('the leader saw both', () => lines().split('COMPUTER_REFUSED').length === 3);
    assert.match(
      lines(),
      /perception at 127\.0\.0\.1: its secret is not the one of its pair file here/,
    );
    assert.match(lines(), /computer arm at 127\.0\.0\.1: it has no pair file here/);
  });

  it('tells a program that is no leader from an address where nothing listens', async (t) => {
    const { pair } = await stage(t);
    const other = createServer((socket) =>
      socket
        .on('error', (error) => t.diagnostic(error.message))
        .resume()
        .end('220 mail'),
    );
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const ask = async (): Promise<DroverError | null> => {
      const link = new LeaderLink(pair, { host: '127.0.0.1', port });
      t.after(() => link.close());
      return await failureOf(link.ask('GET', '/news'));
    };
    assert.equal((await ask())?.code, 'NO_LEADER_THERE');
    await new Promise((resolve) => other.close(resolve));
    const nobody = await ask();
    assert.equal(nobody?.code, 'LEADER_AWAY');
    assert.match(nobody?.message ?? '', /ECONNREFUSED/);
  });

  it('has a member log once that its leader refuses it, and call that leader not away', async (t) => {
    const { leader, pair, side } = await stage(t);
    const warned: string[] = [];
    const warn = (_facts: object, text = ''): void => void warned.push(text);
    const log = { ...makeLog('test', 'silent'), debug() {}, info() {}, error() {}, warn };
    const member = new MemberSide({
      ...{ pair: { ...pair, secret: Buffer.alloc(32, 1) }, arch: 'x86_64', compatible: [], log },
      leader: { host: '127.0.0.1', port: leader.port },
    });
    member.attach({ ...side, board: new SetBoard(member) });
    const wire = member.openWire({}, { onMessage: () => {} }, log);
    t.after(() => wire.close());
    await waitUntil('the member was refused', () => wire.lastError !== null);
    assert.deepEqual(warned, ['the leader of this robot refuses this computer']);
    assert.match(member.explain().join(), /its leader at 127\.0\.0\.1:\d+ refuses it$/);
    assert.match(member.awayFor(NO_SET) ?? '', /LEADER_REFUSES/);
  });

  it('takes no decision with a computer of which there are two, and tells it to all', async (t) => {
    const { leader, pair, link } = await stage(t);
    const own = link(pair);
    const set = { members: [{ component: 'vision' }] } as unknown as RolloutSet;
    const ask = async (me: string) => await own.ask('GET', `/news?after=0&me=${me}`);
    const report = encodeReport({
      epoch: EPOCH,
      nth: 1,
      state: null,
      views: [viewOf('vision', null)],
    });
    await ask(EPOCH);
    await own.ask('POST', '/report', { body: report });
    assert.equal(leader.awayFor(set), null);
    const another = 'fedcba9876543210';
    await ask(another);
    assert.match(leader.awayFor(set) ?? '', /MEMBER_AWAY/, 'the first may still be there');
    for (const me of [EPOCH, another, EPOCH]) await ask(me);
    assert.match(leader.awayFor(set) ?? '', /perception of this robot, which is there twice/);
    assert.equal(leader.told[0]?.last_error?.code, 'MEMBER_TWICE');
    assert.equal(leader.told[0]?.version_doubt, 'MEMBER_TWICE');
    assert.match(leader.explain().join(), /perception with vision is there twice.*MEMBER_TWICE/);
    const [told] = parseNews((await ask(another)).body).computers;
    assert.deepEqual(told, {
      computer: 'perception',
      components: ['vision'],
      trouble: 'MEMBER_TWICE',
    });
  });

  it('tells the fleet on which computer a component is, and where its log lies', async (t) => {
    const { leader, pair, link } = await stage(t);
    const log = { rollout: 'r', version: '2.0.0', code: 'HEALTH_FAILED', at: AT, bytes: 9 };
    const component = { name: 'vision', version: '1.0.0', phase: 'idle', failure_log: log };
    const state = { robot_id: 'amr', at: AT, components: [component] } as RobotStateFields;
    const views = [viewOf('vision', '1.0.0')];
    const body = encodeReport({ epoch: EPOCH, nth: 1, state, views });
    assert.equal((await link(pair).ask('POST', '/report', { body })).status, 200);
    const [told] = leader.told;
    assert.equal(told?.computer, 'perception');
    assert.equal(told?.log_folder, '/opt/vision/state/logs');
    assert.equal(told?.failure_log, undefined, 'the robot itself does not hand it over');
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
      const views = [viewOf(name, active)];
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

  it('says of a pair file in each state that nobody may trust what it is, and leads the rest', async (t) => {
    const { folder, path } = await stage(t);
    const members = join(folder, 'members');
    const whole = await readFile(path, 'utf8');
    const bad = join(members, 'bad.json');
    const states: readonly (readonly [string, string | Uint8Array, number])[] = [
      ['empty', '', 0o600],
      ['truncated', whole.slice(0, -20), 0o600],
      ['garbage', Uint8Array.from([0x7b, 0xff, 0x00, 0x7d]), 0o600],
      ['of a short secret', whole.replace(/"secret": ".{9}/, '"secret": "'), 0o600],
      ['too long', `${whole}${' '.repeat(LIMITS.memberFileBytesMax)}`, 0o600],
      ['of another robot', whole.replace('"amr"', '"amr-2"'), 0o600],
      ['a copy for everybody', whole.replaceAll('vision', 'arm').replace('perception', 'a'), 0o604],
    ];
    for (const [what, bytes, mode] of states) {
      await writeFile(bad, bytes, { mode });
      await chmod(bad, mode);
      const { pairs, problems } = readPairFolder(members, ROBOT, ['app']);
      assert.deepEqual(
        pairs.map(({ computer }) => computer),
        ['perception'],
        what,
      );
      const [problem] = problems;
      assert.equal(problem?.code, 'PAIR_INVALID', what);
      assert.match(`${problem?.message} ${problem?.hint}`, /members\/bad[.]json/, what);
      if (what !== 'of another robot') assertRefused('PAIR_INVALID', () => readPairFile(bad));
    }
  });

  it('has the one of two computers whose reports are not taken say so once, with the code', async (t) => {
    const { leader, pair, link, side } = await stage(t);
    const warned: string[] = [];
    const warn = ({ problem }: { problem?: Problem }): void =>
      void warned.push(problem?.code ?? '');
    const error = (_facts: object, text = ''): void => void warned.push(text);
    const log = { ...makeLog('test', 'silent'), debug() {}, info() {}, error, warn };
    const member = new MemberSide({
      ...{ pair, arch: 'x86_64', compatible: [], log },
      leader: { host: '127.0.0.1', port: leader.port },
    });
    const board = new SetBoard(member);
    board.join('vision', { view: () => null, goBack: () => Promise.resolve() });
    member.attach({ ...side, board });
    const wire = member.openWire({}, { onMessage: () => {} }, log);
    t.after(() => wire.close());
    await waitUntil('it was heard', () => leader.views.has('vision') && wire.isUp);
    await waitUntil('its report was taken', () => leader.awayFor(NO_SET) === null);
    const another = link(pair);
    await another.ask('GET', '/news?after=0&me=fedcba9876543210');
    const views = [viewOf('vision', null)];
    const body = encodeReport({ epoch: 'fedcba9876543210', nth: 1, state: null, views });
    assert.equal((await another.ask('POST', '/report', { body })).status, 200);
    for (let nth = 0; nth < 5; nth += 1) {
      member.reportSoon();
      await waitUntil('it was refused', () =>
        /no report .*MEMBER_TWICE/.test(member.explain().join()),
      );
    }
    assert.deepEqual(warned, ['MEMBER_TWICE']);
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
    const path = join(folder, 'reports.json');
    const before = { computer: 'one', atMs: 1, countedBy: '', components: [] };
    await writeFile(path, JSON.stringify({ reports: [before] }));
    report('two', 0);
    await file.keep(desks);
    assert.match(await readFile(path, 'utf8'), /"one"/, 'it was not read: one may be away');
    await file.load(desks);
    assert.match(await readFile(path, 'utf8'), /"one".*"0[.]0[.]0"/, 'both are kept');
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
