/** Robots with certificates by enrolment: the real broker over TLS, a real agent, and thieves. */

import assert from 'node:assert/strict';
import { cp, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { identityPath } from '../../robot-client/enrolment/identity-files.ts';
import { requirePeer } from '../helpers/peer.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { CertifiedField } from './certified-field.ts';

const LIFE = '3s';

describe('a robot with a certificate by enrolment', () => {
  it('renews it by itself; a stolen old one and a revoked one are worth nothing', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const field = await CertifiedField.open(t);
    await field.start('--mqtts', '0', '--enrol-cert-life', LIFE);
    const { child, identity } = await field.agent(`mqtts://127.0.0.1:${field.ports.mqtts}`);
    const stolen = field.site.path('stolen');
    await cp(identity, stolen, { recursive: true });
    await child.waitForOutput(/certificate renewed[\s\S]*link to the broker is up/);
    assert.ok(field.broker);
    await field.broker.waitForOutput(/"certificates":\["replaced"\]/);
    assert.equal(await field.knock(await readFile(identityPath(stolen))), '5', 'CONNACK says no');
    assert.equal(await field.askToRenew(stolen), 'CERTIFICATE_UNKNOWN');
    await field.broker.waitForOutput(/CERTIFICATE_UNKNOWN/);
    const api = ['--api', `https://127.0.0.1:${field.ports.http}`];
    const revoked = await field.run('publisher', 'fleet', 'revoke', 'amr-0001', ...api);
    assert.equal(revoked.ended?.code, 0, revoked.describe());
    await waitUntil('the link to end', () =>
      /link to the broker is down(?![\s\S]*is up)/.test(child.stderr),
    );
    assert.equal(await field.knock(await readFile(identityPath(identity))), '5');
    assert.equal(await field.askToRenew(identity), 'CERTIFICATE_UNKNOWN');
    await child.waitForOutput(/CERTIFICATE_REFUSED.*no link to the broker/);
    const explain = ['explain', '--root', field.site.path('amr-0001')];
    let shown = '';
    await waitUntil(
      'the robot to learn why',
      async () => {
        shown = (await field.run('robot-client', ...explain)).describe();
        return /its certificate: .*does not take it.*\(CERTIFICATE_UNKNOWN\)/.test(shown);
      },
      { look: () => shown },
    );
  });
});
