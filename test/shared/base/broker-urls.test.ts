import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBrokerUrls, splitBrokerUrls } from '../../../shared/base/broker-urls.ts';
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
