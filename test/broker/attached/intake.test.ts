/** The intake takes or refuses messages of an external engine, with real stores and signatures. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { AttachedIntake } from '../../../broker/attached/intake.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { EventJournal } from '../../../broker/attached/event-journal.ts';
import { BrokerEvents } from '../../../broker/events.ts';
import { EventCounters } from '../../../broker/control/event-metrics.ts';
import { walkTrust } from '../../../broker/control/trust.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { encodeMessage, type RobotEvent } from '../../../shared/formats/messages.ts';
import { LiveTrust } from '../../../shared/formats/trust-chain.ts';
import { fixedSeed, makeFleet, type TestFleet } from '../../helpers/fleet.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { updateTo } from '../../helpers/trust-roots.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { encodeEvent } from '../reports.ts';

const log = makeLog('test', 'silent');
const STATE = encodeMessage({
  ...{ robot_id: 'r1', at: '2026-05-04T10:00:00Z', arch: 'x86_64' },
  components: [{ name: 'app', version: '1.0.0', phase: 'idle' }],
});

class Bench {
  readonly signer: TestFleet = makeFleet();
  readonly fleet = new Fleet();
  readonly restored: string[] = [];
  readonly told: RobotEvent[] = [];
  readonly heard: string[] = [];
  trust: LiveTrust | null = null;
  #folder = '';

  static async open(t: TestContext): Promise<{ bench: Bench; intake: AttachedIntake }> {
    const bench = new Bench();
    bench.#folder = await tempFolder(t);
    return { bench, intake: await bench.start(t) };
  }

  /** As after a restart: the stores are the same, the memory is not. */
  async start(t: TestContext, signer = this.signer, fleet = this.fleet): Promise<AttachedIntake> {
    const control = await ControlStore.open(join(this.#folder, 'control'));
    const journal = await EventJournal.open(join(this.#folder, 'journal'));
    this.stop = async () => {
      await control.close();
      await journal.close();
    };
    t.after(() => this.stop());
    const counters = new EventCounters();
    const events = new BrokerEvents();
    events.on('robotEvent', (event) => this.told.push(event));
    events.on('control', (topic) => this.heard.push(topic.kind));
    const trust = new LiveTrust(signer.trust);
    this.trust = trust;
    walkTrust(trust, control, log);
    const intake = new AttachedIntake({
      ...{ control, journal, fleet, counters, events, log, trust, keepsWills: false },
      restore: (topic) => {
        this.restored.push(topic);
        return Promise.resolve();
      },
    });
    await intake.remember();
    intake.linkUp();
    return intake;
  }

  stop: () => Promise<void> = () => Promise.resolve();
}

const say = (
  intake: AttachedIntake,
  topic: string,
  payload: Uint8Array,
  isReplay = false,
): Promise<void> => intake.take({ topic, payload, isReplay });

describe('a message from an external engine', () => {
  it('is no sign of life when it was retained', async (t) => {
    const { bench, intake } = await Bench.open(t);
    await say(intake, 'fleet/robots/r1/state', STATE, true);
    await say(intake, 'fleet/robots/r1/online', encodeMessage({ online: true }), true);
    assert.deepEqual(
      [bench.fleet.get('r1')?.online, bench.fleet.get('r1')?.lastSeenMs],
      [true, null],
    );
    await say(intake, 'fleet/robots/r1/state', STATE);
    assert.ok(bench.fleet.get('r1')?.lastSeenMs);
  });

  it('shows that a robot is online whose message about it another client has cleared', async (t) => {
    const { bench, intake } = await Bench.open(t);
    await say(intake, 'fleet/robots/r1/state', STATE, true);
    assert.equal(bench.fleet.get('r1')?.online, false, 'nothing says that it is there');
    await say(intake, 'fleet/robots/r1/state', STATE);
    assert.equal(bench.fleet.get('r1')?.online, true);
    await say(intake, 'fleet/robots/r1/online', encodeMessage({ online: false }));
    await say(intake, 'fleet/robots/r1/state', STATE);
    assert.equal(bench.fleet.get('r1')?.online, false, 'its own word counts');
    await say(intake, 'fleet/robots/r1/online', new Uint8Array(0));
    await say(intake, 'fleet/robots/r1/state', STATE);
    assert.equal(bench.fleet.get('r1')?.online, true);
  });

  it('is known again after a restart, robots with their versions and events once', async (t) => {
    const { bench, intake } = await Bench.open(t);
    await say(intake, 'fleet/robots/r1/state', STATE);
    await say(intake, 'fleet/robots/r1/events', encodeEvent('r1', 1));
    await say(intake, 'fleet/robots/r1/events', encodeEvent('r1', 1));
    await say(intake, 'fleet/robots/r1/events', utf8('no event'));
    assert.equal(bench.told.length, 1);
    await bench.stop();
    const fleet = new Fleet();
    const again = await bench.start(t, bench.signer, fleet);
    assert.equal(fleet.get('r1')?.state?.components[0]?.version, '1.0.0');
    assert.deepEqual([fleet.get('r1')?.online, fleet.get('r1')?.lastSeenMs], [false, null]);
    assert.equal(fleet.recentEvents().length, 1);
    await say(again, 'fleet/robots/r1/events', encodeEvent('r1', 1));
    assert.equal(bench.told.length, 1, 'a copy is no news after a restart either');
    await say(again, 'fleet/robots/r1/state', new Uint8Array());
    assert.equal(fleet.get('r1'), undefined);
    await bench.stop();
    const third = new Fleet();
    await bench.start(t, bench.signer, third);
    assert.equal(third.get('r1'), undefined, 'a robot that was cleared stays cleared');
  });

  it('moves the trust root, in whatever order its updates come, and is kept over restarts', async (t) => {
    const { bench, intake } = await Bench.open(t);
    const seeds = { root: [fixedSeed(1)], release: [fixedSeed(2)], rollout: [fixedSeed(4)] };
    const update = (version: number) => updateTo({ version, seeds }, seeds.root);
    await say(intake, 'fleet/trust/3', update(3));
    await say(intake, 'fleet/trust/4', updateTo({ version: 4, seeds }, [fixedSeed(9)]));
    await say(intake, 'fleet/updates', bench.signer.announce(7, []));
    assert.equal(bench.trust?.version, 1, 'what comes before it is missing');
    await say(intake, 'fleet/trust/2', update(2));
    assert.equal(bench.trust?.version, 3, 'the forged one leads nowhere');
    intake.linkUp();
    intake.settled();
    const lost = ['fleet/trust/2', 'fleet/trust/3'];
    assert.deepEqual(
      bench.restored.filter((topic) => topic.startsWith('fleet/trust')),
      lost,
    );
    await say(intake, 'fleet/trust/2', update(2));
    await say(intake, 'fleet/trust/3', new Uint8Array());
    await bench.stop();
    await bench.start(t);
    assert.equal(bench.trust?.version, 3);
  });

  it('is put back when the engine has lost it, and only what still holds', async (t) => {
    const { bench, intake } = await Bench.open(t);
    intake.settled();
    await say(intake, 'fleet/updates', bench.signer.announce(7, []));
    assert.deepEqual(bench.restored, []);
    intake.linkUp();
    intake.settled();
    assert.deepEqual(bench.restored, ['fleet/updates'], 'this connection has not brought it');
    intake.tend();
    assert.equal(bench.restored.length, 1, 'not again and again');

    await bench.stop();
    const other = await bench.start(t, makeFleet('other'));
    other.settled();
    assert.equal(bench.restored.length, 1, 'another trust file vouches for nothing of this');
  });

  it('is put back when it is older, forged or cleared, and told to the controller as it is', async (t) => {
    const { bench, intake } = await Bench.open(t);
    await say(intake, 'fleet/updates', bench.signer.announce(7, []), true);
    intake.settled();
    assert.deepEqual(bench.restored, []);
    for (const bad of [bench.signer.announce(6, []), utf8('{}'), new Uint8Array()]) {
      await say(intake, 'fleet/updates', bad);
    }
    await waitUntil('one answer to all three', () => bench.restored.length === 1);
    assert.deepEqual(bench.heard, ['updates', 'updates', 'updates', 'updates']);
    await say(intake, 'fleet/updates', bench.signer.announce(8, []));
    intake.linkUp();
    await say(intake, 'fleet/updates', bench.signer.announce(8, []), true);
    intake.settled();
    assert.equal(bench.restored.length, 1, 'it holds the newest');
  });

  it('is never taken back while the newer one is still on its way to the disk', async (t) => {
    const { bench, intake } = await Bench.open(t);
    intake.settled();
    await say(intake, 'fleet/updates', bench.signer.announce(7, []));
    const newer = say(intake, 'fleet/updates', bench.signer.announce(8, []));
    intake.tend();
    await newer;
    intake.tend();
    assert.deepEqual(bench.restored, []);
  });

  it('costs nothing when it is no topic of ours, a chunk, or too large', async (t) => {
    const { bench, intake } = await Bench.open(t);
    await say(intake, 'somebody/else', utf8('x'));
    await say(intake, `fleet-chunks/${'0'.repeat(64)}`, utf8('x'));
    await say(intake, 'fleet/robots/r1/state', new Uint8Array(1_000_000));
    assert.deepEqual([bench.heard, bench.fleet.robots()], [[], []]);
  });
});
