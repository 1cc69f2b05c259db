/** Options of the agent on a robot of several computers: what is refused, and with which advice. */

import assert from 'node:assert/strict';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readComputers, type ComputerArgs } from '../../../robot-client/commands/member-options.ts';
import {
  QUIET,
  reportRobot,
  type ComponentView,
  type RobotFactsForReport,
} from '../../../robot-client/fleet/report.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { NO_SLOTS } from '../../../robot-client/install/slots.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { makePairFile } from '../../../robot-client/members/pair-file.ts';
import { DroverError, failureOf, toProblem } from '../../../shared/base/errors.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const ROBOT = parseRobotId('amr');
const log = makeLog('test', 'silent');

const FACTS: RobotFactsForReport = {
  ...{ robot: ROBOT, agent: '', instance: '', endings: 0, arch: '', model: '', tags: [], caps: [] },
  ...{ compatible: [], modules: [], trustVersion: 1, trustEndsMs: null, announcementSeq: 1 },
  ...{ progressRefused: [], metrics: {} },
};
const VIEW: ComponentView = {
  ...{ name: 'app', version: null, previousVersion: null, slots: NO_SLOTS, slotsSinceMs: 0 },
  ...{ left: [], state: freshState(), live: QUIET },
};
const NO_COUNTS = { epoch: '', told: () => [] };

async function stage(t: TestContext) {
  const folder = await tempFolder(t);
  const members = join(folder, 'members');
  await mkdir(members);
  const pair = join(members, 'perception.json');
  await makePairFile(pair, { robot: ROBOT, computer: 'perception', components: ['vision'] });
  const facts = { arch: 'x86_64', compatible: [], disk: realDisk, log };
  const root = (component: string) => ({ component, root: join(folder, component) });
  const lead = { broker: 'mqtt://127.0.0.1', members, 'members-listen': '127.0.0.1:0' };
  return {
    ...{ members, pair, root },
    asMember: (args: ComputerArgs, component: string, robot: string | null) =>
      readComputers(args, { ...facts, roots: [root(component)], robot: robot as typeof ROBOT }),
    asLeader: (robot: string) =>
      readComputers(lead, { ...facts, roots: [root('app')], robot: parseRobotId(robot) }),
  };
}

describe('a member', () => {
  it('takes its robot from the pair file, also where the unit sets the id of the machine', async (t) => {
    const { pair, asMember } = await stage(t);
    const { robot } = await asMember({ leader: '10.0.0.1', pair }, 'vision', 'machine-id');
    assert.equal(robot, ROBOT);
    const other = await failureOf(asMember({ leader: 'a', pair, id: 'amr-7' }, 'vision', 'amr-7'));
    assert.match(other?.hint ?? '', /leave --id out/);
  });

  it('is told the roots that its pair file wants, and the command for what it has', async (t) => {
    const { pair, asMember } = await stage(t);
    const failure = await failureOf(asMember({ leader: '10.0.0.1', pair }, 'arm', null));
    assert.match(failure?.hint ?? '', /--root vision=DIR/);
    assert.match(failure?.hint ?? '', /pair perception --id amr --component arm/);
  });

  it('without its pair file is told how to make one', async (t) => {
    const { pair, asMember } = await stage(t);
    const failure = await failureOf(asMember({ leader: 'a', pair: `${pair}x` }, 'vision', null));
    assert.match(failure?.hint ?? '', /drover-robot pair/);
  });
});

describe('a leader', () => {
  it('is told which robot the pair files belong to', async (t) => {
    const { asLeader } = await stage(t);
    const [held] = (await asLeader('amr-7')).leader?.problems ?? [];
    assert.equal(held?.problem.code, 'PAIR_INVALID');
    assert.match(held?.problem.hint ?? '', /give --id amr when/);
    assert.deepEqual((await asLeader('amr')).leader?.problems, []);
  });

  it('without a pair file says so to the fleet, and names the file that is called otherwise', async (t) => {
    const { asLeader, pair } = await stage(t);
    await rename(pair, `${pair}.bak`);
    const { leader } = await asLeader('amr');
    const [held] = leader?.problems ?? [];
    assert.equal(held?.problem.code, 'MEMBERS_NONE');
    assert.match(held?.problem.message ?? '', /it has perception\.json\.bak, not named NAME\.json/);
    assert.match(leader?.explain().join() ?? '', /MEMBERS_NONE/);
    const codeOf = (view: ComponentView) => {
      const shown = [{ ...view, computers: held ?? null }];
      const told = reportRobot(FACTS, shown, { counted: NO_COUNTS, now: 0, elsewhere: leader });
      return told.components[0]?.last_error?.code;
    };
    assert.equal(codeOf(VIEW), 'MEMBERS_NONE');
    const problem = toProblem(new DroverError('HEALTH_FAILED', 'run app 2.0.0: a test'));
    const lastProblem = { ...problem, version: '2.0.0', atMs: 1 };
    const failed = { ...VIEW, state: { ...VIEW.state, lastProblem } };
    assert.equal(codeOf(failed), 'HEALTH_FAILED', 'it hides no failure of the component');
  });
});
