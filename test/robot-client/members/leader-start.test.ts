/**
 * A start of the leader as the agent composes it: its own component acts by the board before the
 * record of decisions is read.
 */

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { AgentSide } from '../../../robot-client/members/computers.ts';
import { LeaderSide } from '../../../robot-client/members/leader.ts';
import { encodeCommits } from '../../../robot-client/members/record-file.ts';
import { SetBoard } from '../../../robot-client/update/set-board.ts';
import { memberViewOf } from '../../../robot-client/update/set-verdict.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { ID, RECORD, sureState } from './link-stage.ts';

/** @param leads names of the computers whose pair files the leader has taken */
async function stage(t: TestContext, { leads = ['perception'] } = {}) {
  const folder = await tempFolder(t);
  const pair = { robot: parseRobotId('amr'), secret: Buffer.alloc(32), components: ['vision'] };
  const pairs = leads.map((computer) => ({ ...pair, computer }));
  const leader = new LeaderSide({
    ...{ robot: pair.robot, pairs, disk: realDisk },
    ...{ listen: { host: '127.0.0.1', port: 0 }, folder, arch: 'x86_64', compatible: [] },
    log: makeLog('test', 'silent'),
  });
  t.after(() => leader.close());
  const board = new SetBoard(leader);
  const { state, set } = sureState();
  let backs = 0;
  const seat = board.join('app', {
    view: () => memberViewOf(state, { active: '1.1.0', rollback: '1.0.0' }),
    goBack: async () => void (backs += 1),
  });
  const nothing = () => Promise.resolve();
  const side: AgentSide = {
    board,
    pulls: {
      ...{ isUp: true, subscribeChunks: () => {}, unsubscribeChunks: () => {} },
      ...{ wantChunks: () => {}, attach: () => () => {} },
    },
    heard: () => ({ progress: new Map(), completeSince: new Map() }),
    ...{ tell: nothing, want: nothing, askOrders: nothing, onViews: () => {}, onNews: () => {} },
  };
  leader.attach(side);
  const keep = async (decision: string): Promise<void> => {
    const commits = [{ id: ID, set, components: ['app', 'vision'], decision }];
    const bytes = encodeCommits({ generation: 1, record: RECORD, commits });
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'commits.json'), bytes);
    await writeFile(join(folder, 'commits.copy.json'), bytes);
  };
  return { folder, leader, board, seat, keep, backs: () => backs };
}

describe('a start of the leader while its own component is bound', () => {
  it('takes nothing back before it has read its record, and then confirms what was decided', async (t) => {
    const { leader, board, seat, keep, backs } = await stage(t);
    await keep('confirm');
    board.changed(); // as the start of its component does
    assert.equal(backs(), 0);
    assert.equal(seat.backEvent, null);
    await leader.open();
    assert.equal(backs(), 0);
    assert.equal(board.jointState('app')?.verdict, 'go');
  });

  it('follows what was decided while the pair file of another computer is left out', async (t) => {
    for (const [decision, verdict] of [
      ['confirm', 'go'],
      ['back', 'back'],
      ['switch', 'wait'],
    ]) {
      const { leader, board, seat, keep } = await stage(t, { leads: [] });
      await keep(decision ?? '');
      board.changed();
      assert.equal(seat.backEvent, null, 'it has not read its record');
      await leader.open();
      await leader.close();
      assert.equal(board.jointState('app')?.verdict, verdict);
      assert.equal(seat.backEvent !== null, decision === 'back', decision);
      assert.equal(leader.decisionOn(ID), decision, 'it does not forget it');
      assert.match(board.jointState('app')?.waitingFor ?? '', /a computer with vision: no pair/);
    }
  });

  it('keeps a component that is bound when this computer has no members any more', () => {
    const board = new SetBoard(null);
    const seat = board.join('app', {
      view: () => memberViewOf(sureState().state, { active: '1.1.0', rollback: '1.0.0' }),
      goBack: () => Promise.resolve(),
    });
    assert.equal(seat.backEvent, null);
    assert.deepEqual([seat.isJoint, board.jointState('app')?.verdict], [true, 'wait']);
  });

  it('takes nothing back when its record is lost, and says so, but reads it from either copy', async (t) => {
    const { folder, leader, board, seat, keep, backs } = await stage(t);
    await keep('confirm');
    await writeFile(join(folder, 'commits.json'), '{"check":');
    await leader.open();
    assert.equal(board.jointState('app')?.verdict, 'go', 'one copy is whole');
    await leader.close();

    const other = await stage(t);
    for (const name of ['commits.json', 'commits.copy.json'])
      await writeFile(join(other.folder, name), '{"check":');
    await other.leader.open();
    other.board.changed();
    assert.equal(other.seat.backEvent, null);
    assert.match(other.board.jointState('app')?.waitingFor ?? '', /MEMBER_AWAY|DECISION_LOST/);
    await waitUntil('it says so', () => {
      const codes = other.leader.problems.map(({ problem }) => problem.code);
      return codes.includes('STATE_CORRUPT') && codes.includes('DECISION_LOST');
    });
    assert.equal(backs() + other.backs(), 0);
    assert.equal(seat.backEvent, null);
  });
});
