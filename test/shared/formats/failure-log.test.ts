import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  encodeAsk,
  headFields,
  LogJoiner,
  logMessages,
  noLog,
  parseAsk,
} from '../../../shared/formats/failure-log.ts';
import { packLog, unpackLog } from '../../../shared/io/packed-log.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const R1 = parseRobotId('r1');
const HEAD = {
  component: 'app',
  rollout: 'one',
  version: '1.1.0',
  code: 'HEALTH_FAILED',
  message: 'no camera',
  failed_at: '2026-01-01T00:00:00Z',
};
const bytesOf = (length: number, first = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 7 + first) % 251);

describe('a log on its way [P-8.12]', () => {
  it('comes together from its parts in any order, and twice', () => {
    const sizes = fc.integer({ min: 1, max: 3 * LIMITS.failureLogPartBytes });
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.nat(9)), (size, order) => {
        const packed = bytesOf(size);
        const messages = logMessages(R1, HEAD, packed);
        assert.ok(messages.every((one) => one.byteLength <= LIMITS.failureLogMessageBytesMax));
        const shuffled = messages.toSorted(() => (order.next().value ?? 0) - 4.5);
        const joiner = new LogJoiner();
        const [last, ...others] = shuffled as [Uint8Array, ...Uint8Array[]];
        for (const one of [...others, ...others]) assert.equal(joiner.take(R1, one), null);
        const log = joiner.take(R1, last);
        assert.deepEqual(log && Buffer.compare(log.packed, packed), 0);
        assert.deepEqual(log && headFields(log.head), HEAD);
      }),
      { numRuns: 20 },
    );
  });

  it('carries the largest log that is allowed, in as many parts as are allowed', () => {
    const messages = logMessages(R1, HEAD, bytesOf(LIMITS.failureLogBytesMax));
    assert.equal(messages.length, LIMITS.failureLogPartsMax);
  });

  it('is nothing when a byte was changed, or when parts of two logs are mixed', () => {
    const big = LIMITS.failureLogPartBytes + 1;
    const [a1 = new Uint8Array()] = logMessages(R1, HEAD, bytesOf(big));
    const [, b2 = new Uint8Array()] = logMessages(R1, HEAD, bytesOf(big, 1));
    const joiner = new LogJoiner();
    assert.equal(joiner.take(R1, a1), null);
    assert.equal(joiner.take(R1, b2), null);
    const [whole = new Uint8Array()] = logMessages(R1, HEAD, bytesOf(9));
    const forged = Buffer.from(whole)
      .toString()
      .replace(/"data":"../, '"data":"ZZ');
    assert.equal(joiner.take(R1, Buffer.from(forged)), null);
  });

  it('belongs to the robot whose topic brought it, whatever it says itself', () => {
    const [message = new Uint8Array()] = logMessages(parseRobotId('r2'), HEAD, bytesOf(9));
    assert.equal(new LogJoiner().take(R1, message)?.robot, 'r1');
  });

  it('is refused when it is no part of a log', () => {
    const joiner = new LogJoiner();
    assertRefused('JSON_INVALID', () => joiner.take(R1, Buffer.from('{}')));
    const long = new Uint8Array(LIMITS.failureLogMessageBytesMax + 1);
    assertRefused('DOCUMENT_TOO_LARGE', () => joiner.take(R1, long));
  });
});

describe('a question to a robot [P-8.13]', () => {
  it('names one component or none', () => {
    assert.deepEqual(parseAsk(encodeAsk('app')), { ask: 'failure-logs', component: 'app' });
    assert.deepEqual(parseAsk(encodeAsk(null)), { ask: 'failure-logs' });
    assertRefused('JSON_INVALID', () => parseAsk(Buffer.from('{"ask":"reboot"}')));
  });
});

describe('a log that is not here', () => {
  it('lies on the computer that the robot names, with the command to read it there', () => {
    const vision = { name: 'vision', computer: 'perception', log_folder: '/srv/my vision/logs' };
    const { code, message, hint } = noLog('read log of amr', [{ name: 'app' }, vision]);
    assert.equal(code, 'FAILURE_LOG_NONE');
    assert.match(
      message,
      /it lies on computer perception of the robot, in \/srv\/my vision\/logs$/,
    );
    assert.match(hint, /on computer perception: zcat "\$\(ls -t '\/srv\/my vision\/logs'\/\*\.gz/);
    assert.match(noLog('read log of amr', [{ name: 'app' }]).message, /it keeps none$/);
    const old = { name: 'vision', computer: null, log_folder: null };
    assert.match(noLog('read log of amr', [old]).message, /it keeps none$/);
  });
});

describe('a packed log', () => {
  const noise = (length: number): string =>
    Array.from({ length }, (_, at) =>
      String.fromCharCode(33 + ((at * at * 31 + at * 7) % 90)),
    ).join('');

  it('fits its bound by losing the begin of its sections, never its head', async () => {
    const text = Array.from({ length: 4_000 }, (_, at) => `${at} ${noise(at % 60)}`).join('\n');
    const packed = await packLog('{"head":1}', [{ title: 'own', text }], 4_096);
    assert.ok(packed && packed.byteLength <= 4_096);
    const read = await unpackLog(packed);
    const [, gone, first] =
      /^\{"head":1\}\n\n== own ==\n\[(\d+) lines left out here: [^\n]*\]\n(\d+) /.exec(read) ?? [];
    assert.match(read, /\n3999 \S+\n$/);
    assert.equal(gone, first, 'as many lines are named as are gone');
    const whole = await packLog('{}', [{ title: 'own', text: 'short' }], 4_096);
    assert.doesNotMatch(await unpackLog(whole ?? Buffer.alloc(0)), /left out/);
  });

  it('is none when not even the head fits', async () => {
    assert.equal(await packLog(noise(9_000), [], 64), null);
  });

  it('is refused when it unpacks to more than any robot packs', async () => {
    const bomb = gzipSync(Buffer.alloc(LIMITS.failureLogTextBytesMax + 1));
    await assert.rejects(unpackLog(bomb), { code: 'FAILURE_LOG_INVALID' });
    await assert.rejects(unpackLog(Buffer.from('no gzip')), { code: 'FAILURE_LOG_INVALID' });
  });
});
