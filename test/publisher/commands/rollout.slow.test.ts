/**
 * `drover rollout` as people and scripts meet it: real processes against a real broker that leads.
 * Robots are what they retain there: their state and that they are online.
 */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { connectWire, type MqttWire } from '../../../shared/io/mqtt-wire.ts';
import { encodeMessage, type ComponentStateFields } from '../../../shared/formats/messages.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { startBrokerChild, type BrokerChild } from '../../e2e/broker-child.ts';
import { startChild, startDrover, type Child } from '../../helpers/child.ts';
import { freePort, NOBODY_PORT } from '../../helpers/free-port.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { programFile } from '../../helpers/program-file.ts';
import { repositoryFile } from '../../helpers/repository.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { makeBundleFolder, writeFleetFiles } from '../bundle-maker.ts';

const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };
const RETAINED = { retain: true, qos: 1 } as const;
const MAIN = programFile('publisher');
const CLEAN = { DROVER_KEY: undefined, DROVER_TOKEN: undefined, DROVER_API: undefined };

interface Status {
  readonly run: {
    status: string;
    wave: number;
    waits_for: string | null;
    gate: { kind: string } | null;
  } | null;
}

/** A site with a broker that leads, a signed bundle 2.0.0, and robots r1 to r4 on 1.0.0. */
class Site {
  readonly t: TestContext;
  readonly folder: string;
  readonly #args: readonly string[];
  broker: BrokerChild;
  #wire: MqttWire;

  private constructor(
    t: TestContext,
    at: { folder: string; args: readonly string[]; broker: BrokerChild; wire: MqttWire },
  ) {
    this.t = t;
    this.folder = at.folder;
    this.#args = at.args;
    this.broker = at.broker;
    this.#wire = at.wire;
  }

  static async open(t: TestContext): Promise<Site> {
    const folder = await tempFolder(t);
    await writeFleetFiles(folder);
    await makeBundleFolder(folder, '2.0.0');
    const args = [
      ...['--trust', join(folder, 'trust.json'), '--rollout-key', join(folder, 'rollout.key')],
      ...['--controller-start', '0'],
    ];
    const broker = await startBrokerChild(t, { httpPort: await freePort(), args });
    const wire = await connectWire(
      { url: broker.url, clientId: 'robots' },
      { onMessage() {} },
      QUIET,
    );
    t.after(() => wire.close());
    const site = new Site(t, { folder, args, broker, wire });
    for (const robot of ['r1', 'r2', 'r3', 'r4']) {
      await site.say(robot, { version: '1.0.0' });
      await wire.send(`fleet/robots/${robot}/online`, encodeMessage({ online: true }), RETAINED);
    }
    return site;
  }

  async say(robot: string, component: Partial<ComponentStateFields>): Promise<void> {
    const app = { name: 'app', version: '1.0.0', phase: 'idle', ...component } as const;
    const at = new Date().toISOString();
    const state = { robot_id: robot, at, arch: 'x86_64', components: [app] };
    const topic = `fleet/robots/${robot}/state`;
    // After a restart of the broker the link may wait for its next try.
    await waitUntil(
      'the broker to take it',
      () => this.#wire.send(topic, encodeMessage(state), RETAINED).then(() => true),
      { timeoutMs: 60_000 },
    );
  }

  /** The robot has taken a rollout of 2.0.0, or has gone back from it. */
  async took(robot: string, rollout: string, outcome: 'installed' | 'recalled'): Promise<void> {
    const at = new Date().toISOString();
    const times = { started_at: at, ended_at: at, took_s: 1, bytes: 1 };
    await this.say(robot, {
      version: outcome === 'installed' ? '2.0.0' : '1.0.0',
      previous_version: '1.0.0',
      last_update: { rollout, version: '2.0.0', outcome, ...times },
      blocked: outcome === 'recalled' ? ['2.0.0'] : [],
    });
  }

  /** The same broker again, after SIGKILL, once these have noticed that it was away. */
  async restartBroker(...watchers: readonly Child[]): Promise<void> {
    const { data, port, httpUrl, child } = this.broker;
    child.kill('SIGKILL');
    await child.exit;
    for (const one of watchers) {
      await waitUntil('it to be noticed', () => /trying again/.test(one.stderr));
    }
    const httpPort = Number(new URL(httpUrl).port);
    this.broker = await startBrokerChild(this.t, { data, port, httpPort, args: this.#args });
  }

  start(...words: string[]): Child {
    const env = { ...CLEAN, DROVER_API: this.broker.httpUrl, USER: 'erin' };
    return startDrover(this.t, 'publisher', words, { cwd: this.folder, env });
  }

  async ok(...words: string[]): Promise<string> {
    const child = this.start(...words);
    assert.deepEqual(await child.exit, { code: 0, signal: null }, child.describe());
    return child.stdout;
  }

  async refused(exit: number, code: string, ...words: string[]): Promise<Child> {
    const child = this.start(...words);
    await child.exit;
    assert.equal(child.ended?.code, exit, child.describe());
    assert.match(child.stderr, new RegExp(`^drover: error: .* \\(${code}\\)$`, 'm'));
    return child;
  }

  publishWords(id: string, ...more: string[]): string[] {
    const signed = ['--key', 'rollout.key', '--trust', 'trust.json'];
    return ['publish', '2.0.0', '--broker', this.broker.url, ...signed, '--id', id, ...more];
  }

  async until(id: string, what: string, holds: (run: Status['run']) => boolean): Promise<void> {
    let last = '';
    await waitUntil(
      `rollout ${id}: ${what}`,
      async () => {
        const response = await fetch(`${this.broker.httpUrl}/rollouts/${id}`);
        last = await response.text();
        return holds((JSON.parse(last) as Status).run);
      },
      { timeoutMs: 40_000, look: () => `${last}\n${this.broker.child.describe()}` },
    );
  }

  async metrics(): Promise<string[]> {
    return (await (await fetch(`${this.broker.httpUrl}/metrics`)).text()).split('\n');
  }

  async told(rollout: string): Promise<string> {
    return await (await fetch(`${this.broker.httpUrl}/rollouts/${rollout}/history`)).text();
  }

  async leads(): Promise<void> {
    const isLeading = async () => (await this.metrics()).includes('drover_controller_leading 1');
    await waitUntil('the broker to lead', isLeading, { timeoutMs: 30_000 });
  }

  /** On a real pseudo-terminal. */
  terminal(python: string, prompt: string, answer: string, ...words: string[]): Child {
    const script = repositoryFile('test/publisher/terminal.py');
    const args = [script, prompt, answer, process.execPath, MAIN, ...words];
    const env = { ...CLEAN, DROVER_API: this.broker.httpUrl, TERM: 'xterm' };
    return startChild(this.t, python, args, { cwd: this.folder, env });
  }
}

/** The decisions about `x-1` are in its history and in the metrics. */
async function assertTold(site: Site): Promise<void> {
  const history = await site.ok('rollout', 'history', 'x-1');
  assert.match(history, /^\d+ {2}\S+Z {2}approved {2}approve of wave \d by kim {2}\[kim\]$/m);
  const { entries } = JSON.parse(await site.ok('rollout', 'history', 'x-1', '--json')) as {
    entries: { seq: number; kind: string; evidence: object[] }[];
  };
  assert.deepEqual(
    entries.map(({ seq }) => seq),
    entries.map((_, at) => at + 1),
  );
  assert.ok(entries.some((one) => one.kind === 'passed' && one.evidence.length > 0));

  const metrics = await site.metrics();
  for (const line of [
    'drover_controller_leading 1',
    'drover_rollout_status{rollout="x-1",status="complete"} 1',
    'drover_rollout_robots{rollout="x-1",state="running"} 4',
    'drover_rollout_decisions_total{kind="completed"} 1',
  ]) {
    assert.ok(metrics.includes(line), line);
  }
}

describe('drover rollout', { concurrency: 2 }, () => {
  test('a rollout is seen, paused, resumed, approved and followed to its end over a broker that was killed', async (t) => {
    const site = await Site.open(t);
    const words = ['--waves', '100', '--soak', '0', '--canaries', 'r1', '--approve', '0'];
    const more = ['--gate', 'batch_s=1', '--late-spread', '1m'];
    const said = await site.ok(...site.publishWords('x-1', ...words, ...more));
    assert.match(said, /^canaries first: r1, soak 0 as the first wave$/m);
    assert.match(said, /^gates: batch_s=1$/m);
    await site.until('x-1', 'waits for its canary', (run) => run?.waits_for === 'robots');
    const watch = site.start('rollout', 'watch', 'x-1');
    const objects = site.start('rollout', 'watch', 'x-1', '--json');
    await watch.waitForOutput(/rolling, canaries/);
    await objects.waitForOutput(/"rolling"/);

    assert.match(await site.ok('rollout', 'list'), /^x-1 +app 2\.0\.0 +rolling +0\/1 .*robots$/m);
    const paused = await site.ok('rollout', 'pause', 'x-1', '--reason', 'line 2 is down');
    assert.equal(paused, 'pause: rollout x-1 was rolling, is paused\n');
    await site.refused(3, 'ROLLOUT_COMMAND_INVALID', 'rollout', 'pause', 'x-1');
    const status = await site.ok('rollout', 'status', 'x-1');
    assert.match(status, /^rollout {3}x-1: app 2\.0\.0\nstatus {4}paused, canaries, open to 0 %/m);
    assert.match(status, /^robots {4}4 targeted: 0 run it, 0 in progress, 0 failed, 4 waiting$/m);
    assert.match(status, /^ {2}0 {2}canaries: 1 robot +soak 0 +open since \d{4}-/m);
    assert.match(status, /^ {2}pause by erin: line 2 is down$/m);
    assert.doesNotMatch(status, /\u001b/, 'a pipe gets no colours');
    const resumed = await site.ok('rollout', 'resume', 'x-1', '--json');
    assert.equal((JSON.parse(resumed) as Status).run?.status, 'rolling');

    await site.took('r1', 'x-1', 'installed');
    await site.until('x-1', 'waits for a person', (run) => run?.waits_for === 'approval');
    const gate = await site.ok('rollout', 'status', 'x-1');
    assert.match(gate, /^waits {5}for a person: drover rollout approve x-1$/m);
    assert.match(gate, /^gate {6}pass\n +apply +bound +pass +1 of 1/m);
    await site.restartBroker(watch, objects);
    await site.ok('rollout', 'status', 'x-1');
    // The leader of before is gone without a word: a new one leads after the lease has settled.
    await site.leads();
    await site.ok('rollout', 'approve', 'x-1', '--by', 'kim');
    await site.until('x-1', 'its wave is open', (run) => run?.wave === 1);
    for (const robot of ['r2', 'r3', 'r4']) await site.took(robot, 'x-1', 'installed');

    assert.deepEqual(await watch.exit, { code: 0, signal: null }, watch.describe());
    assert.deepEqual(await objects.exit, { code: 0, signal: null }, objects.describe());
    assert.match(watch.stdout.trimEnd().split('\n').at(-1) ?? '', /complete, wave 1 of 1/);
    assert.equal(watch.stderr.match(/trying again/g)?.length, 1, watch.describe());
    assert.equal(watch.stderr.match(/answers again/g)?.length, 1, watch.describe());
    const seen = objects.stdout.trimEnd().split('\n');
    const statuses = seen.map((line) => (JSON.parse(line) as Status).run?.status);
    assert.deepEqual([...new Set(statuses)], ['rolling', 'paused', 'complete']);
    assert.equal(new Set(seen).size, seen.length, 'a line is a change');

    await assertTold(site);
  });

  test('a rollback wants a yes, is shown to those who watch, and is final', async (t) => {
    const site = await Site.open(t);
    const python = requirePeer(t, 'python3');
    if (python === null) return;
    await site.ok(...site.publishWords('x-2', '--waves', '50,100', '--soak', '1h'));
    await site.until('x-2', 'is open', (run) => run?.waits_for === 'robots');
    await site.took('r1', 'x-2', 'installed');

    for (const verb of ['abort', 'rollback']) {
      const silent = await site.refused(2, 'USAGE', 'rollout', verb, 'x-2');
      assert.match(silent.stderr, /hint: add --yes/);
      const dry = await site.ok('rollout', verb, 'x-2', '--dry-run');
      assert.match(dry, new RegExp(`^would ${verb} rollout x-2; now:$`, 'm'));
    }
    const prompt = 'Type the id to go on: ';
    for (const answer of ['x-1', '']) {
      const wrong = site.terminal(python, prompt, answer, 'rollout', 'rollback', 'x-2');
      assert.equal((await wrong.exit).code, 2, wrong.describe());
      assert.match(wrong.stdout, /not confirmed \(want x-2 typed\) \(USAGE\)/);
    }
    await site.until('x-2', 'still rolls', (run) => run?.status === 'rolling');

    const watch = site.start('rollout', 'watch', 'x-2');
    const drawn = site.terminal(python, 'no prompt', '', 'rollout', 'watch', 'x-2');
    await watch.waitForOutput(/rolling, wave 1 of 2/);
    await drawn.waitForOutput(/rolling, wave 1 of 2/);
    const typed = site.terminal(python, prompt, 'x-2', 'rollout', 'rollback', 'x-2');
    assert.deepEqual(await typed.exit, { code: 0, signal: null }, typed.describe());
    assert.match(typed.stdout, /every robot that took it goes back \(1 run it, 0 are taking it\)/);
    assert.match(typed.stdout, /rollback: rollout x-2 was rolling, is rolling back/);
    await watch.waitForOutput(/rolling back/);
    await site.took('r1', 'x-2', 'recalled');
    for (const child of [watch, drawn]) {
      assert.deepEqual(await child.exit, { code: 3, signal: null }, child.describe());
    }
    assert.match(watch.stderr, /\(ROLLOUT_HALTED\)$/m);
    assert.match(drawn.stdout, /\u001b\[\d+A\u001b\[0J/, 'a terminal is drawn over');
    assert.doesNotMatch(watch.stdout, /\u001b/);
    await site.refused(3, 'ROLLOUT_FINAL', 'rollout', 'resume', 'x-2');
  });

  test('an early approval opens nothing, force-open does, an emergency ends it, withdraw cleans up', async (t) => {
    const site = await Site.open(t);
    await site.ok(...site.publishWords('x-3', '--waves', '25,50,100', '--soak', '30m'));
    await site.until('x-3', 'waits for robots', (run) => run?.waits_for === 'robots');
    for (const more of [['--wave', '1'], ['--dry-run']]) {
      const words = ['rollout', 'approve', 'x-3', ...more];
      const early = await site.refused(3, 'APPROVAL_TOO_EARLY', ...words);
      assert.match(early.stderr, /wave 1 has not passed its gate/);
    }
    const bare = await site.refused(2, 'USAGE', 'rollout', 'force-open', 'x-3');
    assert.match(bare.stderr, /wants --reason, --yes, --wave [^]*x-3 --wave 1 --reason WHY --yes/);
    const force = ['rollout', 'force-open', 'x-3', '--reason', 'lab only', '--yes'];
    const unnamed = await site.refused(2, 'USAGE', ...force);
    assert.match(unnamed.stderr, /force-open x-3 --wave 1 --reason WHY --yes/);
    await site.ok(...force, '--wave', '1');
    await site.refused(3, 'ROLLOUT_COMMAND_INVALID', ...force, '--wave', '1');
    await site.until('x-3', 'its second wave is open', (run) => run?.wave === 2);
    const forced = await site.ok('rollout', 'history', 'x-3');
    assert.match(forced, /forced {2}force-open of wave 1 by erin: lab only {2}\[erin\]$/m);

    const sos = await site.ok(
      ...site.publishWords('sos', '--emergency', '--yes', '--waves', '100'),
    );
    assert.match(sos, /^ended x-3$/m);
    const wanted = /superseded by the emergency sos while it was rolling/;
    await waitUntil('the audit log says so', async () => wanted.test(await site.told('x-3')));
    const signed = ['--broker', site.broker.url, '--key', 'rollout.key', '--trust', 'trust.json'];
    const withdraw = ['rollout', 'withdraw', 'sos', ...signed, '--yes'];
    await site.refused(3, 'ROLLOUT_OVERLAP', ...withdraw);
    await site.ok('rollout', 'abort', 'sos', '--yes');
    await site.until('sos', 'it is over', (run) => run?.status === 'halted');
    await site.ok(...withdraw);
    assert.match(await site.ok('rollout', 'list'), /^no rollout is announced$/m);
  });

  test('publish --emergency asks on a terminal for the version, and takes nothing else for it', async (t) => {
    const python = requirePeer(t, 'python3');
    if (python === null) return;
    const site = await Site.open(t);
    const words = site.publishWords('sos', '--emergency');
    await site.ok(...site.publishWords('x-9', '--waves', '100'));
    const unasked = await site.refused(2, 'USAGE', ...words);
    assert.match(unasked.stderr, /not confirmed, nothing was done: .* it ends x-9/);
    const prompt = 'Type the version to go on: ';
    const wrong = site.terminal(python, prompt, 'yes', ...words);
    assert.equal((await wrong.exit).code, 2, wrong.describe());
    assert.match(wrong.stdout, /hint: nothing was done; .*--yes/);
    assert.doesNotMatch(await site.ok('rollout', 'list'), /^sos/m);
    const typed = site.terminal(python, prompt, '2.0.0', ...words);
    assert.deepEqual(await typed.exit, { code: 0, signal: null }, typed.describe());
    assert.match(await site.ok('rollout', 'list'), /^sos +app 2\.0\.0 .*emergency/m);
  });

  test('each failed question has its exit code: address, id, token, no broker, no leader', async (t) => {
    const cwd = await tempFolder(t);
    await writeFile(join(cwd, 'token'), 'two words\n');
    const { httpUrl } = await startBrokerChild(t);
    const nobody = `http://127.0.0.1:${NOBODY_PORT}`;
    const cases: [string, number, string][] = [
      [`list --api ${nobody}`, 4, 'BROKER_UNREACHABLE'],
      [`watch x --api ${nobody}`, 4, 'BROKER_UNREACHABLE'],
      ['list --api 127.0.0.1:8080', 2, 'USAGE'],
      ['list --api http://me:secret@127.0.0.1', 2, 'USAGE'],
      [`list --api ${httpUrl} --token-file token`, 2, 'USAGE'],
      [`status ../robots --api ${httpUrl}`, 2, 'USAGE'],
      [`status none --api ${httpUrl}`, 3, 'NOT_FOUND'],
      [`history none --api ${httpUrl}`, 3, 'NOT_FOUND'],
      [`watch none --api ${httpUrl} --timeout soon`, 2, 'USAGE'],
    ];
    for (const [line, exit, code] of cases) {
      const words = ['rollout', ...line.split(' ')];
      const child = startDrover(t, 'publisher', words, { cwd, env: CLEAN });
      await child.exit;
      assert.equal(child.ended?.code, exit, child.describe());
      assert.match(child.stderr, new RegExp(`^drover: error: .* \\(${code}\\)$`, 'm'));
      assert.doesNotMatch(child.stderr, /secret|two words/);
    }
  });

  test('a watch ends when its time is up, with what it saw last, and when its output is closed', async (t) => {
    const site = await Site.open(t);
    await site.ok(...site.publishWords('x-3', '--waves', '50,100'));
    const child = await site.refused(
      4,
      'WATCH_TIMEOUT',
      ...['rollout', 'watch', 'x-3', '--timeout', '5s'],
    );
    assert.match(child.stderr, /not over within --timeout \(it is (?:rolling|announced)\)/);
    await site.until('x-3', 'is open', (run) => run !== null);
    await site.refused(3, 'NOT_FOUND', 'rollout', 'rollback', 'none', '--yes');
    const pipe = `set -o pipefail; "$0" "$1" rollout watch x-3 | head -n 1`;
    const env = { ...CLEAN, DROVER_API: site.broker.httpUrl };
    const piped = startChild(t, 'bash', ['-c', pipe, process.execPath, MAIN], { env });
    await piped.waitForOutput(/rolling/);
    await site.ok('rollout', 'pause', 'x-3');
    assert.deepEqual(await piped.exit, { code: 0, signal: null }, piped.describe());
    assert.equal(piped.stderr, '', 'a reader that has seen enough is no failure');

    // A superseded rollout is not announced any more; its robots can still go back.
    await site.ok(...site.publishWords('x-4', '--waves', '100', '--supersede', 'x-3'));
    const left = await site.ok('rollout', 'status', 'x-3');
    assert.match(left, /^status +superseded by x-4, wave 1, .*^waits +for nothing$/ms);
    const gone = await site.refused(3, 'ROLLOUT_SUPERSEDED', 'rollout', 'watch', 'x-3');
    assert.match(gone.stderr, /x-3: it was superseded by x-4/);
    const back = await site.ok('rollout', 'rollback', 'x-3', '--yes');
    assert.match(back, /^rollback: rollout x-3 was superseded by x-4, is rolling back at http:/m);
  });
});
