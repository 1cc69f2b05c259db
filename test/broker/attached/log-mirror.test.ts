/** The guard over the transparency log on an external engine, which takes what anybody writes. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LogMirror } from '../../../broker/attached/log-mirror.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { EventCounters } from '../../../broker/control/event-metrics.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { parseTopic, LOG_CHECKPOINT_TOPIC, logEntryTopic } from '../../../shared/formats/topics.ts';
import type { LogTopic } from '../../../broker/control/log-keeper.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { parseLogPolicy } from '../../../shared/tlog/policy.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { makeCheckpoint, noteBytes, policyText } from '../../shared/tlog/log-maker.ts';

const manifestOf = (version: string): Uint8Array =>
  utf8(
    JSON.stringify({
      version,
      ...{ min_current_version: '0.0.0', rollback_version: '0.0.0', target_arch: 'any' },
      ...{ payload_sha256: 'ab'.repeat(32), apply_strategy: 'atomic_swap' },
    }),
  );
const [FIRST, SECOND, THIRD] = ['1.0.0', '1.1.0', '1.2.0'].map(manifestOf) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const [FIRST_TOPIC, SECOND_TOPIC] = [logEntryTopic(0), logEntryTopic(1)];
const NOTHING = new Uint8Array();
const headOf = async (...entries: Uint8Array[]): Promise<Uint8Array> =>
  noteBytes(await makeCheckpoint(entries));

/** An engine that keeps what anybody writes, and hands it to the mirror as it came. */
class Engine {
  readonly kept = new Map<string, Uint8Array>();
  readonly refused: string[] = [];
  mirror: LogMirror | null = null;
  nowMs = 0;

  static async open(t: TestContext): Promise<Engine> {
    const engine = new Engine();
    const control = await ControlStore.open(join(await tempFolder(t), 'control'));
    t.after(() => control.close());
    const log = makeLog('test', 'silent');
    const warn = (facts: object): void => {
      const { problem } = facts as { problem?: { code: string } };
      if (problem) engine.refused.push(problem.code);
    };
    engine.mirror = new LogMirror({
      ...{ policy: parseLogPolicy(utf8(policyText('quorum none'))), control },
      ...{ counters: new EventCounters(), log: { ...log, warn, debug: () => {} } },
      mono: () => engine.nowMs,
      restore: (topic, payload) => {
        engine.kept.set(topic, payload);
        engine.owed.push(topic);
        // As on a real link: it is answered behind the messages that are being taken.
        return new Promise((resolve) => engine.answers.push(resolve));
      },
    });
    return engine;
  }

  /** Topics that were put back, and not yet handed out again. */
  readonly owed: string[] = [];
  readonly answers: (() => void)[] = [];

  async write(topic: string, payload: Uint8Array): Promise<void> {
    this.kept.set(topic, payload);
    await this.mirror?.take(parseTopic(topic) as LogTopic, payload);
  }

  async writeLog(...entries: Uint8Array[]): Promise<void> {
    for (const [at, entry] of entries.entries()) await this.write(logEntryTopic(at), entry);
    await this.write(LOG_CHECKPOINT_TOPIC, await headOf(...entries));
  }

  /** Rounds of putting back, each handed out again, until there is nothing left. */
  async settle(): Promise<void> {
    for (let count = -1; count !== 0;) {
      this.mirror?.tend();
      await this.write('fleet/log/99', NOTHING); // behind that round in the queue
      count = this.owed.length;
      for (const topic of this.owed.splice(0)) {
        await this.write(topic, this.kept.get(topic) ?? NOTHING);
      }
      for (const answer of this.answers.splice(0)) answer();
    }
  }

  holds(...entries: Uint8Array[]): boolean {
    return entries.every((entry, at) => {
      return Buffer.compare(this.kept.get(logEntryTopic(at)) ?? NOTHING, entry) === 0;
    });
  }
}

describe('the log on an external engine', () => {
  it('is left alone while it grows as it should, in whatever order it arrives', async (t) => {
    const engine = await Engine.open(t);
    await engine.writeLog(FIRST);
    await engine.writeLog(FIRST, SECOND);
    await engine.write(LOG_CHECKPOINT_TOPIC, await headOf(FIRST, SECOND, THIRD));
    await engine.settle();
    await engine.write(logEntryTopic(2), THIRD); // behind its head, as retained messages may come
    await engine.settle();
    assert.deepEqual(engine.refused, []);
    assert.deepEqual(engine.mirror?.expected(), [LOG_CHECKPOINT_TOPIC]);
    assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), await headOf(FIRST, SECOND, THIRD));
  });

  it('is put back after it was cleared, rewritten, shortened, or signed by another key', async (t) => {
    const engine = await Engine.open(t);
    await engine.writeLog(FIRST, SECOND);
    const head = engine.kept.get(LOG_CHECKPOINT_TOPIC);
    const thief = { signer: seedSigner(new Uint8Array(32).fill(9)) };
    const forged = noteBytes(await makeCheckpoint([FIRST, SECOND, THIRD], [], thief));
    const harms: readonly (readonly [string, Uint8Array])[][] = [
      [[FIRST_TOPIC, NOTHING]],
      [[SECOND_TOPIC, THIRD]],
      [[LOG_CHECKPOINT_TOPIC, NOTHING]],
      [[LOG_CHECKPOINT_TOPIC, utf8('junk')]],
      [[LOG_CHECKPOINT_TOPIC, await headOf(FIRST)]],
      [
        [SECOND_TOPIC, THIRD],
        [LOG_CHECKPOINT_TOPIC, await headOf(FIRST, THIRD)],
      ],
      [[LOG_CHECKPOINT_TOPIC, forged]],
    ];
    for (const [nth, harm] of harms.entries()) {
      engine.refused.length = 0;
      for (const [topic, bytes] of harm) await engine.write(topic, bytes);
      assert.ok(engine.refused.length > 0, `harm ${nth} is told`);
      await engine.settle();
      assert.ok(engine.holds(FIRST, SECOND), `harm ${nth}`);
      assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), head, `harm ${nth}`);
    }
  });

  it('comes back whole on an engine that lost it, the head behind its entries', async (t) => {
    const engine = await Engine.open(t);
    await engine.writeLog(FIRST, SECOND, THIRD);
    const head = engine.kept.get(LOG_CHECKPOINT_TOPIC);
    engine.kept.clear();
    engine.mirror?.linkUp();
    await engine.settle();
    assert.ok(engine.holds(FIRST, SECOND, THIRD));
    assert.deepEqual([...engine.kept.keys()].at(-1), LOG_CHECKPOINT_TOPIC);
    assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), head);
  });

  it('is not held up for ever by a head whose entries never come', async (t) => {
    const engine = await Engine.open(t);
    await engine.writeLog(FIRST);
    const head = engine.kept.get(LOG_CHECKPOINT_TOPIC);
    await engine.write(LOG_CHECKPOINT_TOPIC, await headOf(FIRST, SECOND));
    await engine.settle();
    assert.deepEqual(engine.refused, [], 'its entry may be on the way');
    engine.nowMs += LIMITS.retainedLookMs;
    await engine.settle();
    assert.deepEqual(engine.refused, ['LOG_APPEND_ONLY']);
    await waitUntil('the head to be back', () => {
      const now = engine.kept.get(LOG_CHECKPOINT_TOPIC);
      return now !== undefined && head !== undefined && Buffer.compare(now, head) === 0;
    });
  });
});
