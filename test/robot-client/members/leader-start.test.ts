/**
 * A start of the leader as the agent composes it: its own component acts by the board before the
 * record of decisions is read.
 */

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { AgentSide } from '../../../robot-client/members/computers.ts';
import { declareGone, type GoneFacts } from '../../../robot-client/members/gone.ts';
import { LeaderSide } from '../../../robot-client/members/leader.ts';
import { encodeCommits } from '../../../robot-client/members/record-file.ts';
import { SetBoard } from '../../../robot-client/update/set-board.ts';
import { memberViewOf } from '../../../robot-client/update/set-verdict.ts';
import { failureOf } from '../../../shared/base/errors.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import {
  encodeMessage,
  parseRobotEvent,
  type RobotEventFields,
} from '../../../shared/formats/messages.ts';
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
  const events: Omit<RobotEventFields, 'event_seq'>[] = [];
  const side: AgentSide = {
    board,
    pulls: {
      ...{ isUp: true, subscribeChunks: () => {}, unsubscribeChunks: () => {} },
      ...{ wantChunks: () => {}, attach: () => () => {} },
    },
    heard: () => ({ progress: new Map(), completeSince: new Map() }),
    ...{ want: nothing, askOrders: nothing, onViews: () => {}, onNews: () => {} },
    tell: async (event) => void events.push(event),
  };
  leader.attach(side);
  const keep = async (decision: string): Promise<void> => {
    const commits = [{ id: ID, set, components: ['app', 'vision'], decision }];
    const bytes = encodeCommits({ generation: 1, record: RECORD, commits });
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'commits.json'), bytes);
    await writeFile(join(folder, 'commits.copy.json'), bytes);
  };
  return { folder, leader, board, seat, keep, events, backs: () => backs };
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

describe('a computer that a person declares gone for good', () => {
  it('is none whose component may be on a computer that is refused and tries now', async () => {
    const { set } = sureState();
    const on = {
      ...{ book: { isRead: true, told: { commits: [{ set }] } }, desks: new Map(), sets: [] },
      ...{ local: new Set(['app']), now: 0, knocking: 'computer perception at ::1' },
    } as unknown as GoneFacts;
    await assert.rejects(declareGone({ computers: ['vision'], isSaid: true }, on), {
      code: 'MEMBER_PRESENT',
      message: /may be on the computer that tries now/,
    });
  });

  const said = (computers: string[], isSaid = true) => ({ computers, isSaid });
  const recordIn = async (folder: string): Promise<string> =>
    (await readFile(join(folder, 'commits.json'), 'utf8')) +
    (await readFile(join(folder, 'commits.copy.json'), 'utf8'));

  it('is shown first, then stored and told to the fleet, and the decision stays for it', async (t) => {
    const { folder, leader, keep, events } = await stage(t, { leads: [] });
    await keep('confirm');
    await leader.open();
    const before = await recordIn(folder);
    const shown = await leader.gone(said(['vision'], false));
    assert.deepEqual(shown, {
      components: ['vision'],
      decisions: [{ set: 's1', decision: 'confirm' }],
    });
    assert.equal(await recordIn(folder), before);
    assert.equal(events.length, 0);
    assert.deepEqual(await leader.gone(said(['vision'])), shown);
    assert.equal((await recordIn(folder)).split('"gone":["vision"]').length, 3, 'in both copies');
    assert.equal(leader.decisionOn(ID), 'confirm');
    const [event] = events;
    assert.deepEqual([event?.event, event?.rollout], ['computer_gone', 'r-vision']);
    assert.equal(event?.problem?.code, 'MEMBER_GONE');
    assert.match(event?.problem?.message ?? '', /confirm set s1 without vision: a person/);
    if (event) parseRobotEvent(encodeMessage({ ...event, event_seq: 1 }));
    assert.match(leader.explain().join(), /to confirm, without vision: gone for good/);
  });

  it('frees a leader whose record was lost from a wait without an end: its component goes back', async (t) => {
    const { leader, board, seat } = await stage(t, { leads: [] });
    await leader.open();
    await waitUntil('it says so', () =>
      leader.problems.some(({ problem }) => problem.code === 'DECISION_LOST'),
    );
    assert.equal(board.jointState('app')?.verdict, 'wait');
    await leader.gone(said(['vision']));
    assert.equal(board.jointState('app')?.verdict, 'back');
    assert.notEqual(seat.backEvent, null);
    assert.match(leader.causeOf(ID) ?? '', /the computer of vision is gone for good/);
  });

  it('is refused while it is there, not known, of this computer, or waited for by no decision', async (t) => {
    const { leader, keep } = await stage(t);
    await keep('confirm');
    await assert.rejects(leader.gone(said(['perception'])), { code: 'ROBOT_STARTING' });
    await leader.open();
    const refused = async (name: string, code: string, why: RegExp): Promise<void> => {
      const failure = await failureOf(leader.gone(said([name])));
      assert.equal(failure?.code, code);
      assert.match(failure?.message ?? '', why);
    };
    await refused('perception', 'MEMBER_PRESENT', /it was heard a moment ago/);
    for (const name of ['app', 'vision', 'other'])
      await refused(name, 'NOT_FOUND', /it is not known here/);
    const none = await stage(t, { leads: [] });
    await none.keep('prepare');
    await none.leader.open();
    const failure = await failureOf(none.leader.gone(said(['vision'])));
    assert.equal(failure?.code, 'NOT_FOUND');
    assert.match(failure?.message ?? '', /no open decision waits for it/);
  });
});
