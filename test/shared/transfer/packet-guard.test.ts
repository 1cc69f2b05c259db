import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { generate, parser, type Packet } from 'mqtt-packet';
import { PacketGuard, type GuardVerdict } from '../../../shared/transfer/packet-guard.ts';

const UNBOUNDED = () => Number.MAX_SAFE_INTEGER;
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(0, 1, 100, 127, 128, 200, 16_383, 16_384).map((size) => new Uint8Array(size)),
);
const messageId = fc.integer({ min: 1, max: 65_535 });
const topic = fc.stringMatching(/^[a-z/]{1,40}$/);
const packet: fc.Arbitrary<Packet> = fc.oneof(
  fc.record({
    cmd: fc.constant('publish' as const),
    topic,
    payload: payload.map((bytes) => Buffer.from(bytes)),
    qos: fc.constantFrom(0 as const, 1 as const),
    messageId,
    dup: fc.constant(false),
    retain: fc.boolean(),
  }),
  fc.record({
    cmd: fc.constant('subscribe' as const),
    messageId,
    subscriptions: fc.array(
      topic.map((filter) => ({ topic: filter, qos: 1 as const })),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  fc.record({ cmd: fc.constant('puback' as const), messageId }),
  fc.constant({ cmd: 'pingreq' as const }),
  fc.constant({ cmd: 'disconnect' as const }),
  fc
    .string({ maxLength: 20 })
    .map((clientId) => ({ cmd: 'connect' as const, protocolId: 'MQTT' as const, clientId })),
);

/** Feeds in pieces that are cut where `cuts` says; stops at the first verdict that is not ok. */
function feed(guard: PacketGuard, bytes: Uint8Array, cuts: readonly number[]) {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...places, bytes.length]) {
    const verdict = guard.feed(bytes.subarray(from, to));
    if (verdict.kind !== 'ok') return { verdict, fedBytes: to };
    from = to;
  }
  return { verdict: { kind: 'ok' } as GuardVerdict, fedBytes: bytes.length };
}

test('sees each packet with the type and the size that a real parser sees, in any pieces', () => {
  const cut = fc.array(fc.nat(), { maxLength: 20 });
  fc.assert(
    fc.property(fc.array(packet, { minLength: 1, maxLength: 6 }), cut, (packets, cuts) => {
      const encoded = packets.map((one) => generate(one));
      const parsed: string[] = [];
      const real = parser();
      real.on('packet', (one) => parsed.push(one.cmd));
      real.parse(Buffer.concat(encoded));
      const types: number[] = [];
      const guard = new PacketGuard((type) => {
        types.push(type);
        return encoded[types.length - 1]?.length ?? 0; // exact: one byte more would be too large
      });
      assert.equal(feed(guard, Buffer.concat(encoded), cuts).verdict.kind, 'ok');
      assert.equal(types.length, parsed.length);
      const first = encoded.map((bytes) => (bytes[0] ?? 0) >> 4);
      assert.deepEqual(types, first);
    }),
    { numRuns: 300 },
  );
});

test('a packet of one byte too many is noticed at its header, before its body arrives', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 268_435_000 }), fc.boolean(), (length, byteWise) => {
      const header = [0x30];
      for (let rest = length; ; rest = Math.floor(rest / 128)) {
        header.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
        if (rest < 128) break;
      }
      const bytes = length + header.length;
      const head = Uint8Array.from(header);
      const cuts = byteWise ? head.map((_, at) => at) : [];
      const just = feed(new PacketGuard(() => bytes), head, [...cuts]);
      assert.equal(just.verdict.kind, 'ok');
      const over = feed(new PacketGuard(() => bytes - 1), head, [...cuts]);
      assert.deepEqual(over.verdict, { kind: 'tooLarge', bytes, bytesMax: bytes - 1 });
    }),
  );
});

test('the bound may change from packet to packet, as it does after CONNECT', () => {
  let bytesMax = 20;
  const guard = new PacketGuard(() => bytesMax);
  const publish = (size: number) =>
    generate({
      cmd: 'publish',
      topic: 'a',
      payload: Buffer.alloc(size),
      qos: 0,
      dup: false,
      retain: false,
    });
  assert.equal(guard.feed(publish(15)).kind, 'ok');
  bytesMax = 1_000;
  assert.equal(guard.feed(publish(500)).kind, 'ok');
  bytesMax = 20;
  assert.equal(guard.feed(publish(500)).kind, 'tooLarge');
});

test('a length of more than four bytes is malformed', () => {
  for (const bytes of [
    [0x30, 0x80, 0x80, 0x80, 0x80],
    [0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
  ]) {
    assert.equal(new PacketGuard(UNBOUNDED).feed(Uint8Array.from(bytes)).kind, 'malformed');
  }
  const largest = new PacketGuard(UNBOUNDED).feed(Uint8Array.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
  assert.equal(largest.kind, 'ok');
});

test('any bytes are a verdict, and the pieces they come in do not change it', () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(), { maxLength: 20 }), (stream, cuts) => {
      const whole = new PacketGuard(() => 100).feed(stream);
      assert.deepEqual(feed(new PacketGuard(() => 100), stream, cuts).verdict, whole);
    }),
    { numRuns: 1_000 },
  );
});

test('a packet is in its body from its header to its last byte', () => {
  const guard = new PacketGuard(UNBOUNDED);
  const bytes = generate({
    ...{ cmd: 'publish', topic: 'a', payload: Buffer.alloc(200), qos: 0 },
    ...{ dup: false, retain: false },
  });
  const inBody = [...bytes].map((byte) => {
    guard.feed(new Uint8Array([byte]));
    return guard.isInBody;
  });
  const HEADER_BYTES = 3;
  assert.deepEqual(inBody.slice(0, HEADER_BYTES), [false, false, true]);
  assert.deepEqual(new Set(inBody.slice(HEADER_BYTES, -1)), new Set([true]));
  assert.equal(inBody.at(-1), false);
  guard.feed(generate({ cmd: 'pingresp' }));
  assert.equal(guard.isInBody, false);
});
