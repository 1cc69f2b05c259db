/**
 * The agent as a component, on the bench: each life of the bench is a process of the agent, which
 * runs the release that its test chose, as drover-launch would. The whole with real processes is in
 * test/e2e/agent-update.slow.test.ts.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { SelfSide } from '../../../robot-client/self/self-side.ts';
import { AGENT_FILES, STATE_SCHEMA_READ } from '../../../shared/rules/agent-bundle.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tarGz, type SignedBundle } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';

const NEW = '1.1.0';

async function agentBundle(
  version: string,
  more: { schema?: number; files?: Record<string, string>; strategy?: string } = {},
): Promise<SignedBundle> {
  const { schema = STATE_SCHEMA_READ, strategy = 'atomic_swap' } = more;
  const payload = await tarGz({
    [AGENT_FILES.script]: { text: `#!/bin/sh\n# ${version}\n`, mode: 0o755 },
    [AGENT_FILES.program]: `// ${version}\n`,
    [AGENT_FILES.manifest]: JSON.stringify({ drover: { stateSchema: schema } }),
    ...more.files,
  });
  return await fleet.makeBundle({ version, payload, manifest: { apply_strategy: strategy } });
}

/** A robot whose agent is a component. */
class Robot {
  readonly bench: Bench;
  /** Makes another process. */
  readonly launch: () => SelfSide;
  readonly #made: SelfSide[];
  /** Releases that end at once when they start, with the reason that drover-launch notes. */
  readonly broken: Map<string, string>;
  readonly seen: { isLinkUp: boolean; isHeard: boolean };

  private constructor(
    bench: Bench,
    launch: () => SelfSide,
    parts: Pick<Robot, 'broken' | 'seen'> & { made: SelfSide[] },
  ) {
    this.bench = bench;
    this.launch = launch;
    this.broken = parts.broken;
    this.seen = parts.seen;
    this.#made = parts.made;
  }

  static async open(t: TestContext, { isLaunched = true } = {}): Promise<Robot> {
    const root = await tempFolder(t);
    const [made, broken] = [[] as SelfSide[], new Map<string, string>()];
    const seen = { isLinkUp: true, isHeard: true };
    let bench: Bench | null = null;
    const launch = (): SelfSide => {
      const self = startAgent(root, { broken, seen, isLaunched, bench: () => bench });
      made.push(self);
      return self;
    };
    const more = Object.defineProperty({ healthIntervalMs: 5 }, 'self', {
      get: launch,
      enumerable: true,
    });
    bench = await Bench.open(t, more, root);
    return new Robot(bench, launch, { made, broken, seen });
  }

  /** The process that runs now. */
  get self(): SelfSide {
    return this.#made.at(-1) ?? assert.fail('no process was started');
  }

  /** Waits for a process to end, so that another release starts, and starts what drover-launch would. */
  async restart(): Promise<void> {
    const { self } = this;
    await waitUntil('the process to end', () => self.isEnding, {
      look: () => this.bench.describe(),
    });
    await this.bench.cutPower();
  }

  get active(): string {
    return readlinkSync(join(this.bench.root, 'active')).replace('releases/', '');
  }

  get problem(): string | null {
    const { state, live } = this.bench.component.view;
    return state.lastProblem?.code ?? live.refusal?.problem.code ?? null;
  }

  async until(code: string): Promise<void> {
    await waitUntil(code, () => this.problem === code, { look: () => this.bench.describe() });
  }
}

function startAgent(
  root: string,
  on: Pick<Robot, 'broken' | 'seen'> & { isLaunched: boolean; bench: () => Bench | null },
): SelfSide {
  const bench = on.bench();
  const versionOf = (link: string): string | null => {
    try {
      return readlinkSync(join(root, link)).replace('releases/', '');
    } catch {
      return null;
    }
  };
  const active = bench ? versionOf('active') : OLD;
  const why = on.broken.get(active ?? '');
  const runs = why === undefined ? active : versionOf('rollback');
  const programPath = join(root, 'releases', runs ?? 'none', AGENT_FILES.program);
  if (bench === null) {
    mkdirSync(join(root, 'releases', OLD, 'dist'), { recursive: true });
    writeFileSync(programPath, '//');
  }
  const self = new SelfSide({
    ...{ root, disk: realDisk, programPath, log: makeLog('bench', 'silent'), product: '0.9.0' },
    environment: {
      ...(on.isLaunched && { DROVER_AGENT_LAUNCHED: '1' }),
      ...(why !== undefined && { DROVER_AGENT_INSTEAD: `${active} ${why}` }),
    },
    askDoor: () => Promise.resolve(),
  });
  self.join({
    isLinkUp: () => on.seen.isLinkUp,
    closedRoots: () => [],
    onTrial: () => bench?.component.view.state.job?.version ?? null,
  });
  if (on.seen.isHeard) self.noteHeard();
  return self;
}

describe('an agent that updates itself', () => {
  it('ends after the switch, and the new one confirms itself', async (t) => {
    const robot = await Robot.open(t);
    assert.equal(robot.self.running, OLD);
    robot.bench.announce(await agentBundle(NEW), NEW);
    await robot.restart();
    assert.equal(robot.self.running, NEW);
    await robot.bench.runs(NEW);
    assert.deepEqual(robot.bench.codes, []);
  });

  it('is not confirmed before the broker took a report of it', async (t) => {
    const robot = await Robot.open(t);
    robot.seen.isHeard = false;
    robot.bench.announce(await agentBundle(NEW), NEW);
    await robot.restart();
    assert.match((await robot.self.whyUnwell()) ?? '', /took no report/);
    assert.equal(robot.bench.component.view.state.phase, 'probation');
    robot.self.noteHeard();
    await robot.bench.runs(NEW);
  });

  it('waits with the switch while there is no link', async (t) => {
    const robot = await Robot.open(t);
    robot.seen.isLinkUp = false;
    robot.bench.announce(await agentBundle(NEW), NEW);
    await waitUntil('the wait', () => robot.bench.waits.some((one) => /no link/.test(one)), {
      look: () => robot.bench.describe(),
    });
    assert.equal(robot.active, OLD);
  });

  it('goes back when drover-launch gave the new one up, and says how it ended', async (t) => {
    const robot = await Robot.open(t);
    robot.broken.set(NEW, '3 exited 1');
    robot.bench.announce(await agentBundle(NEW), NEW);
    await robot.restart();
    assert.equal(robot.self.running, OLD);
    await robot.bench.runs(OLD);
    const { state } = robot.bench.component.view;
    assert.match(
      state.lastProblem?.message ?? '',
      /not confirmed in 3 starts; the last one: exited 1/,
    );
    assert.deepEqual(
      state.blocked.map(({ version, code }) => [version, code]),
      [[NEW, 'AGENT_NOT_UP']],
    );
  });

  it('goes back to the one before when it is not well, and that one ends the way back', async (t) => {
    const robot = await Robot.open(t);
    robot.seen.isHeard = false;
    robot.bench.announce(await agentBundle(NEW), NEW, { health_timeout_s: 1 });
    await robot.restart();
    robot.seen.isHeard = true;
    await robot.restart();
    assert.equal(robot.self.running, OLD);
    await robot.bench.runs(OLD);
    await robot.until('AGENT_UNHEARD');
    assert.deepEqual(robot.bench.component.view.state.blocked, []);
  });

  it('survives a cut of the power in each phase, and ends on the new one', async (t) => {
    const robot = await Robot.open(t);
    const cut = new Set<string>();
    const failures: unknown[] = [];
    robot.bench.onPhase = (phase) => {
      if (cut.has(phase) || phase === 'idle') return;
      cut.add(phase);
      robot.bench.cutPower().catch((error: unknown) => failures.push(error));
    };
    robot.bench.announce(await agentBundle(NEW), NEW);
    await waitUntil(
      'the new one',
      async () => {
        if (robot.self.isEnding) await robot.bench.cutPower();
        const { version, state } = robot.bench.component.view;
        return version === NEW && state.phase === 'idle' && robot.self.running === NEW;
      },
      { look: () => robot.bench.describe() },
    );
    assert.deepEqual(failures, []);
    assert.ok(cut.has('swapping') && cut.has('probation'), [...cut].join(' '));
  });

  it('goes back when its rollout is recalled, by the one before', async (t) => {
    const robot = await Robot.open(t);
    robot.bench.announce(await agentBundle(NEW), NEW);
    await robot.restart();
    await robot.bench.runs(NEW);
    robot.bench.recall(NEW);
    await robot.restart();
    assert.equal(robot.self.running, OLD);
    await robot.until('ROLLOUT_RECALLED');
    await robot.bench.runs(OLD);
  });

  it('counts its starts no more when a report was taken, unless it is on trial', async (t) => {
    const robot = await Robot.open(t);
    const starts = join(robot.bench.root, 'state/starts');
    const count = (version: string): void => {
      mkdirSync(starts, { recursive: true });
      writeFileSync(join(starts, version), '2\n');
    };
    count(OLD);
    robot.seen.isHeard = false;
    const again = robot.launch();
    again.start();
    again.noteHeard();
    await waitUntil('the count to go', () => !existsSync(starts));
    count(OLD);
    const untried = robot.launch();
    await untried.close();
    assert.ok(existsSync(join(starts, OLD)), 'one that never opened its roots did not come up');
    untried.start();
    await untried.close();
    assert.ok(!existsSync(join(starts, OLD)));
  });

  it('says that another one runs in place of a confirmed one', async (t) => {
    const robot = await Robot.open(t);
    robot.bench.announce(await agentBundle(NEW), NEW);
    await robot.restart();
    await robot.bench.runs(NEW);
    robot.broken.set(NEW, '3 killed SEGV');
    await robot.bench.cutPower();
    assert.equal(robot.self.running, OLD);
    const said = (): string => robot.bench.component.view.live.module?.problem.message ?? '';
    await waitUntil('the word', () => /1\.0\.0 runs in its place.*SEGV/.test(said()));
  });

  it('refuses a release that is no agent, one that it could not follow, and one for a module', async (t) => {
    const robot = await Robot.open(t);
    const wrong = [
      [{ files: { [AGENT_FILES.program]: '' } }, 'AGENT_RELEASE_INVALID'],
      [{ schema: STATE_SCHEMA_READ + 1 }, 'AGENT_STATE_NEWER'],
      [{ files: { 'package.json': '{}' } }, 'AGENT_RELEASE_INVALID'],
      [{ strategy: 'module/container' }, 'AGENT_STRATEGY'],
    ] as const;
    for (const [nth, [more, code]] of wrong.entries()) {
      const version = `1.1.${nth}`;
      robot.bench.announce(await agentBundle(version, more), version);
      await robot.until(code);
    }
    assert.equal(robot.active, OLD);
  });

  it('refuses every one when drover-launch did not start it', async (t) => {
    const robot = await Robot.open(t, { isLaunched: false });
    robot.bench.announce(await agentBundle(NEW), NEW);
    await robot.until('AGENT_NOT_LAUNCHED');
    assert.deepEqual(readdirSync(join(robot.bench.root, 'releases')), [OLD]);
  });
});
