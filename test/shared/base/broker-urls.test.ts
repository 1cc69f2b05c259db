import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBrokerUrls, readableWay, splitBrokerUrls } from '../../../shared/base/broker-urls.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

test('nodes of one broker are URLs with commas between them, in the order given', () => {
  assert.deepEqual(splitBrokerUrls('mqtt://a'), ['mqtt://a']);
  assert.deepEqual(splitBrokerUrls('mqtt://a, mqtts://b:1'), ['mqtt://a', 'mqtts://b:1']);
});

test('an empty place and more nodes than anybody runs are refused', () => {
  for (const text of [
    '',
    'mqtt://a,',
    Array(LIMITS.brokerUrlsMax + 1)
      .fill('mqtt://a')
      .join(),
  ]) {
    assert.throws(() => parseBrokerUrls(text, '--broker'), { code: 'USAGE' }, text);
  }
});

test('a secret is readable on the way without TLS, unless that way stays on this machine', () => {
  for (const [text, way] of [
    ['http://broker.site:8080/prefix', 'http://broker.site:8080'],
    ['mqtt://10.0.0.7', 'mqtt://10.0.0.7'],
    ['mqtts://a,ws://b:9001', 'ws://b:9001'],
    ['http://0.0.0.0:8080', 'http://0.0.0.0:8080'],
    ['http://127.0.0.1.evil.example', 'http://127.0.0.1.evil.example'],
  ] as const) {
    assert.equal(readableWay(text), way);
  }
  for (const text of [
    ...['https://broker.site', 'mqtts://broker.site', 'wss://broker.site', 'no address'],
    ...['http://127.0.0.1:8080', 'http://localhost', 'http://[::1]:8080', 'mqtt://127.0.0.9'],
  ]) {
    assert.equal(readableWay(text), null, text);
  }
});
