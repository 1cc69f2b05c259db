/** The commands of the other pages as they are printed; each page has a machine of its own. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { folderAfterReadme, runPrinted, WAIT_FOR_HTTP } from '../helpers/printed-stage.ts';

const BROKER = `drover-broker --data ./broker-data --trust trust.json &\n${WAIT_FOR_HTTP}`;
const ANNOUNCED =
  'drover publish bundles/1.0.0 --broker mqtt://127.0.0.1 --key keys/rollout.key --trust trust.json --waves 100\n';
const LOCAL_SOCKET = 'until [ -S /opt/robot/state/agent.sock ]; do sleep 0.5; done\n';

describe('the commands of a page run as printed:', () => {
  let from = '';
  const ends: (() => void | Promise<void>)[] = [];
  before(async () => {
    from = await folderAfterReadme({ after: (end) => ends.unshift(end) });
  });
  after(async () => {
    for (const end of ends) await end();
  });

  test('robot-integration', async (t) => {
    const done = await runPrinted(t, 'docs/robot-integration.md', {
      from,
      before: `install -D trust.json /etc/drover/trust.json\n${BROKER}`,
      after: [LOCAL_SOCKET],
    });
    if (!done) return;
    const { stdout } = done.child;
    assert.doesNotMatch(stdout, /LOCAL_API_INVALID/);
    assert.match(stdout, /robot r1: link to mqtt:\/\/127\.0\.0\.1:1883 is up/);
  });

  test('system-images', async (t) => {
    const before = 'truncate -s 32M root.img\n';
    const done = await runPrinted(t, 'docs/system-images.md', { from, before });
    if (!done) return;
    assert.match(done.child.stdout, /applied by slot_image\nfor machines: board-3/);
    assert.match(done.child.stdout, /ok: an image of 32\.0 MiB for a system slot/);
  });

  test('tls', async (t) => {
    const healthy = 'curl -sf --cacert certs/ca.crt https://broker.plant.local:8443/healthz';
    const done = await runPrinted(t, 'docs/tls.md', {
      from,
      after: [
        '',
        `until ${healthy}; do sleep 0.5; done`,
        `${LOCAL_SOCKET}until drover-robot explain --root /opt/robot | grep 'is up'; do sleep 0.5; done`,
      ],
    });
    if (done) assert.match(done.child.stdout, /link to mqtts:\/\/broker\.plant\.local:8883 is up/);
  });

  test('enrolment', async (t) => {
    const healthy = 'curl -sf --cacert certs/ca.crt https://broker.plant.local:8443/healthz';
    const isUp = `drover-robot explain --root /opt/robot | grep 'amr-0001.*is up'`;
    const done = await runPrinted(t, 'docs/enrolment.md', {
      from,
      after: [
        `until ${healthy}; do sleep 0.5; done`,
        '',
        '',
        `${LOCAL_SOCKET}until ${isUp}; do sleep 0.5; done`,
        'grep DROVER_ROBOT_ID=cart-1 cart-1',
        '',
        '',
        `until drover-robot explain --root /opt/fork | grep 'certificate ends in 90 days'; do sleep 0.5; done`,
        'wc -l tokens.txt; ls certs/robots',
      ],
    });
    if (!done) return;
    const { stdout } = done.child;
    assert.match(stdout, /^cart-1 .* pending [^]*^DROVER_ROBOT_ID=cart-1$/m);
    assert.match(stdout, /certificate ends in 90 days/);
    assert.match(stdout, /amr-0002: its claim and its credential are void/);
    assert.match(stdout, /100 tokens\.txt[^]*fork-0003\.crt/);
  });

  test('sites', async (t) => {
    // The cloud: its authority is one that the machine of the site knows.
    const cloud = [
      'examples/tls/make-certs.sh ca certs',
      'examples/tls/make-certs.sh server certs cloud.example',
      'export NODE_EXTRA_CA_CERTS=$PWD/certs/ca.crt',
      'drover-broker --data ./cloud --trust trust.json --host 10.0.0.1 --mqtts 8883 --http 8443 \\',
      '  --tls-cert certs/server.crt --tls-key certs/server.key --credentials credentials.json &',
    ];
    const done = await runPrinted(t, 'docs/sites.md', {
      from,
      before: `sed -i 's/ cloud.example//; $ a 10.0.0.1 cloud.example' /etc/hosts`,
      after: [
        cloud.join('\n'),
        'until curl -s http://127.0.0.1:8080/healthz | grep \'"up":true\'; do sleep 0.5; done',
      ],
    });
    if (done) assert.match(done.child.stdout, /"up":true/);
  });

  test('engines', async (t) => {
    const done = await runPrinted(t, 'docs/engines.md', {
      from,
      before: `mosquitto -c mosquitto.conf &\n`,
      after: [WAIT_FOR_HTTP],
    });
    if (done) assert.match(done.child.stderr, /attached to the engine/);
  });

  test('air-gap', async (t) => {
    // One broker is both: `cloud` and `site` are names of this machine.
    const done = await runPrinted(t, 'docs/air-gap.md', {
      from,
      before: [
        'mkdir -p /media/stick; cp keys/rollout.key site.key',
        BROKER,
        ANNOUNCED,
        'drover-robot --id r1 --broker mqtt://site --root ./robot --trust trust.json --hooks ./hooks &',
        'until drover-robot status --root ./robot | grep -q \'"version": *"1.0.0"\'; do sleep 0.5; done',
      ].join('\n'),
    });
    if (done) assert.match(done.child.stdout, /r1/);
  });

  test('operations', async (t) => {
    const done = await runPrinted(t, 'docs/operations.md', {
      from,
      before: [
        'mkdir -p /backup',
        `drover-broker --data /var/lib/drover-broker --trust trust.json &\n${WAIT_FOR_HTTP}`,
      ].join('\n'),
      after: ['ls /backup'],
    });
    if (done) assert.match(done.child.stdout, /^drover-\d{4}-\d\d-\d\d\.tar$/m);
  });

  test('hooks for systemd, and what they answer by hand', async (t) => {
    const done = await runPrinted(t, 'examples/hooks/README.md', {
      before: 'cd examples/hooks; set +e',
    });
    if (done) assert.match(done.child.stdout, /^exit \d+$/m);
  });

  test('hooks for ROS 2: without ROS they cannot tell, which is a no', async (t) => {
    const done = await runPrinted(t, 'examples/ros2/README.md', {
      before: 'cd examples/ros2; set +e',
    });
    if (done) assert.match(done.child.stdout, /cannot tell[^]*^exit 69$/m);
  });
});
