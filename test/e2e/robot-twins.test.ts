/** A robot that is replaced under its id, and two robots that use one id at the same time. */

import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { startDrover, type Child, type ChildOptions } from '../helpers/child.ts';
import { withClock } from '../helpers/faketime.ts';
import { requirePeer } from '../helpers/peer.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const IN_1970 = withClock('@1970-01-02 00:00:00');

/** As a card is copied; a socket is no part of one. */
const COPY = {
  ...{ recursive: true, verbatimSymlinks: true },
  filter: (path: string): boolean => !path.endsWith('.sock'),
};

interface Told {
  readonly events: readonly { event_seq: number; event_epoch: string; to: string; at: string }[];
  readonly twins: { code: string; instances: number } | null;
}

async function told(broker: BrokerChild): Promise<Told> {
  return (await (await fetch(`${broker.httpUrl}/robots/r1`)).json()) as Told;
}

async function clones(broker: BrokerChild): Promise<string> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  return /^drover_robot_clones (\d+)$/m.exec(text)?.[1] ?? '';
}

/** The agent of r1 once more, on another root. */
function startTwin(
  t: TestContext,
  site: Site,
  broker: BrokerChild,
  clock: Pick<ChildOptions, 'under' | 'env'> = {},
): Child {
  const own = ['--id', 'r1', '--root', site.path('twin'), '--hooks', site.path('r1-hooks')];
  const args = [...own, '--broker', broker.url, '--trust', site.path('trust.json')];
  return startDrover(t, 'robot-client', args, clock);
}

async function updated(t: TestContext): Promise<[BrokerChild, Site, Robot]> {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const robot = site.robot('r1', broker.url);
  await site.publish(broker.url, await site.bundle('1.0.0'));
  await robot.runs('1.0.0');
  return [broker, site, robot];
}

describe('a robot that is replaced under its id', () => {
  it('has every event told although its clock begins in 1970', async (t) => {
    if (requirePeer(t, 'faketime') === null) return;
    const [broker, site, robot] = await updated(t);
    await site.publish(broker.url, await site.bundle('1.1.0'));
    await robot.runs('1.1.0');
    await robot.kill();
    const before = (await told(broker)).events.length;
    startTwin(t, site, broker, IN_1970);
    const late = await waitUntil('the first install to be told', async () => {
      const events = (await told(broker)).events.slice(before);
      return events.at(-1)?.to === 'idle' && events.length > 3 ? events : null;
    });
    assert.match(late[0]?.at ?? '', /^1970/);
    assert.deepEqual(
      late.map((one) => one.event_seq),
      late.map((_, at) => at + 1),
      'from the first on, without a gap',
    );
    assert.equal((await told(broker)).twins, null, 'one after the other is no twin');
  });

  it('has every event told when an old image of its disk is put back', async (t) => {
    const [broker, site, robot] = await updated(t);
    await robot.kill();
    await cp(robot.root, site.path('image'), COPY);
    robot.start();
    await site.publish(broker.url, await site.bundle('1.1.0'));
    await robot.runs('1.1.0');
    await robot.kill();
    const before = (await told(broker)).events.length;
    await rm(robot.root, { recursive: true });
    await cp(site.path('image'), robot.root, COPY);
    robot.start();
    await robot.runs('1.1.0');
    await waitUntil('its second install to be told', async () => {
      const events = (await told(broker)).events.slice(before);
      return events.some((one) => one.to === 'downloading') && events.at(-1)?.to === 'idle';
    });
  });
});

describe('two robots with one id', () => {
  it('are named by drover fleet robots while nothing is announced', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    site.robot('r1', broker.url);
    startTwin(t, site, broker);
    const list = async (): Promise<boolean> => {
      const fleet = startDrover(t, 'publisher', ['fleet', 'robots', '--broker', broker.url]);
      await fleet.exit;
      return /r1: two robots use this id \(ROBOT_ID_TWICE\)/.test(fleet.stderr);
    };
    await waitUntil('the list to name them', list, { timeoutMs: 180_000 });
  });

  it('are noticed by the broker and by both robots, and no restart is taken for one', async (t) => {
    const [broker, site, robot] = await updated(t);
    await robot.killAndRestart();
    await robot.runs('1.0.0');
    assert.equal((await told(broker)).twins, null);
    assert.equal(await clones(broker), '0');
    await cp(robot.root, site.path('twin'), COPY);
    const twin = startTwin(t, site, broker);
    const { twins } = await waitUntil(
      'the broker to notice',
      async () => {
        const seen = await told(broker);
        return seen.twins ? seen : null;
      },
      { timeoutMs: 180_000, look: () => `${robot.child.stderr}\n${twin.stderr}` },
    );
    assert.deepEqual([twins?.code, twins?.instances], ['ROBOT_ID_TWICE', 2]);
    assert.equal(await clones(broker), '1');
    for (const root of [robot.root, site.path('twin')]) {
      const explain = async (): Promise<string> => {
        const child = startDrover(t, 'robot-client', ['explain', '--root', root]);
        await child.exit;
        return child.stdout;
      };
      await waitUntil(`${root} to explain it`, async () => /ROBOT_ID_TWICE/.test(await explain()), {
        timeoutMs: 180_000,
      });
    }
    const lines = broker.child.stderr
      .split('\n')
      .filter((line) => /two robots use one id/.test(line));
    assert.equal(lines.length, 1);
  });
});
