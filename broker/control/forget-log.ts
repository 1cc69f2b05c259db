/**
 * `drover-broker repair --forget-log`: removes the transparency log from the data folder of a
 * stopped broker, so that another log can begin there. That is impossible over MQTT: a log only
 * grows, even one that a stranger began.
 */

import { countOf } from '../../shared/base/printable.ts';
import { join } from 'node:path';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LOG_CHECKPOINT_TOPIC, parseTopic } from '../../shared/formats/topics.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { readCheckpoint } from '../../shared/tlog/checkpoint.ts';
import { asOwnerOf, databasesIn } from './data-folder.ts';
import { DurableLevel, type Operation } from './durable-level.ts';
import { isLogTopic } from './log-keeper.ts';

export interface ForgetLogArgs {
  readonly data: string;
  /** Origin of the stored log: the operator names it, so that no other log is removed. */
  readonly origin: string;
  readonly json: boolean;
}

/** @throws DroverError FILE_UNREADABLE, DATA_LOCKED, DATABASE_DAMAGED, LOG_ABSENT, USAGE */
export async function runForgetLog({ data, origin, json }: ForgetLogArgs): Promise<void> {
  const removed = await asOwnerOf(data, () => forgetLog(data, origin));
  makeOutput(json).result({ data, origin, removed_entries: removed }, [
    `removed the log ${origin} with ${countOf(removed, 'entry', 'entries')}`,
    'begin the right one with drover log add BUNDLE --new, and tell those who witness it',
  ]);
}

/** The work of the command. @returns the number of removed entries */
export async function forgetLog(data: string, origin: string): Promise<number> {
  if (!(await databasesIn(data)).includes('control')) {
    throw new DroverError('FILE_UNREADABLE', `forget log of ${data}: no broker kept anything here`);
  }
  const database = await DurableLevel.open(join(data, 'control'), 'view');
  try {
    const { removals, stands } = await findLog(database);
    if (removals.length === 0) {
      throw new DroverError('LOG_ABSENT', `forget log of ${data}: there is none`);
    }
    // Entries without a head have no origin yet: anybody may have written them.
    if (stands !== null && stands !== origin) {
      throw new DroverError('USAGE', `forget log of ${data}: ${stands} stands there`, {
        hint: `name the log that is to be removed: --forget-log ${stands}`,
      });
    }
    await database.batch(removals, { sync: true });
    return removals.filter(({ key }) => key !== LOG_CHECKPOINT_TOPIC).length;
  } finally {
    await database.close();
  }
}

async function findLog(
  database: DurableLevel,
): Promise<{ removals: Operation[]; stands: string | null }> {
  const removals: Operation[] = [];
  let stands: string | null = null;
  for await (const [key, value] of database.entries()) {
    const topic = parseTopic(key);
    if (!topic || !isLogTopic(topic)) continue;
    removals.push({ type: 'del', key });
    if (topic.kind !== 'log-checkpoint') continue;
    const bytes = (value as Uint8Array).subarray(1); // the first byte is the QoS
    stands = nullIfRefused(() => readCheckpoint(bytes))?.origin ?? null;
  }
  return { removals, stands };
}
