/** A leader and a member of which one is older, and the record of decisions of an older leader. */

import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { LeaderSide } from '../../../robot-client/members/leader.ts';
import type { Commit } from '../../../robot-client/members/commit.ts';
import { encodeReport, parseNews } from '../../../robot-client/members/messages.ts';
import { readPairFile } from '../../../robot-client/members/pair-file.ts';
import { encodeCommits, RecordFile } from '../../../robot-client/members/record-file.ts';
import { LeaderLink } from '../../../robot-client/members/secure-link.ts';
import { decisionIn } from '../../../robot-client/members/told-commits.ts';
import { encodeMachineState } from '../../../robot-client/update/state.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { EPOCH, ID, RECORD, ROBOT, stage, sureState, viewOf } from './link-stage.ts';

describe('a leader and a member of two versions', () => {
  it('tells an older member no decision before it has said by which one it is bound', async (t) => {
    const { leader, pair, link } = await stage(t);
    const own = link(pair);
    const first = own.ask('GET', '/news?after=0');
    const state = new TextDecoder().decode(encodeMachineState(sureState().state));
    const views = [{ ...viewOf('vision', '1.0.0'), state }];
    const body = encodeReport({ epoch: EPOCH, nth: 1, state: null, views });
    await own.ask('POST', '/report', { body });
    assert.equal(leader.decisionOn(ID), 'lost');
    const { commits } = parseNews((await first).body);
    assert.deepEqual(
      commits.map((one) => [one.id, one.decision, one.asked]),
      [[ID, 'prepare', null]],
    );
    const newer = parseNews((await own.ask('GET', `/news?after=0&me=${EPOCH}`)).body);
    assert.deepEqual(newer.commits, []);
  });

  it('answers no news before it has read its record of decisions', async (t) => {
    const { folder, path, pair } = await stage(t);
    const log = makeLog('test', 'silent');
    await writeFile(join(folder, 'three'), 'no folder'); // its disk refuses the record
    const leader = new LeaderSide({
      ...{ robot: ROBOT, pairs: [readPairFile(path)], disk: realDisk, log, compatible: [] },
      ...{ listen: { host: '127.0.0.1', port: 0 }, folder: join(folder, 'three'), arch: 'x86_64' },
    });
    await leader.open();
    t.after(() => leader.close());
    const own = new LeaderLink(pair, { host: '127.0.0.1', port: leader.port });
    t.after(() => own.close());
    const asked = own.ask('GET', `/news?after=0&me=${EPOCH}`);
    await rm(join(folder, 'three'));
    const { status, body } = await asked;
    assert.equal(status, 200);
    assert.match(parseNews(body).record ?? '', /^[0-9a-f]{16}$/);
  });

  it('reads the news of an older leader, which names no record: it knows each id', () => {
    const news = { epoch: EPOCH, version: 1, commits: [], views: [], orders: [] };
    const read = (more: object) => parseNews(utf8(JSON.stringify({ ...news, ...more }))).record;
    const onId = (record: string | null) => decisionIn({ commits: [], record }, 'c'.repeat(32));
    assert.equal(onId(read({})), 'back');
    assert.equal(onId(read({ record: null })), 'unheard');
    assert.equal(onId(read({ record: EPOCH })), 'lost');
  });
});

describe('a record of decisions that the version before has written', () => {
  it('is read as the newest, also beside a copy from before that, and gets a name and a copy', async (t) => {
    const folder = await tempFolder(t);
    const { set } = sureState();
    const decided = (id: string, decision: Commit['decision']): Commit => ({
      ...{ id, set, components: ['app', 'vision'], decision },
    });
    const commits = [decided('d'.repeat(32), 'confirm')];
    const stale = { generation: 7, record: RECORD, commits: [decided(ID, 'switch')] };
    await writeFile(join(folder, 'commits.copy.json'), encodeCommits(stale));
    await writeFile(join(folder, 'commits.json'), `${JSON.stringify({ commits })}\n`);
    const file = new RecordFile(realDisk, folder);
    assert.deepEqual(await file.load(), { commits, damage: null });
    assert.notEqual(file.record, RECORD, 'it says nothing of ids of the copy');
    await file.keep(commits);
    assert.deepEqual(await readdir(folder), ['commits.copy.json', 'commits.json']);
    const again = new RecordFile(realDisk, folder);
    await rm(join(folder, 'commits.json')); // the copy is newer than the stale one
    assert.deepEqual(await again.load(), { commits, damage: null });
    assert.equal(again.record, file.record);
  });

  it('is one that was damaged when it is not whole', async (t) => {
    const folder = await tempFolder(t);
    await writeFile(join(folder, 'commits.json'), '{"commits":[{"id":');
    const { damage } = await new RecordFile(realDisk, folder).load();
    assert.deepEqual([damage?.problem.code, damage?.isLost], ['STATE_CORRUPT', true]);
  });
});
