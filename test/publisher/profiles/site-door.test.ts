/** One address for both doors: which MQTT address the answer of a broker makes of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteAnswer } from '../../../broker/http/site-answer.ts';
import { chooseDoor } from '../../../publisher/profiles/site-door.ts';
import type { SiteAnswer } from '../../../shared/formats/http-api.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const PLAIN: SiteAnswer = { mqtt: null, doors: [{ scheme: 'mqtt', port: 1883 }] };
const choose = (site: string, answer: SiteAnswer): string => chooseDoor(new URL(site), answer);
const named = (site: string, mqtt: string): string => choose(site, { mqtt, doors: PLAIN.doors });

test('a broker names its open doors, those with TLS first, and the address of its operator', () => {
  const doors = { mqttPort: 1883, mqttsPort: 8883, wsPort: 9001 };
  const schemes = (isTls: boolean): string[] =>
    siteAnswer({ publicMqtt: null, doors, isTls }).doors.map(({ scheme }) => scheme);
  assert.deepEqual(schemes(true), ['mqtts', 'wss', 'mqtt']);
  assert.deepEqual(schemes(false), ['mqtts', 'mqtt', 'ws']);
  const closed = siteAnswer({ publicMqtt: 'mqtts://m', doors: null, isTls: true });
  assert.deepEqual(closed, { mqtt: 'mqtts://m', doors: [] });
});

test('a door is on the host of the URL, and the named address counts before it', () => {
  assert.equal(choose('http://127.0.0.1:8080', PLAIN), 'mqtt://127.0.0.1:1883');
  const doors: SiteAnswer['doors'] = [
    { scheme: 'mqtts', port: 8883 },
    { scheme: 'mqtt', port: 1883 },
  ];
  assert.equal(choose('https://b.site', { mqtt: null, doors }), 'mqtts://b.site:8883');
  assert.equal(choose('https://[::1]:8443', { mqtt: null, doors }), 'mqtts://[::1]:8883');
  assert.equal(named('https://b.site', 'mqtts://b.site:443'), 'mqtts://b.site:443');
  const cluster = 'mqtts://m1.b.site,mqtts://m2.b.site';
  assert.equal(named('https://b.site', cluster), cluster);
});

test('a door without TLS under an https URL and one on another host are refused, and the hint asks for it', () => {
  assertRefused('SITE_DOOR_REFUSED', () => choose('https://b.site', PLAIN));
  for (const bad of [
    ...['mqtt://b.site', 'ws://b.site', 'mqtts://other', 'mqtts://evilb.site', 'mqtts://site'],
    'mqtts://b.site,mqtts://other',
  ]) {
    assertRefused('SITE_DOOR_REFUSED', () => named('https://b.site', bad));
  }
  assertRefused('SITE_DOOR_REFUSED', () => named('http://b.site', 'mqtt://other'));
  assert.throws(() => choose('https://b.site', PLAIN), {
    message: 'use mqtt://b.site:1883: https://b.site names a door without TLS',
    hint: /drover-broker --public-mqtt mqtts:.*in clear text$/,
  });
});

test('a host that two programs could read in two ways is refused, and its spelling does not count', () => {
  for (const bad of [
    ...['mqtts://evil.test;.b.site', 'mqtts://evil.test%2f.b.site', 'mqtts://evil.test".b.site'],
    ...['mqtts://b.site?clientId=x', 'wss://evil.test;.b.site', 'mqtts://b.site#x'],
  ]) {
    assertRefused('SITE_UNNAMED', () => named('https://b.site', bad));
  }
  assert.equal(named('https://b.site', 'mqtts://M.B.Site.:8883'), 'mqtts://m.b.site:8883');
  assert.equal(named('https://b.site', 'wss://b.site/mqtt'), 'wss://b.site/mqtt');
});

test('nothing is below an address or a name of one label', () => {
  assertRefused('SITE_UNNAMED', () => named('https://10.0.0.5', 'mqtts://x.10.0.0.5'));
  assertRefused('SITE_DOOR_REFUSED', () => named('https://broker', 'mqtts://evil.broker'));
  assert.equal(named('https://broker', 'mqtts://broker'), 'mqtts://broker');
});

test('a broker that names nothing, no address, or one with a password is SITE_UNNAMED', () => {
  assertRefused('SITE_UNNAMED', () => choose('https://b.site', { mqtt: null, doors: [] }));
  for (const bad of ['https://b.site', 'b.site:1883', 'mqtts://ana:secret@b.site', '']) {
    assertRefused('SITE_UNNAMED', () => named('https://b.site', bad));
  }
});
