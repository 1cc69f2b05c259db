import assert from 'node:assert/strict';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { makeToken } from '../../../broker/access/credentials.ts';
import { LiveCredentials } from '../../../broker/access/live-credentials.ts';
import { hashPassword } from '../../../broker/access/passwords.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const PASSWORD = 'correct horse battery staple';
const [mine, fresh] = [makeToken(), makeToken()];
const r1 = { username: 'r1', role: 'robot', robot_id: 'r1', token_sha256: mine.sha256 };
const ann = {
  username: 'ann',
  role: 'publisher',
  password_scrypt: await hashPassword(utf8(PASSWORD)),
};

interface Opened {
  readonly live: LiveCredentials;
  readonly file: string;
  write(users: readonly object[]): Promise<void>;
}

async function open(t: TestContext, users: readonly object[]): Promise<Opened> {
  const file = join(await tempFolder(t), 'credentials.json');
  const write = (all: readonly object[]): Promise<void> =>
    writeFile(file, JSON.stringify({ users: all }));
  await write(users);
  const live = await LiveCredentials.open(file, makeLog('test', 'silent'));
  t.after(() => live.close());
  return { live, file, write };
}

describe('credentials that are read again', () => {
  const changes: readonly [string, object | null][] = [
    ['its token', { ...r1, token_sha256: fresh.sha256 }],
    ['its role', { ...r1, role: 'technician' }],
    ['the robot that it is', { ...r1, robot_id: 'r2' }],
    ['its ways to prove who it is', { ...r1, password_scrypt: ann.password_scrypt }],
    ['everything, by removing it', null],
  ];
  for (const [what, changed] of changes) {
    it(`end the connections of a user when they change ${what}, and no others`, async (t) => {
      const { live, write } = await open(t, [r1, ann]);
      const robot = await live.authenticate('r1', utf8(mine.token));
      const person = await live.authenticate('ann', utf8(PASSWORD));
      assert.ok(robot && person);
      assert.ok(live.isCurrent(robot) && live.isCurrent(person));
      await write(changed === null ? [ann] : [ann, changed]);
      await live.reload();
      assert.deepEqual([live.isCurrent(robot), live.isCurrent(person)], [false, true]);
    });
  }

  it('keep the connections of users whose entry stays the same', async (t) => {
    const { live, write } = await open(t, [r1]);
    const byToken = live.authenticateToken(mine.token);
    assert.ok(byToken);
    await write([
      { token_sha256: mine.sha256, robot_id: 'r1', role: 'robot', username: 'r1' },
      ann,
    ]);
    await live.reload();
    assert.ok(live.isCurrent(byToken));
  });

  it('refuse a login that was still being checked against the previous file', async (t) => {
    const { live, write } = await open(t, [ann]);
    const checking = live.authenticate('ann', utf8(PASSWORD));
    await write([r1]);
    await live.reload();
    assert.equal(await checking, null);
  });

  it('stay as they were when the file is broken, gone or too much', async (t) => {
    const { live, file } = await open(t, [r1]);
    let changes = 0;
    live.onChange(() => (changes += 1));
    const robot = live.authenticateToken(mine.token);
    assert.ok(robot);
    for (const text of ['', '{"users": [', '{"users": [{"username": "r1"}]}', '[]']) {
      await writeFile(file, text);
      await live.reload();
      assert.ok(live.isCurrent(robot), text);
    }
    await rm(file);
    await live.reload();
    assert.ok(live.isCurrent(robot) && live.authenticateToken(mine.token));
    assert.equal(changes, 0);
  });

  it('are read by themselves when the file is replaced', async (t) => {
    const { live, file } = await open(t, [r1]);
    const robot = live.authenticateToken(mine.token);
    assert.ok(robot);
    await writeFile(`${file}.new`, JSON.stringify({ users: [ann] }));
    await rename(`${file}.new`, file);
    await waitUntil('the new file to be in force', () => !live.isCurrent(robot));
  });
});
