/**
 * The example `ready` hook for ROS 2, run by the agent's own runner of hooks. ROS 2 cannot be
 * installed here: a stand-in on the PATH prints what `ros2` prints (ros2cli's echo and info verbs,
 * rosidl_runtime_py's YAML, at Humble and later), hangs where it would, and writes down what it was
 * asked.
 */

import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { runHook, type HookResult } from '../../../robot-client/install/hooks.ts';
import { repositoryFile } from '../../helpers/repository.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

const HOOK = repositoryFile('examples/ros2/ready');
const BATTERY = '/battery_state';
const DOCK = '/dock_status';
const STATUS = '/navigate_to_pose/_action/status';

/** `ros2 topic echo --once --no-arr --no-str` of a sensor_msgs/msg/BatteryState. */
const battery = (percentage: string | number, supply: number): string => `header:
  stamp:
    sec: 1780272000
    nanosec: 250000000
  frame_id: '<string length: <4>>'
voltage: 25.399999618530273
temperature: .nan
current: -0.800000011920929
charge: .nan
capacity: .nan
design_capacity: 20.0
percentage: ${percentage}
power_supply_status: ${supply}
power_supply_health: 1
power_supply_technology: 3
present: true
cell_voltage: '<sequence type: float, length: 0>'
cell_temperature: '<sequence type: float, length: 0>'
location: '<string length: <0>>'
serial_number: '<string length: <8>>'
---
`;
const CHARGED = battery('0.8600000143051147', 1);

/** `ros2 topic echo --once --full-length` of an action_msgs/msg/GoalStatusArray. */
function goals(...statuses: number[]): string {
  if (statuses.length === 0) return 'status_list: []\n---\n';
  const uuid = Array.from({ length: 16 }, (_, at) => `      - ${at * 7}\n`).join('');
  const goal = (status: number): string =>
    `- goal_info:\n    goal_id:\n      uuid:\n${uuid}` +
    `    stamp:\n      sec: 1780271000\n      nanosec: 488330228\n  status: ${status}\n`;
  return `status_list:\n${statuses.map(goal).join('')}---\n`;
}

const info = (publishers: number): string =>
  `Type: action_msgs/msg/GoalStatusArray\nPublisher count: ${publishers}\nSubscription count: 0\n`;

const STAND_IN = `#!/bin/sh
echo "$*" >> "$STAND_IN_FOLDER/asked"
verb=$2
for word; do case $word in /*) topic=$word; break ;; esac; done
said=$STAND_IN_FOLDER/says/$verb$(echo "$topic" | tr / .)
echo $$ > "$STAND_IN_FOLDER/pid"
[ -e "$said" ] || exec sleep 60
touch "$ROS_LOG_DIR/python3_$$.log"
cat "$said"
[ ! -e "$said.exit" ] || exit "$(cat "$said.exit")"
`;

interface Place {
  readonly folder: string;
  readonly conf: string;
  /** Sets the output for a topic from now on: of \`echo\`, or of another verb of \`ros2 topic\`. */
  says(topic: string, text: string, verb?: string): Promise<void>;
  configure(...lines: string[]): Promise<void>;
  ready(): Promise<HookResult>;
  asked(): Promise<string[]>;
}

async function place(scope: Scope): Promise<Place> {
  const folder = await tempFolder(scope);
  const conf = join(folder, 'ros2.conf');
  const [bin, temp] = [join(folder, 'bin'), join(folder, 'tmp')];
  for (const one of [bin, temp, join(folder, 'says')]) await mkdir(one);
  await writeFile(join(bin, 'ros2'), STAND_IN, { mode: 0o755 });
  process.env['PATH'] = `${bin}:${process.env['PATH']}`;
  const configure = (...lines: string[]): Promise<void> => {
    const own = [`export STAND_IN_FOLDER=${folder}`, `export TMPDIR=${temp}`, 'ROS_TIMEOUT_S=1'];
    return writeFile(conf, [...own, ...lines, ''].join('\n'));
  };
  await configure();
  return {
    folder,
    conf,
    configure,
    says: (topic, text, verb = 'echo') =>
      writeFile(join(folder, 'says', `${verb}${topic.replaceAll('/', '.')}`), text),
    ready: async () => {
      const env = { DROVER_COMPONENT: 'app', DROVER_HOOKS_CONF: conf };
      const hooks = { folder: repositoryFile('examples/ros2'), name: 'ready' as const };
      const result = await runHook({ ...hooks, timeoutMs: 20_000, env });
      assert.deepEqual(await readdir(temp), [], 'it leaves no logs of ros2 behind');
      return result;
    },
    asked: async () => (await readFile(join(folder, 'asked'), 'utf8')).trim().split('\n'),
  };
}

const busy = (why: string): HookResult => ({ kind: 'busy', output: `${why}\n` });
const unknown = (why: string): HookResult => ({
  ...{ kind: 'failed', exitCode: 69, signal: null },
  output: `cannot tell whether it is safe: ${why}\n`,
});

describe('the example ready hook for ROS 2', () => {
  const path = process.env['PATH'];
  let at: Place;
  const scopeEnds: (() => void | Promise<void>)[] = [];
  beforeEach(async () => {
    at = await place({ after: (run) => scopeEnds.push(run) });
    await at.says(BATTERY, CHARGED);
    await at.says(STATUS, goals(4, 6));
  });
  afterEach(async () => {
    process.env['PATH'] = path;
    for (const end of scopeEnds.splice(0).reverse()) await end();
  });

  it('lets a robot go that is charged, on its dock and without a task', async () => {
    const fine = { kind: 'ok', output: 'battery at 86 % (charging), no task\n' };
    assert.deepEqual(await at.ready(), fine);
    assert.deepEqual(await at.asked(), [
      `topic echo --once --no-daemon ${BATTERY} sensor_msgs/msg/BatteryState --no-arr --no-str`,
      `topic echo --once --no-daemon ${STATUS} action_msgs/msg/GoalStatusArray --full-length ` +
        '--qos-reliability reliable --qos-durability transient_local',
    ]);
    await at.says(STATUS, goals());
    assert.deepEqual(await at.ready(), fine);
    await at.says(BATTERY, battery('1.0', 4));
    assert.equal((await at.ready()).kind, 'ok', 'a full battery has ended its charge on the dock');
  });

  it('keeps a robot whose battery is low, with the level that is wanted', async () => {
    await at.says(BATTERY, battery('0.11999999731779099', 1));
    assert.deepEqual(await at.ready(), busy('battery at 12 % (charging), wants 30 %'));
    await at.configure('BATTERY_MIN_PERCENT=12');
    assert.equal((await at.ready()).kind, 'ok');
    await at.configure('BATTERY_FULL=100');
    await at.says(BATTERY, battery('29.0', 1));
    assert.deepEqual(await at.ready(), busy('battery at 29 % (charging), wants 30 %'));
  });

  it('keeps a robot that does not stand on its dock', async () => {
    for (const [supply, name] of [
      [0, 'unknown'],
      [2, 'discharging'],
      [3, 'not charging'],
    ] as const) {
      await at.says(BATTERY, battery('0.9', supply));
      assert.deepEqual(await at.ready(), busy(`not on its dock: the battery is ${name}`));
    }
    await at.configure('DOCK_REQUIRED=0');
    assert.equal((await at.ready()).kind, 'ok');
  });

  it('asks a topic of the dock where there is one', async () => {
    const qos = 'DOCK_QOS="--qos-reliability reliable --qos-durability transient_local"';
    const type = 'irobot_create_msgs/msg/DockStatus';
    await at.configure(`DOCK_TOPIC=${DOCK}`, `DOCK_TYPE=${type}`, 'DOCK_FIELD=is_docked', qos);
    await at.says(BATTERY, battery('0.9', 2));
    await at.says(DOCK, 'False\n---\n');
    assert.deepEqual(await at.ready(), busy(`not on its dock: is_docked on ${DOCK} is false`));
    assert.equal(
      (await at.asked()).at(-1),
      `topic echo --once --no-daemon ${DOCK} ${type} --field is_docked ` +
        '--qos-reliability reliable --qos-durability transient_local',
    );
    // ros2cli says so on stdout when publishers disagree.
    const warning = 'Some, but not all, publishers are offering QoSReliabilityPolicy.RELIABLE.\n';
    await at.says(DOCK, `${warning}True\n---\n`);
    assert.equal((await at.ready()).kind, 'ok');
    await at.configure(`DOCK_TOPIC=${DOCK}`, 'DOCK_FIELD=state', 'DOCK_VALUE=1');
    await at.says(DOCK, '2\n---\n');
    assert.deepEqual(await at.ready(), busy(`not on its dock: state on ${DOCK} is 2`));
  });

  it('keeps a robot with a task that is accepted, running or being cancelled', async () => {
    for (const status of [1, 2, 3]) {
      await at.says(STATUS, goals(4, status, 5));
      const why = 'on a task: 1 goal(s) of /navigate_to_pose under way';
      assert.deepEqual(await at.ready(), busy(why), `status ${status}`);
    }
    await at.configure('TASK_ACTIONS="/navigate_to_pose /undock_robot"');
    await at.says(STATUS, goals(4));
    await at.says('/undock_robot/_action/status', goals(2, 2));
    assert.deepEqual(
      await at.ready(),
      busy('on a task: 2 goal(s) of /undock_robot under way'),
      'every action is asked',
    );
    await at.configure('TASK_ACTIONS=');
    assert.equal((await at.ready()).kind, 'ok');
  });

  it('does not take silence for a yes, within its own time', async () => {
    const silent = async (topic: string): Promise<HookResult> => {
      await rm(join(at.folder, 'says', `echo${topic.replaceAll('/', '.')}`));
      return await at.ready();
    };
    const hint = '(none since it started? see TASK_SILENCE_IS_IDLE)';
    assert.deepEqual(
      await silent(STATUS),
      unknown(`no word of /navigate_to_pose on its goals ${hint}`),
    );
    assert.deepEqual(await silent(BATTERY), unknown(`no message on ${BATTERY} within 1 s`));
    await at.says(BATTERY, CHARGED);
    await at.configure('READY_BUDGET_S=0');
    assert.deepEqual(await at.ready(), unknown(`no message on ${BATTERY} within 1 s`));
  });

  it('leaves nothing running when the agent ends it', async () => {
    await rm(join(at.folder, 'says', 'echo.battery_state'));
    await at.configure('ROS_TIMEOUT_S=60', 'READY_BUDGET_S=60');
    const env = { DROVER_HOOKS_CONF: at.conf };
    const ended = new AbortController();
    const run = { folder: repositoryFile('examples/ros2'), name: 'ready' as const };
    const result = runHook({ ...run, timeoutMs: 60_000, env, signal: ended.signal });
    const pid = await waitUntil('ros2 to be asked', async () => {
      const text = await readFile(join(at.folder, 'pid'), 'utf8');
      return text.endsWith('\n') ? Number(text) : null;
    });
    ended.abort(new Error('the agent stops'));
    await assert.rejects(result, /the agent stops/);
    await waitUntil('ros2 to be gone', async () => {
      // A zombie that nobody has waited for yet is gone as well.
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone');
      return state === 'gone' || / Z /.test(state);
    });
  });

  it('takes a server that is there and says nothing for idle only when the settings allow it', async () => {
    await rm(join(at.folder, 'says', `echo${STATUS.replaceAll('/', '.')}`));
    await at.configure('TASK_SILENCE_IS_IDLE=1');
    await at.says(STATUS, info(1), 'info');
    assert.equal((await at.ready()).kind, 'ok');
    const away = unknown('no server of the action /navigate_to_pose answers');
    for (const answer of [info(0), `Unknown topic '${STATUS}'\n`, '']) {
      await at.says(STATUS, answer, 'info');
      assert.deepEqual(await at.ready(), away);
    }
  });

  it('does not take rubbish for a yes', async () => {
    const noBattery = unknown(`what came on ${BATTERY} is no sensor_msgs/msg/BatteryState`);
    for (const rubbish of [
      '\u0000\u0001garbage\n',
      'percentage: 0.9\n---\n',
      `${CHARGED}${CHARGED}`,
    ]) {
      await at.says(BATTERY, rubbish);
      assert.deepEqual(await at.ready(), noBattery, rubbish);
    }
    for (const percentage of ['.nan', '-0.5', '85.0', "'0.9'", '.inf', '']) {
      await at.says(BATTERY, battery(percentage, 1));
      const { kind, output = '' } = (await at.ready()) as { kind: string; output?: string };
      assert.equal(kind, 'failed', percentage);
      assert.match(output, /^cannot tell whether it is safe: .*(percentage|BatteryState)/);
    }
    await at.says(BATTERY, battery('0.9', 7));
    assert.deepEqual(
      await at.ready(),
      unknown(`power_supply_status on ${BATTERY} is 7 (want 0 to 4)`),
    );
    await at.says(BATTERY, CHARGED);
    const noGoals = unknown(`what came on ${STATUS} is no action_msgs/msg/GoalStatusArray`);
    const half = goals(4, 2).split('\n').slice(0, 12).join('\n'); // ended before its status
    for (const rubbish of ['hello\n---\n', half, `${goals(4)}${goals(4)}`]) {
      await at.says(STATUS, rubbish);
      assert.deepEqual(await at.ready(), noGoals, rubbish);
    }
    await at.says(STATUS, goals(4));
    await at.configure(`DOCK_TOPIC=${DOCK}`);
    for (const rubbish of ['\n---\n', 'a value: of two words\n---\n', 'True\n']) {
      await at.says(DOCK, rubbish);
      assert.deepEqual(await at.ready(), unknown(`what came on ${DOCK} has no single value`));
    }
  });

  it('says so when ros2 fails or is not there', async () => {
    await at.says(BATTERY, '');
    await writeFile(join(at.folder, 'says', 'echo.battery_state.exit'), '1');
    const why = `ros2 topic echo ${BATTERY} failed; run it by hand with the settings of ${at.conf}`;
    assert.deepEqual(await at.ready(), unknown(why));
    await rm(join(at.folder, 'bin/ros2'));
    assert.deepEqual(
      await at.ready(),
      unknown(`there is no ros2 on the PATH (ROS_SETUP in ${at.conf})`),
    );
  });

  it('reads the set-up of ROS, and asks as the user of the nodes', async () => {
    const setup = join(at.folder, 'setup.sh');
    // As ROS's own does: it reads what nobody has set, and talks.
    await writeFile(setup, `echo hello\n: "$COLCON_TRACE"\nexport PATH="${at.folder}/ros:$PATH"\n`);
    await mkdir(join(at.folder, 'ros'));
    const runuser = `#!/bin/sh\necho "runuser $1 $2 $3" >> "$STAND_IN_FOLDER/asked"\nshift 3\nexec "$@"\n`;
    for (const [name, text] of [
      ['runuser', runuser],
      ['chown', '#!/bin/sh\nexit 0\n'],
    ] as const) {
      await writeFile(join(at.folder, 'ros', name), text, { mode: 0o755 });
    }
    await at.configure(`ROS_SETUP=${setup}`, 'ROS_USER=robot');
    assert.equal((await at.ready()).kind, 'ok');
    assert.equal((await at.asked())[0], 'runuser -u robot --');
  });

  it('has its reason in `explain`, and the update goes on when the task is over', async (t) => {
    await at.says(STATUS, goals(2));
    const bench = await Bench.open(t, { hookTimeoutMs: 20_000 });
    await bench.hook('ready', `export DROVER_HOOKS_CONF=${at.conf}\nexec ${HOOK}`);
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    const lines = await waitUntil('a reason to wait', () => {
      const said = explainComponent(bench.component.view, Date.now());
      return said.some((line) => line.startsWith('  waits for:')) ? said : null;
    });
    const why = 'on a task: 1 goal(s) of /navigate_to_pose under way';
    assert.ok(lines.includes(`  waits for: the robot is busy: busy (${why})`), lines.join('\n'));
    await at.says(STATUS, goals(4));
    await bench.runs('1.1.0');
  });
});
