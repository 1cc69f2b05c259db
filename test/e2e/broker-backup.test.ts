/** A broker is lost with its disk and comes back from a backup, real processes throughout. */

import assert from 'node:assert/strict';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { relayTopic } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { startDrover } from '../helpers/child.ts';
import { freePort } from '../helpers/free-port.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { startRelayChild } from './relay-child.ts';
import { Site } from './site.ts';

interface Run {
  readonly status: string;
  readonly wave: number;
  readonly leading: boolean;
}

class Appliance {
  readonly #scope: TestContext;
  readonly #site: Site;
  readonly #ports: { port: number; httpPort: number };
  broker: BrokerChild;

  private constructor(scope: TestContext, site: Site, first: BrokerChild) {
    this.#scope = scope;
    this.#site = site;
    this.broker = first;
    this.#ports = { port: first.port, httpPort: Number(new URL(first.httpUrl).port) };
  }

  static async start(scope: TestContext, site: Site): Promise<Appliance> {
    const ports = { port: await freePort(), httpPort: await freePort() };
    const first = await startBrokerChild(scope, { data: site.path('d1'), ...ports, ...lead(site) });
    return new Appliance(scope, site, first);
  }

  /** SIGKILL, then a broker on that folder at the same address. */
  async replace(folder: string): Promise<void> {
    await this.lose();
    const data = this.#site.path(folder);
    this.broker = await startBrokerChild(this.#scope, {
      ...{ data, ...this.#ports },
      ...lead(this.#site),
    });
  }

  async lose(): Promise<void> {
    this.broker.child.kill('SIGKILL');
    await this.broker.child.exit;
  }

  async tool(...args: string[]): Promise<Record<string, unknown>> {
    const child = startDrover(this.#scope, 'broker', [...args, '--json']);
    const { code } = await child.exit;
    assert.equal(code, 0, child.describe());
    return JSON.parse(child.stdout) as Record<string, unknown>;
  }

  async run(rollout: string): Promise<Run | null> {
    const response = await fetch(`${this.broker.httpUrl}/rollouts/${rollout}`);
    return response.ok ? ((await response.json()) as { run: Run | null }).run : null;
  }

  async until(rollout: string, what: string, holds: (run: Run) => boolean): Promise<Run> {
    return await waitUntil(
      `${rollout}: ${what}`,
      async () => {
        const run = await this.run(rollout).catch(() => null); // it is starting
        return run && holds(run) ? run : null;
      },
      { timeoutMs: 40_000, look: () => this.broker.child.describe() },
    );
  }

  async say(rollout: string, word: string): Promise<true> {
    const response = await fetch(`${this.broker.httpUrl}/rollouts/${rollout}/${word}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ by: 'test', reason: 'looked' }),
    });
    assert.equal(response.status, 200, await response.text());
    return true;
  }

  async audit(rollout: string): Promise<string[]> {
    const response = await fetch(`${this.broker.httpUrl}/rollouts/${rollout}/history`);
    const { entries } = (await response.json()) as { entries: { kind: string; text: string }[] };
    return entries.map(({ kind, text }) => `${kind}: ${text}`);
  }
}

const lead = (site: Site): { args: string[] } => ({
  args: [
    ...['--trust', site.path('trust.json'), '--rollout-key', site.path('rollout.key')],
    ...['--lease', '8s', '--controller-start', '1s'],
  ],
});

test('a fleet in the middle of a rollout goes on with a broker from an online backup', async (t) => {
  const site = await Site.open(t);
  const appliance = await Appliance.start(t, site);
  const { url } = appliance.broker;
  const robots = ['r1', 'r2', 'r3'].map((id) => site.robot(id, url));
  await site.publish(url, await site.bundle('1.0.0'), '--waves', '100', '--id', 'first');
  for (const robot of robots) await robot.runs('1.0.0');
  const bundle = await site.bundle('1.1.0', { payload: Buffer.alloc(600_000, 'a') });
  const waves = ['--waves', '40,100', '--soak', '1h', '--supersede', 'first'];
  await site.publish(url, bundle, ...waves, '--id', 'second');
  await appliance.until('second', 'its first wave is open', ({ wave }) => wave === 1);
  const updated = await waitUntil('a canary took it', async () => {
    const all = await Promise.all(robots.map(async (one) => (await one.status()).version));
    return all.includes('1.1.0') ? all : null;
  });
  assert.ok(updated.includes('1.0.0'), 'the others wait for their wave');

  const file = site.path('broker.backup');
  const made = await appliance.tool('backup', '--data', appliance.broker.data, '--out', file);
  assert.equal(made['online'], true);
  // The lost broker uses a term that the backup knows nothing of.
  await appliance.replace('d1');
  await appliance.until('second', 'led again', ({ leading }) => leading);
  await appliance.lose();
  const restored = await appliance.tool('restore', file, '--data', site.path('d2'));
  assert.deepEqual(restored['paused'], ['second']);
  await appliance.replace('d2');
  await appliance.until(
    'second',
    'paused and led',
    (one) => one.status === 'paused' && one.leading,
  );
  assert.match((await appliance.audit('second')).join('\n'), /paused: pause by restore: from a/);
  await appliance.say('second', 'resume');
  await waitUntil('the canary is seen again', async () => {
    const response = await fetch(`${appliance.broker.httpUrl}/robots`);
    const { robots: seen } = (await response.json()) as { robots: { online: boolean }[] };
    return seen.length === 3 && seen.every(({ online }) => online);
  });
  // The chunks came from the backup too: this is the first time that the others want them.
  await site.publish(url, bundle, '--waves', '100', '--supersede', 'second', '--id', 'third');
  for (const robot of robots) await robot.runs('1.1.0', 60_000);
});

test('an old backup takes no robot back, and what is published after it reaches all', async (t) => {
  const site = await Site.open(t);
  const appliance = await Appliance.start(t, site);
  const { url } = appliance.broker;
  const robot = site.robot('r1', url);
  await site.publish(url, await site.bundle('1.0.0'), '--id', 'first');
  await robot.runs('1.0.0');
  const file = site.path('old.backup');
  await appliance.lose();
  const backup = ['backup', '--no-chunks', '--data', site.path('d1'), '--out', file];
  assert.equal((await appliance.tool(...backup))['online'], false);
  await appliance.replace('d1');
  await site.publish(url, await site.bundle('1.1.0'), '--supersede', 'first', '--id', 'second');
  await robot.runs('1.1.0');
  await appliance.lose();
  await appliance.tool('restore', file, '--data', site.path('d2'));
  await appliance.replace('d2');
  const refused = await robot.until('has heard of the old one', ({ last_error }) =>
    Boolean(last_error?.code.startsWith('ANNOUNCEMENT_')),
  );
  assert.equal(refused.last_error?.code, 'ANNOUNCEMENT_REPLAYED');
  assert.equal(refused.version, '1.1.0');
  await site.publish(url, await site.bundle('1.2.0'), '--supersede', 'first', '--id', 'third');
  await robot.runs('1.2.0', 60_000);
});

/** Of the progress of the rollout `second`. */
async function floorOf(file: string): Promise<number> {
  const { progress } = JSON.parse(await readFile(file, 'utf8')) as {
    progress: Record<string, number>;
  };
  return progress['second'] ?? 0;
}

test('a rollback reaches robots also when the data folder was put back from a mere copy', async (t) => {
  const site = await Site.open(t);
  const appliance = await Appliance.start(t, site);
  const { url } = appliance.broker;
  const relay = await startRelayChild(t, site, { upstream: url, name: 'hall' });
  const robots = [site.robot('r1', url), site.robot('r2', relay.url)] as const;
  const run = async (version: string): Promise<unknown> =>
    await Promise.all(robots.map((robot) => robot.runs(version, 60_000)));
  await site.publish(url, await site.bundle('1.0.0'), '--id', 'first');
  await run('1.0.0');
  await site.publish(url, await site.bundle('1.1.0'), '--supersede', 'first', '--id', 'second');
  await run('1.1.0');
  await appliance.lose();
  const isFile = (path: string): boolean => !path.endsWith('.sock');
  await cp(site.path('d1'), site.path('copy'), { recursive: true, filter: isFile });
  const floors = async (): Promise<number[]> =>
    await Promise.all(robots.map(({ root }) => floorOf(join(root, 'state/seen.json'))));
  for (let restarts = 0; restarts < 2; restarts += 1) {
    const before = await floors();
    await appliance.replace('d1'); // each leads in a later term, which the copy does not know
    await waitUntil('robots to hear the later term', async () => {
      const now = await floors();
      return now.every((floor, at) => floor > (before[at] ?? 0));
    });
  }
  await robots[0].kill(); // so that nobody but the relay can have said it
  await appliance.replace('copy');
  const presence: string[] = [];
  const onMessage = (_: string, payload: Uint8Array): void => {
    presence.push(Buffer.from(payload).toString());
  };
  const wire = await connectWire({ url, clientId: 'watch' }, { onMessage }, makeLog('t', 'silent'));
  t.after(() => wire.close());
  await wire.subscribe([relayTopic('hall')], 1);
  const refused = /"progress_refused":\[\{"rollout":"second"/;
  await waitUntil('the relay to refuse older words', () =>
    presence.some((one) => refused.test(one)),
  );
  await appliance.until('second', 'led', ({ leading }) => leading);
  const byRelay = /took_over: relay hall heard later/;
  await waitUntil(
    'the relay to be believed, as the only voice that is there',
    async () => byRelay.test((await appliance.audit('second')).join('\n')),
    { timeoutMs: 60_000 },
  );
  await waitUntil(
    'the recall to be taken',
    () => appliance.say('second', 'rollback').then(Boolean, () => null),
    { timeoutMs: 40_000 },
  );
  robots[0].start();
  await run('1.0.0');
  await waitUntil('the relay to refuse nothing', () => !presence.at(-1)?.includes('refused'));
});
