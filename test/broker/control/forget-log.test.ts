/** Removes the transparency log of a stopped broker by its name, and nothing else with it. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { forgetLog } from '../../../broker/control/forget-log.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { LOG_CHECKPOINT_TOPIC, logEntryTopic } from '../../../shared/formats/topics.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { makeCheckpoint, noteBytes } from '../../shared/tlog/log-maker.ts';

test('a log that a stranger began is removed by its name, and all else stays', async (t) => {
  const data = await tempFolder(t);
  await assert.rejects(forgetLog(data, 'stranger'), { code: 'FILE_UNREADABLE' });
  let store = await ControlStore.open(join(data, 'control'));
  const entry = utf8('{}');
  const head = noteBytes(await makeCheckpoint([entry], [], { origin: 'stranger' }));
  for (const [topic, payload] of [
    ['fleet/updates', entry],
    [logEntryTopic(0), entry],
    [LOG_CHECKPOINT_TOPIC, head],
  ] as const) {
    await store.put({ topic, payload, qos: 1 });
  }
  await assert.rejects(forgetLog(data, 'stranger'), { code: 'DATA_LOCKED' });
  await store.close();
  await assert.rejects(forgetLog(data, 'ours'), { code: 'USAGE', message: /stranger stands/ });
  assert.equal(await forgetLog(data, 'stranger'), 1);
  await assert.rejects(forgetLog(data, 'stranger'), { code: 'LOG_ABSENT' });
  store = await ControlStore.open(join(data, 'control'));
  assert.deepEqual(
    [...store.match('#')].map(({ topic }) => topic),
    ['fleet/updates'],
  );
  await store.close();
});
