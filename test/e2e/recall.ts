/**
 * A rollout that is taken back, with real processes: robots that took it go back by themselves,
 * now or when they return; the others are not touched. The test plays the controller: it signs
 * progress. The component may stand beside others.
 */

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parseRobotId, parseRolloutId } from '../../shared/base/ids.ts';
import { type ProgressFields } from '../../shared/formats/progress.ts';
import { progressTopic } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { cohortFraction } from '../../shared/rules/rollout-rules.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site, type ComponentStatus, type Robot } from './site.ts';
import { progressNow } from '../helpers/sign-now.ts';

const ROLLOUT = parseRolloutId('app-1-1-0');
const FLEET = 'test';

/** Ids in the order in which waves reach them; `open` lets in the first two and no more. */
function cohort(): { ids: string[]; open: number } {
  const ids = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'];
  const fraction = (id: string): number => cohortFraction(FLEET, parseRobotId(id));
  ids.sort((a, b) => fraction(a) - fraction(b));
  return { ids, open: fraction(ids[2] as string) };
}

export class Stage {
  readonly broker: BrokerChild;
  readonly site: Site;
  #seq = 0;

  constructor(broker: BrokerChild, site: Site) {
    this.broker = broker;
    this.site = site;
  }

  async progress(fields: Partial<ProgressFields>): Promise<void> {
    this.#seq += 1;
    const seed = new Uint8Array(await readFile(this.site.path('rollout.key')));
    const [from, to] = [Date.now(), Date.now() + 3_600_000];
    const bytes = progressNow(
      {
        ...{ fleet: FLEET, rollout: ROLLOUT, seq: this.#seq, wave: 1, threshold: 0 },
        ...{ issued_at: new Date(from).toISOString(), expires_at: new Date(to).toISOString() },
        status: 'rolling',
        ...fields,
      },
      [seed],
    );
    const { url } = this.broker;
    const log = makeLog('controller', 'silent');
    const wire = await connectWire({ url, clientId: 'controller' }, { onMessage: () => {} }, log);
    await wire.send(progressTopic(ROLLOUT), bytes, { retain: true, qos: 1 });
    await wire.close();
  }
}

/** Two robots that a wave has updated, and one that it has not reached. */
export async function halfWay(
  t: TestContext,
  components: readonly string[] = ['app'],
): Promise<{ stage: Stage; robots: [Robot, Robot, Robot] }> {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t, [], components);
  const { ids, open } = cohort();
  const robots = ids.slice(0, 3).map((id) => site.robot(id, broker.url)) as [Robot, Robot, Robot];
  await site.publish(broker.url, await site.bundle('1.0.0'));
  for (const robot of robots) await robot.runs('1.0.0');
  const stage = new Stage(broker, site);
  const bundle = await site.bundle('1.1.0');
  await site.publish(broker.url, bundle, '--waves', '50,100', '--id', ROLLOUT);
  for (const robot of robots) await robot.until('waits', waitsForWave);
  await stage.progress({ threshold: open });
  await robots[0].runs('1.1.0');
  await robots[1].runs('1.1.0');
  return { stage, robots };
}

const waitsForWave = (s: ComponentStatus): boolean => /join rollout/.test(s.waiting_for ?? '');
const hasGoneBack = (s: ComponentStatus): boolean =>
  s.version === '1.0.0' && s.phase === 'idle' && s.blocked.includes('1.1.0');
const activeOf = (robot: Robot): Promise<string> =>
  readFile(join(robot.root, 'active/VERSION'), 'utf8');

export function describeRecall(components: readonly string[] = ['app']): void {
  describe(`a recall of a rollout of ${components.join(' and ')}`, () => recallCases(components));
}

function recallCases(components: readonly string[]): void {
  it('sends back exactly the robots that took it, now or when they return [P-6.4]', async (t) => {
    const { stage, robots } = await halfWay(t, components);
    const [present, away, untouched] = robots;
    await away.kill();
    await stage.progress({ status: 'rolling_back', recall: true, reasons: ['crash rate'] });
    const back = await present.until('is back', hasGoneBack);
    assert.equal(await activeOf(present), '1.0.0');
    assert.equal(back.last_error?.code, 'ROLLOUT_RECALLED');
    assert.match(back.last_error?.message ?? '', /crash rate/);
    assert.equal(back.last_update?.outcome, 'recalled');
    assert.equal(back.last_update?.rollout, ROLLOUT);

    assert.equal(await activeOf(away), '1.1.0', 'it cannot know yet');
    away.start();
    await away.until('is back', hasGoneBack);
    assert.equal(await activeOf(away), '1.0.0');

    const waited = (s: ComponentStatus): boolean => (s.waiting_for ?? null) !== null;
    const stays = await untouched.until('waits for it no longer', (s) => !waited(s));
    assert.equal(stays.version, '1.0.0');
    assert.deepEqual([stays.blocked, stays.last_error], [[], null]);
    assert.equal(stays.last_update?.outcome, 'installed');

    // The recalled version does not come again by itself; the next version does.
    await stage.progress({ status: 'rolling', threshold: 1 });
    await untouched.runs('1.1.0');
    const held = await present.until('refuses it', hasGoneBack);
    assert.equal(held.last_error?.code, 'ROLLOUT_RECALLED');
    const next = await stage.site.bundle('1.1.1');
    await stage.site.publish(stage.broker.url, next, '--supersede', ROLLOUT);
    for (const robot of robots) await robot.runs('1.1.1');
  });

  it('waits for the interlock of a robot that is busy, also over a power cut', async (t) => {
    const { stage, robots } = await halfWay(t, components);
    const [robot] = robots;
    await robot.hook('ready', 'if [ -e "$DROVER_ROOT/busy" ]; then echo lifting; exit 75; fi');
    await writeFile(join(robot.root, 'busy'), '');
    await stage.progress({ status: 'rolling_back' });
    const isAsked = (s: ComponentStatus): boolean =>
      s.phase === 'rolling_back' && /lifting/.test(s.waiting_for ?? '');
    await robot.until('is asked', isAsked);
    assert.equal(await activeOf(robot), '1.1.0');
    await robot.killAndRestart();
    await robot.until('is asked again', isAsked);
    assert.equal(await activeOf(robot), '1.1.0');
    await rm(join(robot.root, 'busy'));
    await robot.until('is back', hasGoneBack, 90_000);
  });
}
