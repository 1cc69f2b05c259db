/** The key of a user in the credentials file: who may have one, and what a change of it ends. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  CredentialSet,
  makeToken,
  putCredentialUser,
  readCredentialUsers,
  setApprovalKey,
} from '../../../broker/access/credentials.ts';
import { LiveCredentials } from '../../../broker/access/live-credentials.ts';
import { PasswordChecker } from '../../../broker/access/passwords.ts';
import { listed } from '../../../broker/audit/audited-settings.ts';
import { userDecisions } from '../../../broker/audit/decision.ts';
import { keyIdOf, publicKeyOf } from '../../../shared/crypto/ed25519.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const [ONE, TWO] = [publicKeyOf(fixedSeed(41)), publicKeyOf(fixedSeed(42))];

async function users(scope: Scope): Promise<{ file: string; token: string }> {
  const file = join(await tempFolder(scope), 'users.json');
  const { token, sha256 } = makeToken();
  await putCredentialUser(file, { username: 'ana', role: 'publisher', token_sha256: sha256 });
  for (const [username, role] of [
    ['ben', 'publisher'],
    ['tim', 'technician'],
  ] as const) {
    await putCredentialUser(file, { username, role, token_sha256: makeToken().sha256 });
  }
  return { file, token };
}

const keyOf = async (file: string, name: string): Promise<string | undefined> =>
  (await readCredentialUsers(file)).find(({ username }) => username === name)?.approval_key;

describe('the approval key of a user', () => {
  it('is set, replaced and removed, and stays when the secret is renewed', async (t) => {
    const { file } = await users(t);
    assert.equal(await setApprovalKey(file, 'ana', ONE), null);
    assert.equal(await setApprovalKey(file, 'ana', TWO), ONE);
    const token_sha256 = makeToken().sha256;
    await putCredentialUser(file, { username: 'ana', role: 'publisher', token_sha256 });
    assert.equal(await keyOf(file, 'ana'), TWO);
    assert.equal(await setApprovalKey(file, 'ana', null), TWO);
    assert.equal(await keyOf(file, 'ana'), undefined);
  });

  it('is refused for who approves nothing, for a stranger, and for two users', async (t) => {
    const { file } = await users(t);
    await setApprovalKey(file, 'ana', ONE);
    const refused = async (name: string, why: RegExp): Promise<void> =>
      await assert.rejects(setApprovalKey(file, name, ONE), { code: 'USAGE', message: why });
    await refused('tim', /a technician approves nothing/);
    await refused('eve', /there is no such user/);
    await refused('ben', /ana has this key/);
    const both = { username: 'ben', role: 'publisher', approval_key: ONE } as const;
    await putCredentialUser(file, { ...both, token_sha256: makeToken().sha256 });
    await assert.rejects(readCredentialUsers(file), /two users with one approval key/);
  });

  it('ends what a user was signed in with before, when it changes', async (t) => {
    const { file, token } = await users(t);
    const live = await LiveCredentials.open(file, makeLog('test', 'silent'));
    t.after(async () => await live.close());
    const before = live.authenticateToken(token);
    assert.ok(before?.kind === 'user' && live.isCurrent(before));
    assert.equal(before.approvalKey, undefined);
    await setApprovalKey(file, 'ana', ONE);
    await live.reload();
    assert.equal(live.isCurrent(before), false);
    const after = live.authenticateToken(token);
    assert.ok(after?.kind === 'user');
    assert.equal(after.approvalKey, ONE);
  });

  it('stands in the audit chain when it is set, replaced and removed', async (t) => {
    const { file } = await users(t);
    const read = async () => {
      const set = new CredentialSet(await readCredentialUsers(file), new PasswordChecker());
      return listed(() => set)() ?? [];
    };
    const without = await read();
    await setApprovalKey(file, 'ana', ONE);
    const withOne = await read();
    const [set] = userDecisions(without, withOne);
    assert.equal(set?.kind, 'user.changed');
    assert.ok(set.text.endsWith(`, with approval key ${keyIdOf(ONE)}`), set.text);
    assert.deepEqual(set.facts, { role: 'publisher', approval_key: ONE });
    const [removed] = userDecisions(withOne, without);
    assert.match(removed?.text ?? '', /, with no approval key any more$/);
  });
});
