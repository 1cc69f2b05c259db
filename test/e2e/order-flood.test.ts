/** A carrier that floods a robot with junk wears out neither its flash nor its log. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const JUNK = 300;
/** Without a bound a flood of so many wrote 1.9 MB. */
const WRITTEN_BYTES_MAX = 200_000;

/** Bytes of pages that the agent had the disk write. */
async function writtenBy({ child }: Robot): Promise<number> {
  const io = await readFile(`/proc/${child.pid}/io`, 'utf8');
  return Number(/^write_bytes: (\d+)$/m.exec(io)?.[1]);
}

test('a robot that is flooded with junk writes little, says what it refuses, and takes the next update', async (t) => {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const robot = site.robot('r1', broker.url);
  const update = async (version: string): Promise<number> => {
    const before = await writtenBy(robot);
    await site.publish(broker.url, await site.bundle(version));
    await robot.runs(version, 90_000);
    return (await writtenBy(robot)) - before;
  };
  await update('1.0.0');
  const quiet = await update('1.0.1');
  const wire = await connectWire(
    { url: broker.url, clientId: 'junk' },
    { onMessage: () => {} },
    makeLog('test', 'silent'),
  );
  t.after(() => wire.close());
  const before = await writtenBy(robot);
  const kinds = ['junk', '{}', '[1]', '{"payload":"","payloadType":"x","signatures":[]}'];
  for (let nth = 0; nth < JUNK; nth += 1) {
    const bytes = new TextEncoder().encode(kinds[nth % kinds.length]);
    await wire.send(UPDATES_TOPIC, bytes, { retain: false, qos: 1 });
  }
  const refused = await robot.until('says that it refuses', (s) => s.last_error !== null);
  assert.equal(refused.version, '1.0.1');
  await update('1.1.0');
  const written = (await writtenBy(robot)) - before - quiet;
  assert.ok(written < WRITTEN_BYTES_MAX, `${written} bytes`);
  const lines = robot.child.stderr.split('\n').filter((line) => line.includes('"refused"'));
  assert.ok(lines.length <= kinds.length, `${lines.length} lines`);
});
