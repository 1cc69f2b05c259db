/**
 * A process that writes into a database until it is killed: `node tally-writer.js FOLDER BYTES`.
 * Each line that it prints is a key that was acknowledged as durable.
 */

import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { DurableLevel } from '../../../broker/control/durable-level.ts';

const [folder = '', bytes = '0'] = process.argv.slice(2);
const database = await DurableLevel.open(folder, 'view');
for (let at = 0; ; at += 1) {
  const key = `${process.pid}-${at}`;
  const sync = at % 3 !== 0;
  await database.put(key, randomBytes(Number(bytes)), { sync });
  if (sync) writeSync(1, `${key}\n`);
}
