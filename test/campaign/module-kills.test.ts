/**
 * A real agent that a module kills with SIGKILL at each boundary of each of its verbs and in the
 * middle of each, while the module itself goes on. After any cut, `active` leads to a complete old
 * or new release, and in the end the board runs what `active` names.
 */

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Child } from '../helpers/child.ts';
import {
  BOARD,
  BOARD_STRATEGY,
  callsOf,
  flashOf,
  writeBoard,
  type Faults,
} from '../helpers/board-module.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { checkBoot, isIdle, readActive, readStateFile, type Update } from '../kill/boot-check.ts';
import { KillSite } from '../kill/kill-site.ts';

const ROBOT = 'r1';
const APP = { fileCount: 4, fileBytes: 1_000, chunkBytes: 128 * 1024, strategy: BOARD_STRATEGY };
/** The module kills its agent, once for each point, and goes on for long enough to be met again. */
const KILL =
  'test -e "$DROVER_MODULE_DIR/$DROVER_VERSION-$verb-$1" || ! kill -0 $PPID 2>/dev/null || { : >"$DROVER_MODULE_DIR/$DROVER_VERSION-$verb-$1"; kill -9 $PPID; sleep 0.2; }';
const VERBS = ['probe', 'stage', 'switch', 'verify', 'confirm', 'revert', 'version'] as const;
/** Verbs with a middle. */
const LONG = ['stage', 'switch', 'verify', 'confirm', 'revert', 'version'];
const UPDATE_TIMEOUT_MS = 120_000;

const pointsOf = (verb: string): string[] =>
  [...['first', 'last'], ...(LONG.includes(verb) ? ['mid'] : [])].map((at) => `${verb} ${at}`);

const killedAt = (verbs: readonly string[]): Faults =>
  Object.fromEntries(verbs.flatMap(pointsOf).map((point) => [point, KILL]));

class Victim {
  readonly #site: KillSite;
  readonly #modules: string;
  #agent: Child;
  kills = 0;

  constructor(site: KillSite, modules: string) {
    this.#site = site;
    this.#modules = modules;
    this.#agent = this.#start();
  }

  get root(): string {
    return this.#site.rootOf(ROBOT);
  }

  #start(): Child {
    // Each start in probation counts as a boot, and there are more of them here than any robot has.
    const args = ['--modules', this.#modules, '--max-boots', '100'];
    return this.#site.startAgent(ROBOT, { args });
  }

  /** Starts the agent again as often as it is killed, until the update has ended. */
  async follow(update: Update): Promise<void> {
    const { to } = update;
    let exit = this.#watch();
    await waitUntil(
      `the update to ${to.version} to end`,
      async () => {
        const signal = await Promise.race([exit, Promise.resolve(null)]);
        if (signal !== null) {
          assert.equal(signal, 'SIGKILL', this.#agent.describe());
          this.kills += 1;
          const { violations } = await checkBoot(this.root, update);
          assert.deepEqual(violations, []);
          this.#agent = this.#start();
          exit = this.#watch();
          return false;
        }
        if (!(await isIdle(this.root))) return false;
        const { blocked, lastUpdate } = await readStateFile(this.root);
        const isBlocked = blocked.some((one) => one.version === to.version);
        const isOver = isBlocked || lastUpdate?.version === to.version;
        return isOver && (await flashOf(this.root)) === (await readActive(this.root));
      },
      { timeoutMs: UPDATE_TIMEOUT_MS, look: () => this.#agent.describe() },
    );
  }

  /** Ends with the signal of the agent that runs now. */
  async #watch(): Promise<string> {
    const { signal, code } = await this.#agent.exit;
    return signal ?? `exit ${code}`;
  }

  async stop(): Promise<void> {
    await this.#agent.stop();
  }
}

test('an agent that is killed at each point of each verb ends on old and old, or new and new', async (t) => {
  const modules = join(await tempFolder(t), 'modules.d');
  await writeBoard(modules);
  const site = await KillSite.open(t, APP);
  const victim = new Victim(site, modules);
  const first = await site.prepare(true);
  await site.announce(ROBOT, first);
  await victim.follow({ from: null, to: first });
  assert.equal(victim.kills, 0);

  await writeBoard(modules, killedAt(VERBS));
  const good = await site.prepare(true);
  await site.announce(ROBOT, good);
  await victim.follow({ from: first, to: good });
  assert.equal(await readActive(victim.root), good.version);

  const bad = await site.prepare(false);
  await site.announce(ROBOT, bad);
  await victim.follow({ from: good, to: bad });
  assert.equal(await readActive(victim.root), good.version);
  const { blocked } = await readStateFile(victim.root);
  assert.deepEqual(
    blocked.map(({ version, code }) => [version, code]),
    [[bad.version, 'HEALTH_FAILED']],
  );
  await victim.stop();

  const marks = await readdir(join(victim.root, 'modules', BOARD));
  const met = (version: string): string[] =>
    marks
      .filter((one) => one.startsWith(`${version}-`))
      .map((one) => one.slice(version.length + 1));
  const want = (verbs: readonly string[]): string[] =>
    verbs.flatMap(pointsOf).map((point) => point.replace(' ', '-'));
  const going = VERBS.filter((verb) => verb !== 'revert');
  assert.deepEqual(met(good.version).sort(), want(going).sort());
  const back = VERBS.filter((verb) => verb !== 'confirm');
  assert.deepEqual(met(bad.version).sort(), want(back).sort());
  // And at rest, when what runs is asked for.
  const all = [first, good, bad].flatMap(({ version }) => met(version));
  assert.equal(victim.kills, all.length);
  const calls = (await callsOf(victim.root)).length;
  t.diagnostic(`${victim.kills} kills, ${calls} runs of the module`);
});
