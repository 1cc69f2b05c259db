/**
 * `drover-broker --engine` on a stock mosquitto with the mosquitto.conf of this repository: real
 * processes everywhere, and mosquitto restarted, killed and emptied under them.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { cohortFraction } from '../../shared/cohort.ts';
import { parseRobotId } from '../../shared/ids.ts';
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild, type ApiRollout } from './attached-child.ts';
import { Site, type Robot } from './site.ts';

const ROLLOUT = 'app-1-1-0';
/** A wave for each robot, and a person between them: the test decides when it goes on. */
const WAVES = [
  ['--waves', '34,67,100', '--approve', '1,2', '--soak', '1s', '--id', ROLLOUT],
  ['--gate', 'batch_s=1', '--gate', 'evidence_wait_s=2', '--late-spread', '1s'],
].flat();

/** One robot for each wave: the first whose place in the cohort is in that third. */
function oneForEachWave(): string[] {
  const ids = Array.from({ length: 40 }, (_, at) => `r${at + 1}`);
  return [0, 1, 2].map((third) => {
    const found = ids.find((id) => {
      const fraction = cohortFraction('test', parseRobotId(id));
      return fraction > third * 0.34 + 0.01 && fraction < (third + 1) * 0.33;
    });
    assert.ok(found);
    return found;
  });
}

interface Stage {
  readonly engine: Mosquitto;
  readonly site: Site;
  readonly robots: readonly Robot[];
}

async function openStage(t: TestContext, ids = oneForEachWave()): Promise<Stage | null> {
  const engine = await startMosquitto(t);
  if (!engine) return null;
  const site = await Site.open(t);
  const robots = ids.map((id) => site.robot(id, engine.url));
  await site.publish(engine.url, await site.bundle('1.0.0'));
  for (const robot of robots) await robot.runs('1.0.0');
  return { engine, site, robots };
}

async function restart(t: TestContext, { port, folder }: Mosquitto): Promise<Mosquitto> {
  const again = await startMosquitto(t, { port, folder });
  assert.ok(again);
  return again;
}

const waitsAfter =
  (wave: number) =>
  ({ run }: ApiRollout): boolean =>
    run?.leading === true && run.wave === wave && run.waits_for === 'approval';

async function runCount(broker: AttachedChild, version: string): Promise<number> {
  const robots = await broker.robots();
  return robots.filter((one) => one.version === version && one.phase === 'idle').length;
}

describe('a broker attached to mosquitto', () => {
  it('leads a rollout to its end, over the death of a controller and a restart of mosquitto', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const { engine, site, robots } = stage;
    const first = await AttachedChild.start(t, site, { engine: engine.url, data: 'first' });
    await site.publish(engine.url, await site.bundle('1.1.0'), ...WAVES);
    await first.until(ROLLOUT, 'waits for approval of wave 1', waitsAfter(1));
    const second = await AttachedChild.start(t, site, { engine: engine.url, data: 'second' });
    assert.equal(await runCount(first, '1.1.0'), 1, 'one robot of three is in the first wave');

    const before = await second.get<ApiRollout>(`/rollouts/${ROLLOUT}`);
    assert.equal(before.status, 'rolling', 'who follows shows what the leader says');
    first.child.kill('SIGKILL');
    await first.child.exit;
    await second.until(ROLLOUT, 'leads and has looked', waitsAfter(1));
    const taken = (await second.history(ROLLOUT)).map((one) => one.kind);
    assert.ok(taken.includes('took_over'), taken.join(' '));
    assert.equal(await runCount(second, '1.1.0'), 1, 'a takeover opens nothing');

    await second.say(ROLLOUT, 'approve');
    await second.until(ROLLOUT, 'waits for approval of wave 2', waitsAfter(2));
    await engine.child.stop();
    await waitUntil('the loss to be seen', async () => !(await second.engine()).up);
    const lost = await second.engine();
    assert.equal(lost.problem?.code, 'BROKER_UNREACHABLE');
    await restart(t, engine);
    await waitUntil('the link to be back', async () => (await second.engine()).up, {
      timeoutMs: 60_000,
      look: () => second.child.describe(),
    });
    await second.until(ROLLOUT, 'leads again', waitsAfter(2));
    await second.say(ROLLOUT, 'approve');
    for (const robot of robots) await robot.runs('1.1.0', 60_000);
    const done = await second.until(ROLLOUT, 'is complete', (one) => one.status === 'complete');
    assert.equal(done.run?.threshold, 1);
    await waitUntil('the API to show it', async () => (await runCount(second, '1.1.0')) === 3);
    const rows = await second.robots();
    assert.deepEqual(
      rows.map((one) => one.online),
      [true, true, true],
    );
  });
});
