/** The guard over the transparency log on an external engine, which takes what anybody writes. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LogMirror } from '../../../broker/attached/log-mirror.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { EventCounters } from '../../../broker/control/event-metrics.ts';
import { LogTrial } from '../../../broker/attached/log-trial.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { Wire } from '../../../shared/base/ports.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { parseTopic, LOG_CHECKPOINT_TOPIC, logEntryTopic } from '../../../shared/formats/topics.ts';
import type { LogTopic } from '../../../broker/control/log-keeper.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { parseLogPolicy } from '../../../shared/tlog/policy.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import {
  LOG_KEY,
  makeCheckpoint,
  noteBytes,
  policyText,
  witnessKey,
  type WitnessName,
} from '../../shared/tlog/log-maker.ts';

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

  control: ControlStore | null = null;

  static async open(t: TestContext, { policy = policyText('quorum none'), bytesMax = 9e9 } = {}) {
    const engine = new Engine();
    const control = await ControlStore.open(join(await tempFolder(t), 'control'));
    t.after(() => control.close());
    engine.control = control;
    const log = makeLog('test', 'silent');
    const warn = (facts: object): void => {
      const { problem } = facts as { problem?: { code: string } };
      if (problem) engine.refused.push(problem.code);
    };
    engine.mirror = new LogMirror({
      ...{ policy: parseLogPolicy(utf8(policy)), control },
      ...{ counters: new EventCounters(), log: { ...log, warn, debug: () => {} } },
      ...{ mono: () => engine.nowMs, unprovenBytesMax: bytesMax },
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

  /** A disk that takes no writes of these topics; returns an end of that. */
  breakDisk(isBroken: (topic: string) => boolean): () => void {
    const { control } = this;
    assert.ok(control);
    const put = control.put.bind(control);
    control.put = async (message, sync) => {
      if (isBroken(message.topic)) throw new DroverError('DISK_FULL', 'write: disk is full');
      await put(message, sync);
    };
    return () => (control.put = put);
  }

  /** As `write` on a disk that may refuse it. */
  async tryWrite(topic: string, payload: Uint8Array): Promise<void> {
    await this.write(topic, payload).catch((error: unknown) => {
      assert.ok(error instanceof DroverError && error.code === 'DISK_FULL');
    });
  }

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
      await this.tryWrite('fleet/log/99', NOTHING); // behind that round in the queue
      count = this.owed.length;
      for (const topic of this.owed.splice(0)) {
        await this.tryWrite(topic, this.kept.get(topic) ?? NOTHING);
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
      engine.nowMs += 2 * LIMITS.retainedLookMs;
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

  it('keeps a larger head of its log whose entries do not come, told once', async (t) => {
    const engine = await Engine.open(t);
    await engine.writeLog(FIRST);
    const larger = await headOf(FIRST, SECOND);
    await engine.write(LOG_CHECKPOINT_TOPIC, larger);
    await engine.settle();
    assert.deepEqual(engine.refused, [], 'its entry may be on the way');
    engine.nowMs += LIMITS.retainedLookMs;
    await engine.settle();
    await engine.settle();
    assert.deepEqual(engine.refused, ['LOG_APPEND_ONLY']);
    assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), larger, 'an older one would fork it');
    await engine.write(SECOND_TOPIC, SECOND);
    assert.deepEqual(engine.mirror?.expected(), [LOG_CHECKPOINT_TOPIC], 'taken when it is whole');
  });

  for (const broken of [SECOND_TOPIC, LOG_CHECKPOINT_TOPIC]) {
    it(`keeps its newest head while the disk refuses ${broken}`, async (t) => {
      const engine = await Engine.open(t);
      await engine.writeLog(FIRST);
      const larger = await headOf(FIRST, SECOND);
      const mend = engine.breakDisk((topic) => topic === broken);
      await engine.tryWrite(SECOND_TOPIC, SECOND);
      await engine.tryWrite(LOG_CHECKPOINT_TOPIC, larger);
      await engine.settle();
      engine.nowMs += LIMITS.retainedLookMs;
      await engine.settle();
      assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), larger);
      await engine.tryWrite(LOG_CHECKPOINT_TOPIC, await headOf(FIRST));
      await engine.settle();
      assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), larger, 'an older one is undone');
      mend();
      await engine.settle();
      assert.deepEqual(engine.control?.get(LOG_CHECKPOINT_TOPIC)?.payload, larger);
      assert.deepEqual(engine.control?.get(SECOND_TOPIC)?.payload, SECOND);
    });
  }

  it('keeps entries that no head proves in memory alone, the lowest within a bound', async (t) => {
    const engine = await Engine.open(t, { bytesMax: 3 * FIRST.byteLength });
    await engine.writeLog(FIRST);
    for (let index = 9; index > 0; index -= 1) await engine.write(logEntryTopic(index), SECOND);
    assert.equal(engine.control?.size, 2, 'the first entry and its head');
    await engine.write(LOG_CHECKPOINT_TOPIC, await headOf(FIRST, SECOND, SECOND, SECOND));
    assert.equal(engine.control?.size, 5);
    const far = Array.from({ length: 10 }, () => SECOND);
    await engine.write(LOG_CHECKPOINT_TOPIC, await headOf(FIRST, ...far.slice(1)));
    engine.nowMs += LIMITS.retainedLookMs;
    await engine.settle();
    assert.deepEqual(engine.refused, ['LOG_APPEND_ONLY'], 'the highest were dropped');
  });

  it('is not fought over by brokers whose policies name different witnesses', async (t) => {
    const one = `log ${LOG_KEY}\nwitness w1 ${witnessKey('w1')}\nquorum none\n`;
    const engine = await Engine.open(t, { policy: one });
    const seen = async (...names: WitnessName[]): Promise<Uint8Array> =>
      noteBytes(await makeCheckpoint([FIRST], names));
    await engine.writeLog(FIRST);
    await engine.write(LOG_CHECKPOINT_TOPIC, await seen('w1'));
    const both = await seen('w1', 'w2');
    await engine.write(LOG_CHECKPOINT_TOPIC, both);
    await engine.settle();
    assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), both, 'it says the same');
    const other = await seen('w2');
    for (let undone = 1; undone <= LIMITS.logUndosMax; undone += 1) {
      await engine.write(LOG_CHECKPOINT_TOPIC, other);
      await engine.settle();
      assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), await seen('w1'), 'w1 is not lost');
    }
    await engine.write(LOG_CHECKPOINT_TOPIC, other);
    await engine.settle();
    assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), other, 'the next undo waits');
    engine.nowMs += LIMITS.retainedLookMs;
    await engine.settle();
    assert.deepEqual(engine.kept.get(LOG_CHECKPOINT_TOPIC), await seen('w1'));
  });

  it('says that the engine drops what is put back', async (t) => {
    const engine = await Engine.open(t);
    await engine.writeLog(FIRST);
    engine.mirror?.linkUp(); // and nothing arrives any more
    for (let round = 0; round < 2; round += 1) {
      engine.mirror?.tend();
      await engine.write('fleet/log/99', NOTHING);
      engine.nowMs += LIMITS.retainedLookMs;
    }
    assert.deepEqual(engine.refused, ['ENGINE_TOPIC_DENIED']);
  });
});

describe('the right to the log on an external engine', () => {
  const openTrial = (): { trial: LogTrial; told: string[]; sent: string[]; wire: Wire } => {
    const [told, sent]: [string[], string[]] = [[], []];
    const warn = (facts: object): void =>
      void told.push((facts as { problem: { code: string } }).problem.code);
    const done = (): Promise<void> => Promise.resolve();
    const send = async (topic: string): Promise<void> => void sent.push(topic);
    const wire = { isUp: true, send, subscribe: done, unsubscribe: done, close: done };
    return { trial: new LogTrial({ warn }, 0), told, sent, wire };
  };

  it('is told as missing when a message of ours does not come back', async () => {
    const [granted, denied] = [openTrial(), openTrial()];
    await granted.trial.begin(granted.wire, 1);
    assert.ok(granted.trial.heard(granted.sent[0] ?? ''));
    await denied.trial.begin(denied.wire, 1);
    await waitUntil('the missing right to be told', () => denied.told.length > 0);
    assert.deepEqual([granted.told, denied.told], [[], ['ENGINE_TOPIC_DENIED']]);
  });

  it('is not asked for again after it ended the link twice', async () => {
    const { trial, told, sent, wire } = openTrial();
    for (let links = 0; links < 3; links += 1) {
      await trial.begin(wire, 1);
      trial.lost();
    }
    assert.deepEqual([told, sent.length], [['ENGINE_TOPIC_DENIED'], LIMITS.logTrialsMax]);
  });
});
