/** A user name that differs from a known one only in case is refused. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import {
  putCredentialUser,
  readCredentialUsers,
  type CredentialUserFields,
} from '../../../broker/access/credentials.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const user = (username: string, digit: string): CredentialUserFields => ({
  ...{ username, role: 'publisher' },
  token_sha256: digit.repeat(64),
});

it('a user whose name differs from a known one only in case is refused', async (t) => {
  const file = join(await tempFolder(t), 'users.json');
  await putCredentialUser(file, user('ana', '1'));
  await assert.rejects(putCredentialUser(file, user('Ana', '2')), {
    code: 'USAGE',
    message: /add user Ana to .*: it differs from ana only in case/,
  });
  await putCredentialUser(file, user('ana', '3')); // renewed
  await putCredentialUser(file, user('an-a', '4'));
  const names = (await readCredentialUsers(file)).map(({ username }) => username);
  assert.deepEqual(names, ['ana', 'an-a']);

  // A file that has both already keeps both, and each can be renewed.
  await writeFile(file, JSON.stringify({ users: [user('ana', '1'), user('Ana', '2')] }));
  await putCredentialUser(file, user('Ana', '5'));
  assert.equal((await readCredentialUsers(file)).length, 2);
});
