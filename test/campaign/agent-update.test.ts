/**
 * The agent updates itself, for minutes: agents that hang, stay silent or damage what they find,
 * and kills at random instants. After each the robot answers, and runs an agent that was confirmed.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { agentBundle, SelfUpdating, TRIAL } from '../e2e/agent-stage.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { Site } from '../e2e/site.ts';
import { makeRandom } from '../kill/kill-plan.ts';
import { seedOfRun, SEED_VARIABLE } from '../helpers/run-seed.ts';

const KILLS = 24;
/** From the start of an update to its end, with a start of two agents between. */
const UPDATE_MS = 6_000;

/** Numbers of the processes that run the program of an agent. */
function agentsOf(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false;
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return (
          /drover-robot\.js$/.test(words[3] ?? '') && words.some((one) => one.includes(folder))
        );
      } catch {
        return false; // it has ended
      }
    });
}

describe('agents that go wrong', () => {
  for (const [what, before, env, code] of [
    ['hangs', 'for (;;);', { DROVER_LAUNCH_GUARD_S: '100' }, 'AGENT_NOT_UP'],
    [
      'reaches no broker',
      'process.argv = process.argv.map((one) => one.replace(/^mqtt:.*/, "mqtt://127.0.0.1:9"));',
      {},
      'AGENT_SILENT',
    ],
    [
      'damages the states of the robot',
      'import { writeFileSync as damage } from "node:fs"; for (const one of process.argv) { const root = one.split("=").at(-1); if (/r1(-agent)?$/.test(root)) for (const file of ["machine.json"]) damage(`${root}/state/${file}`, "x"); } throw new Error("bad");',
      {},
      'AGENT_NOT_UP',
    ],
  ] as const) {
    it(`one that ${what} is left again, with its code`, { timeout: 600_000 }, async (t) => {
      const broker = await startBrokerChild(t);
      const site = await Site.open(t);
      const robot = new SelfUpdating(t, site, broker.url, { ...env });
      await site.publish(broker.url, await agentBundle(site, '1.0.0'), '--id', 'a', ...TRIAL);
      await robot.runs('1.0.0');
      const wrong = await agentBundle(site, '1.1.0', before);
      await site.publish(broker.url, wrong, '--id', 'b', '--supersede', 'a', ...TRIAL);
      const isLeft = (told: string | undefined): boolean => told === code;
      const { version, blocked } = await robot.until(
        `left with ${code}`,
        (one) => one.phase === 'idle' && isLeft(one.last_error?.code),
        { timeoutMs: 400_000 },
      );
      assert.deepEqual([version, blocked], ['1.0.0', ['1.1.0']]);
      const next = await agentBundle(site, '1.2.0');
      await site.publish(broker.url, next, '--id', 'c', '--supersede', 'b', ...TRIAL);
      await robot.runs('1.2.0');
    });
  }
});

it(`survives ${KILLS} kills at random instants of its updates`, { timeout: 900_000 }, async (t) => {
  const seed = seedOfRun();
  t.diagnostic(`${SEED_VARIABLE}=${seed}`);
  const random = makeRandom(seed);
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const robot = new SelfUpdating(t, site, broker.url);
  let before: string[] = [];
  for (let nth = 1; nth <= KILLS; nth += 1) {
    const version = `1.${nth}.0`;
    const bundle = await agentBundle(site, version);
    await site.publish(broker.url, bundle, '--id', `n${nth}`, ...before, ...TRIAL);
    before = ['--supersede', `n${nth}`];
    await sleep(random() * UPDATE_MS);
    for (const pid of agentsOf(site.folder)) process.kill(pid, 'SIGKILL');
    await robot.runs(version);
  }
});
