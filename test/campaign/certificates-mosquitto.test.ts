/** A stock mosquitto that lets robots in by the certificates that they got from drover-broker. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import mqtt from 'mqtt';
import { identityPath } from '../../robot-client/enrolment/identity-files.ts';
import { freePort } from '../helpers/free-port.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { requirePeer } from '../helpers/peer.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { CertifiedField } from '../e2e/certified-field.ts';

describe('a stock mosquitto with the authority of enrolment', () => {
  it('lets a robot in as itself, and drover-broker beside it sees its reports', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const field = await CertifiedField.open(t);
    const path = (name: string): string => field.site.path(name);
    const acl = await field.run('broker', 'acl', '--engine', 'mosquitto');
    await writeFile(path('acl'), acl.stdout, { mode: 0o600 });
    const tlsPort = await freePort();
    const engine = await startMosquitto(t, {
      config: async (port) =>
        [
          'per_listener_settings true',
          ...[`listener ${port} 127.0.0.1`, 'allow_anonymous true'], // for drover-broker alone
          ...[`listener ${tlsPort} 127.0.0.1`, 'require_certificate true'],
          'use_identity_as_username true',
          `acl_file ${path('acl')}`,
          `cafile ${path('enrol-ca.crt')}`,
          ...[`certfile ${path('certs/server.crt')}`, `keyfile ${path('certs/server.key')}`],
        ].join('\n'),
    });
    if (!engine) return;
    await field.start('--engine', engine.url);
    const { child, identity } = await field.agent(`mqtts://127.0.0.1:${tlsPort}`);
    await child.waitForOutput(/link to the broker is up/);
    const api = ['--api', `https://127.0.0.1:${field.ports.http}`, '--json'];
    await waitUntil('the report of the robot', async () => {
      const { stdout } = await field.run('publisher', 'fleet', 'robot', 'amr-0001', ...api);
      return /"online": ?true/.test(stdout);
    });
    const pem = await readFile(identityPath(identity));
    const ca = await readFile(field.ca);
    const thief = await mqtt.connectAsync(`mqtts://127.0.0.1:${tlsPort}`, {
      ...{ ca, cert: pem, key: pem, clientId: 'thief', reconnectPeriod: 0 },
    });
    const plain = await mqtt.connectAsync(engine.url);
    t.after(() => Promise.all([thief.endAsync(true), plain.endAsync(true)]));
    const got: string[] = [];
    plain.on('message', (topic) => got.push(topic));
    await plain.subscribeAsync('fleet/robots/+/want', { qos: 1 });
    await thief.publishAsync('fleet/robots/amr-0002/want', '{}', { qos: 1 });
    await thief.publishAsync('fleet/robots/amr-0001/want', '{}', { qos: 1 });
    await waitUntil('its own topic', () => got.length > 0);
    assert.deepEqual(got, ['fleet/robots/amr-0001/want'], 'and none of another robot');
  });
});
