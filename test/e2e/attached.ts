/**
 * `drover-broker --engine` as a contract: the same staged rollout on every stock engine, with real
 * processes of publisher, controllers and robots. An engine is a URL and a profile here.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { EngineName } from '../../broker/mqtt/engine-profile.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { cohortFraction } from '../../shared/rules/rollout-rules.ts';
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

export interface StockEngine {
  readonly url: string;
  readonly profile: EngineName;
  /** An orderly end, and a new start with what it kept. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Null when its program is missing and the test was skipped. */
export type StartStockEngine = (t: TestContext) => Promise<StockEngine | null>;

interface Stage {
  readonly engine: StockEngine;
  readonly site: Site;
  readonly robots: readonly Robot[];
}

async function openStage(t: TestContext, start: StartStockEngine): Promise<Stage | null> {
  const engine = await start(t);
  if (!engine) return null;
  const site = await Site.open(t);
  const robots = oneForEachWave().map((id) => site.robot(id, engine.url));
  await site.publish(engine.url, await site.bundle('1.0.0'));
  for (const robot of robots) await robot.runs('1.0.0');
  return { engine, site, robots };
}

const waitsAfter =
  (wave: number) =>
  ({ run }: ApiRollout): boolean =>
    run?.leading === true && run.wave === wave && run.waits_for === 'approval';

async function runCount(broker: AttachedChild, version: string): Promise<number> {
  const robots = await broker.robots();
  return robots.filter((one) => one.version === version && one.phase === 'idle').length;
}

export function describeAttached(name: string, start: StartStockEngine): void {
  describe(`a broker attached to ${name}`, () => describeRollout(start));
}

function describeRollout(start: StartStockEngine): void {
  it('leads a rollout to its end, over the death of a controller and a restart of the engine', async (t) => {
    const stage = await openStage(t, start);
    if (!stage) return;
    const { engine, site, robots } = stage;
    const at = { engine: engine.url, args: ['--engine-profile', engine.profile] };
    const first = await AttachedChild.start(t, site, { ...at, data: 'first' });
    await site.publish(engine.url, await site.bundle('1.1.0'), ...WAVES);
    await first.until(ROLLOUT, 'waits for approval of wave 1', waitsAfter(1));
    const second = await AttachedChild.start(t, site, { ...at, data: 'second' });
    assert.equal(await runCount(first, '1.1.0'), 1, 'one robot of three is in the first wave');

    const before = await second.get<ApiRollout>(`/rollouts/${ROLLOUT}`);
    assert.equal(before.status, 'rolling', 'who follows shows what the leader says');
    first.child.kill('SIGKILL');
    await first.child.exit;
    await second.until(ROLLOUT, 'leads and has looked', waitsAfter(1));
    const taken = (await second.history(ROLLOUT)).map((one) => one.kind);
    assert.ok(taken.includes('took_over'), taken.join(' '));
    assert.equal(await runCount(second, '1.1.0'), 1, 'a takeover opens nothing');

    await second.approve(ROLLOUT);
    await second.until(ROLLOUT, 'waits for approval of wave 2', waitsAfter(2));
    await engine.stop();
    await waitUntil('the loss to be seen', async () => !(await second.engine()).up);
    const lost = await second.engine();
    assert.equal(lost.problem?.code, 'BROKER_UNREACHABLE');
    await engine.start();
    await waitUntil('the link to be back', async () => (await second.engine()).up, {
      timeoutMs: 60_000,
      look: () => second.child.describe(),
    });
    await second.until(ROLLOUT, 'leads again', waitsAfter(2));
    await second.approve(ROLLOUT);
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
}
