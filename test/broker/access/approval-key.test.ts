/** The key of a user in the credentials file: who may have one, and what a change of it ends. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
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
import { Leadership } from '../../../broker/rollout/leadership.ts';
import { keyIdOf, publicKeyOf, seedSigner } from '../../../shared/crypto/ed25519.ts';
import { signLease } from '../../../shared/formats/lease.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const [ONE, TWO] = [publicKeyOf(fixedSeed(41)), publicKeyOf(fixedSeed(42))];

interface ListedRole {
  readonly role: string;
}

const READER = { username: 'tom', role: 'technician' } as const;
const none = (): void => undefined;
const NO_LINES = { debug: none, info: none, warn: none };

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

  it('makes a file that programs which would lose the key refuse, and only then', async (t) => {
    const { file } = await users(t);
    const roles = async (): Promise<string[]> => {
      const { users: all } = JSON.parse(await readFile(file, 'utf8')) as { users: ListedRole[] };
      return all.map(({ role }) => role);
    };
    const known = await roles();
    assert.deepEqual(known, ['publisher', 'publisher', 'technician'], 'as 0.1 writes it');
    await setApprovalKey(file, 'ana', ONE);
    assert.deepEqual(await roles(), ['signing-publisher', 'publisher', 'technician']);
    const read = await readCredentialUsers(file);
    assert.deepEqual(
      read.map(({ role }) => role),
      known,
    );
    await putCredentialUser(file, { ...READER, token_sha256: makeToken().sha256 });
    assert.equal((await roles())[0], 'signing-publisher', 'a rewrite keeps it');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/,\s*"approval_key": "[0-9a-f]+"/, ''));
    await assert.rejects(readCredentialUsers(file), { code: 'CREDENTIALS_INVALID' });
    await writeFile(file, text.replace('signing-publisher', 'publisher'));
    assert.equal(await keyOf(file, 'ana'), ONE, 'written by hand');
    await setApprovalKey(file, 'ana', null);
    assert.deepEqual(await roles(), [...known, 'technician']);
  });

  it('is missed aloud when a file without it is read', async (t) => {
    const { file } = await users(t);
    await setApprovalKey(file, 'ana', ONE);
    const errors: unknown[] = [];
    const log = { ...makeLog('test', 'silent'), ...NO_LINES };
    const live = await LiveCredentials.open(file, { ...log, error: (all) => errors.push(all) });
    t.after(async () => await live.close());
    await live.reload();
    assert.deepEqual(errors, []);
    await setApprovalKey(file, 'ana', null);
    await live.reload();
    assert.deepEqual(errors[0], { users: ['ana'] });
  });

  it('makes a broker say that a leader of an earlier version asks for no signature', async () => {
    const { trust, seeds } = makeFleet();
    const signers = [seedSigner(seeds.rollout)];
    const errors: unknown[] = [];
    const leadership = new Leadership({
      ...{ self: 'c-1', predecessor: null, isAlone: false, trust, signers },
      times: { leaseMs: 4_000, settleMs: 1_000 },
      hasApprovalKeys: () => true,
      log: { ...NO_LINES, error: (all) => errors.push(all) },
      ...{ now: () => Date.now(), mono: () => 0, publish: () => Promise.resolve() },
    });
    const hear = async (controller: string, beat: number, caps: string[]): Promise<void> => {
      const issued_at = new Date().toISOString();
      const fields = { fleet: trust.fleet, controller, term: 1, beat, issued_at, caps };
      leadership.hear(await signLease(fields, signers));
    };
    await hear('c-2', 1, ['users', 'approval-keys']);
    assert.deepEqual(errors, []);
    await hear('c-3', 2, ['users']);
    await hear('c-3', 3, ['users']);
    assert.deepEqual(errors, [{ controller: 'c-3' }], 'once');
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
