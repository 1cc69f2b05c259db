import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { makeToken, type Credentials } from '../../../broker/access/credentials.ts';
import { LiveCredentials } from '../../../broker/access/live-credentials.ts';
import { hashPassword, parsePasswordHash } from '../../../broker/access/passwords.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';

const log = makeLog('test', 'silent');
const PASSWORD = 'correct horse battery staple';
const robotToken = makeToken();
const technicianToken = makeToken();
const FILE = {
  users: [
    { username: 'r1', role: 'robot', robot_id: 'robot-1', token_sha256: robotToken.sha256 },
    { username: 'op', role: 'technician', token_sha256: technicianToken.sha256 },
    { username: 'ann', role: 'publisher', password_scrypt: await hashPassword(utf8(PASSWORD)) },
  ],
};

async function open(t: TestContext, text = JSON.stringify(FILE)): Promise<Credentials> {
  const file = join(await tempFolder(t), 'credentials.json');
  await writeFile(file, text);
  const credentials = await LiveCredentials.open(file, log);
  t.after(() => credentials.close());
  return credentials;
}

describe('credentials', () => {
  it('know a robot by its token, as itself and not by its user name', async (t) => {
    const credentials = await open(t);
    const expected = { kind: 'user', username: 'r1', role: 'robot', robot: 'robot-1' };
    assert.deepEqual(await credentials.authenticate('r1', utf8(robotToken.token)), expected);
    assert.deepEqual(credentials.authenticateToken(robotToken.token), expected);
  });

  it('know a person by the password, again and again', async (t) => {
    const credentials = await open(t);
    const expected = { kind: 'user', username: 'ann', role: 'publisher', robot: null };
    for (let times = 0; times < 3; times += 1) {
      assert.deepEqual(await credentials.authenticate('ann', utf8(PASSWORD)), expected);
      assert.equal(await credentials.authenticate('ann', utf8(`${PASSWORD} `)), null);
    }
  });

  it('do not take the secret of one user for another', async (t) => {
    const credentials = await open(t);
    const secrets = [robotToken.token, technicianToken.token, PASSWORD];
    for (const [at, name] of ['r1', 'op', 'ann'].entries()) {
      for (const [of, secret] of secrets.entries()) {
        const identity = await credentials.authenticate(name, utf8(secret));
        assert.equal(identity !== null, at === of, `${name} with secret ${of}`);
      }
    }
  });

  it('do not take a password, a stored hash or nothing where a token is wanted', async (t) => {
    const credentials = await open(t);
    for (const text of [PASSWORD, robotToken.sha256, '', 'r1']) {
      assert.equal(credentials.authenticateToken(text), null);
    }
    assert.equal(await credentials.authenticate('r1', utf8(robotToken.sha256)), null);
    assert.equal(await credentials.authenticate(undefined, utf8(robotToken.token)), null);
    assert.equal(await credentials.authenticate('r1', undefined), null);
    assert.equal(await credentials.authenticate('r1', new Uint8Array(0)), null);
  });

  it('refuse a user that the file does not name', async (t) => {
    const credentials = await open(t);
    for (const name of ['nobody', '', '__proto__', 'constructor', 'R1']) {
      assert.equal(await credentials.authenticate(name, utf8(PASSWORD)), null);
      assert.equal(await credentials.authenticate(name, utf8(robotToken.token)), null);
    }
  });

  it('refuse every token that was not issued', async (t) => {
    const credentials = await open(t);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('r1', 'op'),
        fc.stringMatching(/^[A-Za-z0-9_-]{43}$/),
        async (name, token) => {
          assert.equal(await credentials.authenticate(name, utf8(token)), null);
          assert.equal(credentials.authenticateToken(token), null);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('let a flood of passwords wait only up to a bound, and go on after it', async (t) => {
    const salt = Buffer.alloc(16);
    const cheap = scryptSync(PASSWORD, salt, 32, { N: 2, r: 1, p: 1 }).toString('base64');
    const stored = `2$1$1$${salt.toString('base64')}$${cheap}`;
    const ann = { username: 'ann', role: 'publisher', password_scrypt: stored };
    const users = [...FILE.users.slice(0, 2), ann];
    const credentials = await open(t, JSON.stringify({ users }));
    const places = LIMITS.passwordChecksMax + LIMITS.passwordChecksQueueMax;
    const outcomes: string[] = [];
    const ask = async (n: number): Promise<void> => {
      const answer = credentials.authenticate('ann', utf8(`wrong password ${n}`));
      outcomes.push(await answer.then(String, (error: unknown) => (error as DroverError).code));
    };
    const flood = Array.from({ length: places + 5 }, (_, n) => ask(n));
    await Promise.all(flood.slice(places));
    assert.deepEqual(outcomes.slice(0, 5), Array(5).fill('CONNECTIONS_FULL'));
    assert.ok(await credentials.authenticate('op', utf8(technicianToken.token)), 'tokens go by');
    await Promise.all(flood);
    assert.equal(outcomes.filter((one) => one === 'null').length, places);
    assert.ok(await credentials.authenticate('ann', utf8(PASSWORD)));
  });
});

describe('the credentials file', () => {
  const user = { username: 'u', role: 'technician', token_sha256: 'a'.repeat(64) };
  const scrypt = (text: string) => ({ username: 'u', role: 'technician', password_scrypt: text });
  const salt = Buffer.alloc(16).toString('base64');
  const key = Buffer.alloc(32).toString('base64');
  const wrong: readonly [string, string, RegExp][] = [
    ['no JSON', 'users: []', /JSON/],
    ['nothing', '', /JSON/],
    ['a duplicate key', '{"users":[],"users":[]}', /users/],
    ['no users', '{}', /users/],
    ['a user twice', JSON.stringify({ users: [user, user] }), /twice/],
    ['one token for two', JSON.stringify({ users: [user, { ...user, username: 'v' }] }), /token/],
    ['an unknown role', JSON.stringify({ users: [{ ...user, role: 'admin' }] }), /role/],
    ['a robot without its id', JSON.stringify({ users: [{ ...user, role: 'robot' }] }), /robot_id/],
    ['no secret', JSON.stringify({ users: [{ username: 'u', role: 'relay' }] }), /token_sha256/],
    ['a token that is no hash', JSON.stringify({ users: [{ ...user, token_sha256: 'x' }] }), /hex/],
    ['a password in clear', JSON.stringify({ users: [scrypt('secret')] }), /<N>\$<r>/],
    ['a costly hash', JSON.stringify({ users: [scrypt(`1048576$8$4$${salt}$${key}`)] }), /<N>/],
    ['a bad user name', JSON.stringify({ users: [{ ...user, username: 'a/b' }] }), /username/],
  ];
  for (const [name, text, words] of wrong) {
    it(`is refused with ${name}`, async (t) => {
      await assert.rejects(open(t, text), (error) => {
        assert.ok(error instanceof DroverError, String(error));
        assert.match(error.code, /^(?:CREDENTIALS|JSON)_INVALID$/);
        assert.match(error.message, words);
        return true;
      });
    });
  }

  it('is refused when it is not there', async (t) => {
    const file = join(await tempFolder(t), 'absent.json');
    await assert.rejects(LiveCredentials.open(file, log), { code: 'FILE_UNREADABLE' });
  });

  it('is read or refused with a code, whatever bytes it has', async () => {
    const valid = utf8(JSON.stringify(FILE));
    await withTempFolder(async (folder) => {
      const file = join(folder, 'credentials.json');
      const anyDamage = fc.tuple(fc.nat(valid.byteLength - 1), fc.nat(255), fc.boolean());
      await fc.assert(
        fc.asyncProperty(anyDamage, async ([at, byte, isCut]) => {
          const bytes = isCut ? valid.slice(0, at) : valid.with(at, byte);
          await writeFile(file, bytes);
          await LiveCredentials.open(file, log).catch((error: unknown) => {
            assert.ok(error instanceof DroverError, String(error));
          });
        }),
        { numRuns: 200 },
      );
    });
  });
});

describe('a stored password', () => {
  it('says what it cost, and differs each time', async () => {
    const [one, two] = [await hashPassword(utf8('same')), await hashPassword(utf8('same'))];
    assert.match(one, /^16384\$8\$1\$[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}$/);
    assert.notEqual(one, two);
  });

  it('is parsed or refused, and never costs more than the limit', () => {
    const anyNumber = fc.oneof(fc.nat(100), fc.constantFrom(2, 1024, 16_384, 1_048_576));
    const anyKey = fc.constantFrom(Buffer.alloc(32), Buffer.alloc(16), Buffer.alloc(31));
    fc.assert(
      fc.property(anyNumber, anyNumber, anyNumber, anyKey, (N, r, p, bytes) => {
        const [salt, key] = [Buffer.alloc(16).toString('base64'), bytes.toString('base64')];
        const parsed = parsePasswordHash([N, r, p, salt, key].join('$'));
        const isFair = 128 * N * r * p <= LIMITS.passwordCostBytesMax && N > 1 && r > 0 && p > 0;
        const isPower = (N & (N - 1)) === 0;
        const fits = isFair && isPower && bytes.byteLength === 32 && r < 100 && p < 100;
        assert.equal(parsed !== null, fits);
      }),
      { numRuns: 500 },
    );
  });
});
