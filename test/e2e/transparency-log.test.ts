/** The transparency log with real programs: on our broker and on mosquitto, with witnesses, over a gap. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { LOG_CHECKPOINT_TOPIC, logEntryTopic } from '../../shared/formats/topics.ts';
import { seedSigner } from '../../shared/crypto/ed25519.ts';
import { readCheckpoint } from '../../shared/tlog/checkpoint.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { makeCheckpoint, noteBytes, ORIGIN } from '../shared/tlog/log-maker.ts';
import { startBrokerChild } from './broker-child.ts';
import { LogStage } from './log-stage.ts';

const RETAINED = { retain: true, qos: 1 } as const;

describe('the transparency log', () => {
  it('is begun once, grows, gives the same answer twice, and is listed', async (t) => {
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const { url } = await startBrokerChild(t, { args: stage.trust });
    const [first, second] = [await site.bundle('1.0.0'), await site.bundle('1.1.0')];
    assert.equal(await stage.codeOf(...stage.addArgs(url, first)), 'LOG_ABSENT');
    assert.equal(await stage.codeOf(...stage.verifyArgs(url)), 'LOG_ABSENT');
    assert.match(await stage.add(url, first, '--new'), /logged app 1\.0\.0 as entry 0/);
    assert.equal(await stage.codeOf(...stage.addArgs(url, second, '--new')), 'LOG_EXISTS');
    const save = ['--save', site.path('seen.txt')];
    await site.drover(...stage.verifyArgs(url, ...save));
    assert.match(await stage.add(url, second), /as entry 1/);
    const proof = await readFile(`${second}/log.tlog-proof`, 'utf8');
    assert.match(await stage.add(url, second), /logged before: app 1\.1\.0 as entry 1/);
    assert.equal(await readFile(`${second}/log.tlog-proof`, 'utf8'), proof);
    const listed = await site.drover(
      ...stage.verifyArgs(url, '--since', site.path('seen.txt'), ...save),
    );
    assert.match(listed, /extends .*; 1 entry is newer\n +0 {2}app 1\.0\.0 .*\n +1 {2}app 1\.1/);
    const checked = ['--require-log', stage.policy, ...stage.trust];
    assert.match(await site.drover('verify', second, ...checked), /ok: logged as entry 1 of/);
    assert.equal(
      await stage.codeOf('verify', await site.bundle('1.2.0'), ...checked),
      'LOG_PROOF_MISSING',
    );
    assert.match(await site.drover('inspect', second), /^log +entry 1 of example\.org\/fleet/m);
    const other = ['--key', site.path('release.key'), '--origin', 'example.org/fleet'];
    const args = ['log', 'add', await site.bundle('1.3.0'), '--broker', url, ...other];
    assert.equal(await stage.codeOf(...args), 'USAGE', 'another key is a slip');
  });

  it('takes two writers that add at the same moment one after the other', async (t) => {
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const { url } = await startBrokerChild(t, { args: stage.trust });
    await stage.add(url, await site.bundle('1.0.0'), '--new');
    const bundles = [await site.bundle('1.1.0'), await site.bundle('1.2.0')];
    const codes = await Promise.all(
      bundles.map((bundle) => stage.codeOf(...stage.addArgs(url, bundle))),
    );
    for (const code of codes) assert.ok(code === null || code === 'LOG_CONFLICT', String(code));
    for (const bundle of bundles) await stage.add(url, bundle);
    const listed = await site.drover(...stage.verifyArgs(url));
    assert.match(listed, /3 entries/);
  });

  it('cannot be rewritten on our broker, and stands there after a restart', async (t) => {
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const before = await startBrokerChild(t, { args: stage.trust });
    await stage.add(before.url, await site.bundle('1.0.0'), '--new');
    const wire = await stage.wire(before.url);
    const entry = await readFile(`${await site.bundle('1.1.0')}/manifest.json`);
    const refused = { code: 'LOG_APPEND_ONLY' };
    for (const [topic, bytes] of [
      [logEntryTopic(0), entry],
      [logEntryTopic(0), new Uint8Array()],
      [logEntryTopic(2), entry],
      [LOG_CHECKPOINT_TOPIC, new Uint8Array()],
      [LOG_CHECKPOINT_TOPIC, noteBytes(await makeCheckpoint([entry]))],
    ] as const) {
      await assert.rejects(wire.send(topic, bytes, RETAINED), refused, topic);
    }
    before.child.kill('SIGKILL');
    await before.child.exit;
    const after = await startBrokerChild(t, { args: stage.trust, data: before.data });
    assert.match(await site.drover(...stage.verifyArgs(after.url)), /1 entry/);
  });

  it('whose head got a bad signature is repaired with its key, from a checkpoint that was saved', async (t) => {
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const { url } = await startBrokerChild(t, { args: stage.trust });
    const bundle = await site.bundle('1.0.0');
    await stage.add(url, bundle, '--new');
    const seen = site.path('seen.txt');
    await site.drover(...stage.verifyArgs(url, '--save', seen));
    const wire = await stage.wire(url);
    const entries = [await readFile(`${bundle}/manifest.json`)];
    const stands = readCheckpoint(await readFile(seen));
    const bad = stands.note.signatures.map((one) => ({ ...one, bytes: new Uint8Array(64) }));
    const send = (text: string) =>
      wire.send(LOG_CHECKPOINT_TOPIC, noteBytes({ text, signatures: bad }), RETAINED);
    await assert.rejects(send(stands.note.text), { code: 'LOG_APPEND_ONLY' });
    entries.push(await readFile(`${await site.bundle('1.1.0')}/manifest.json`));
    await wire.send(logEntryTopic(1), entries[1] ?? new Uint8Array(), RETAINED);
    await send((await makeCheckpoint(entries)).text);
    assert.equal(await stage.codeOf(...stage.verifyArgs(url)), 'LOG_INVALID');
    assert.equal(await stage.codeOf(...stage.addArgs(url, bundle)), 'LOG_INVALID');
    const added = await stage.add(url, bundle, '--since', seen);
    assert.match(added, /as entry 2 .*\n.*had bad signatures: a new one is signed/);
    assert.match(await site.drover(...stage.verifyArgs(url, '--since', seen)), /3 entries/);
  });

  it('wants its witnesses: robots wait for a quorum, and take the proof that is renewed', async (t) => {
    const stage = await LogStage.open(t, 'group both all w1 w2', 'quorum both');
    const { site } = stage;
    const broker = await startBrokerChild(t, { args: stage.trust });
    const { url } = broker;
    const bundle = await site.bundle('1.0.0');
    await stage.add(url, bundle, '--new');
    assert.match(
      await site.drover(...stage.witnessArgs(url, 'w1')),
      /seen here for the first time/,
    );
    await stage.add(url, bundle);
    await site.publish(url, bundle, '--id', 'early');
    const robot = site.robot('r1', url, stage.required);
    const { last_error: error } = await robot.until(
      'wants another witness',
      (status) => status.last_error?.code === 'LOG_PROOF_INVALID',
    );
    assert.match(error?.message ?? '', /too few witnesses \(got w1, want both\)/);
    const status = await site.drover('rollout', 'status', 'early', '--api', broker.httpUrl);
    assert.match(status, /LOG_PROOF_INVALID/);

    await site.drover(...stage.witnessArgs(url, 'w2'));
    assert.match(await site.drover(...stage.witnessArgs(url, 'w2')), /had cosigned already/);
    assert.match(await site.drover(...stage.verifyArgs(url)), /witnessed by w1, w2$/m);
    await stage.add(url, bundle);
    await site.publish(url, bundle, '--id', 'late', '--supersede', 'early');
    await robot.runs('1.0.0');
  });

  it('goes over an air gap in the proof alone, and a site that wants it installs', async (t) => {
    const stage = await LogStage.open(t, 'quorum w1');
    const { site } = stage;
    const { url } = await startBrokerChild(t, { args: stage.trust });
    const bundle = await site.bundle('1.0.0');
    await stage.add(url, bundle, '--new');
    await site.drover(...stage.witnessArgs(url, 'w1'));
    await stage.add(url, bundle);
    await site.publish(url, bundle);
    const stick = site.path('stick.drover');
    await site.drover('export', '--broker', url, ...stage.trust, '--out', stick);
    const far = await startBrokerChild(t, { args: stage.trust });
    const into = ['--into', site.path('kept')];
    await site.drover('import', stick, '--broker', far.url, ...stage.trust, ...into);
    const proof = await readFile(`${bundle}/log.tlog-proof`, 'utf8');
    const kept = site.path('kept/app-1.0.0/log.tlog-proof');
    assert.equal(await readFile(kept, 'utf8'), proof);
    await site.robot('r1', far.url, stage.required).runs('1.0.0');
    const own = await startBrokerChild(t, { args: stage.trust });
    const key = ['--key', site.path('rollout.key'), '--waves', '100', ...stage.trust];
    // An older proof in the folder of the site gives way to the one that came.
    await writeFile(kept, proof.split('\u2014 w1')[0] ?? '');
    await site.drover('import', stick, '--broker', own.url, ...key, ...into);
    assert.equal(await readFile(kept, 'utf8'), proof);
    await site.robot('r2', own.url, stage.required).runs('1.0.0');
  });

  it('on mosquitto is added to and verified, and who rewrites it there is found out', async (t) => {
    const engine = await startMosquitto(t);
    if (!engine) return;
    const { url } = engine;
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const bundle = await site.bundle('1.0.0');
    await stage.add(url, bundle, '--new');
    await stage.add(url, await site.bundle('1.1.0'));
    await site.drover(...stage.witnessArgs(url, 'w1'));
    const seen = site.path('seen.txt');
    await site.drover(...stage.verifyArgs(url, '--save', seen));
    await site.publish(url, bundle);
    await site.robot('r1', url, stage.required).runs('1.0.0');

    const wire = await stage.wire(url);
    const [first, other] = await Promise.all(
      ['1.0.0', '6.6.6'].map(async (version) =>
        readFile(`${await site.bundle(version === '1.0.0' ? '1.0.1' : version)}/manifest.json`),
      ),
    );
    assert.ok(first && other);
    await wire.send(logEntryTopic(0), other, RETAINED);
    assert.equal(await stage.codeOf(...stage.verifyArgs(url)), 'LOG_INVALID');
    assert.equal(await stage.codeOf(...stage.addArgs(url, bundle)), 'LOG_INVALID');
    // The thief has the key of the log as well: another history, with true signatures.
    await wire.send(logEntryTopic(1), first, RETAINED);
    const seed = new Uint8Array(await readFile(site.path('log.key')));
    const by = { origin: ORIGIN, signer: seedSigner(seed) };
    const head = noteBytes(await makeCheckpoint([other, first], [], by));
    await wire.send(LOG_CHECKPOINT_TOPIC, head, RETAINED);
    assert.equal(await stage.codeOf(...stage.verifyArgs(url)), null);
    assert.equal(await stage.codeOf(...stage.verifyArgs(url, '--since', seen)), 'LOG_REWRITTEN');
    assert.equal(await stage.codeOf(...stage.witnessArgs(url, 'w1')), 'LOG_REWRITTEN');
  });

  it('is asked for by no robot whose policy cannot be read: it ends before it touches anything', async (t) => {
    const stage = await LogStage.open(t, 'quorum w9');
    const { site } = stage;
    const robot = site.robot('r1', 'mqtt://127.0.0.1:1', stage.required);
    const { code } = await robot.child.exit;
    assert.equal(code, 2);
    assert.match(robot.child.describe(), /line 4: there is no "w9" \(LOG_POLICY_INVALID\)/);
    await assert.rejects(readFile(robot.root));
    const absent = site.robot('r2', 'mqtt://127.0.0.1:1', ['--require-log', site.path('none.txt')]);
    await absent.child.exit;
    assert.match(absent.child.describe(), /FILE_UNREADABLE/);
  });
});
