import assert from 'node:assert/strict';
import { chmod, chown, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LiveCredentials } from '../../../broker/access/live-credentials.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function passwd(t: TestContext, file: string, args: string, input = ''): Promise<Run> {
  const all = ['passwd', '--file', file, ...args.split(' ')];
  const child = startDrover(t, 'broker', all, { input });
  const { code } = await child.exit;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

async function newFile(t: TestContext): Promise<string> {
  return join(await tempFolder(t), 'credentials.json');
}

async function openFile(t: TestContext, file: string): Promise<LiveCredentials> {
  const credentials = await LiveCredentials.open(file, makeLog('test', 'silent'));
  t.after(() => credentials.close());
  return credentials;
}

function tokenOf(run: Run): string {
  assert.equal(run.code, 0, run.stderr);
  const lines = run.stdout.split('\n').filter((line) => line !== '');
  assert.equal(lines.length, 1, 'exactly one line with --json');
  const { token } = JSON.parse(lines[0] ?? '') as { token: string };
  assert.equal(Buffer.from(token, 'base64url').byteLength, 32);
  return token;
}

describe('drover-broker passwd', () => {
  it('makes a file that only its owner reads, with a token that then works', async (t) => {
    const file = await newFile(t);
    const run = await passwd(t, file, '--user r1 --role robot --json');
    const token = tokenOf(run);
    assert.deepEqual(JSON.parse(run.stdout), { username: 'r1', role: 'robot', token });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.doesNotMatch(await readFile(file, 'utf8'), new RegExp(token), 'never stored');
    const identity = await (await openFile(t, file)).authenticate('r1', utf8(token));
    assert.deepEqual(identity, { kind: 'user', username: 'r1', role: 'robot', robot: 'r1' });
  });

  it('adds many robots at once, all or none, and renews none of them by mistake', async (t) => {
    const file = await newFile(t);
    const out = join(dirname(file), 'tokens.txt');
    const many = `--role robot --count 30 --prefix amr- --from 7 --out ${out} --json`;
    assert.equal((await passwd(t, file, many)).code, 0);
    assert.equal((await stat(out)).mode & 0o777, 0o600);
    const lines = (await readFile(out, 'utf8')).trimEnd().split('\n');
    assert.equal(lines.length, 30);
    const [name = '', token = ''] = lines[29]?.split(' ') ?? [];
    assert.equal(name, 'amr-0036');
    const identity = await (await openFile(t, file)).authenticate(name, utf8(token));
    assert.deepEqual(identity, { kind: 'user', username: name, role: 'robot', robot: name });
    const names = join(dirname(file), 'names.txt');
    await writeFile(names, '# the new ones\nnew-1\namr-0036\n');
    const before = await readFile(file, 'utf8');
    const again = await passwd(t, file, `--role robot --robots ${names} --out ${out}.2`);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /amr-0036 is in /);
    assert.equal(await readFile(file, 'utf8'), before);
    await assert.rejects(stat(`${out}.2`), { code: 'ENOENT' });
    const wrong = await passwd(t, file, '--role publisher --count 2 --prefix x');
    assert.match(wrong.stderr, /want --role robot.*USAGE/);
  });

  it('renews one user, whose old token is void, and leaves the others alone', async (t) => {
    const file = await newFile(t);
    const other = tokenOf(await passwd(t, file, '--user op --role technician --json'));
    const old = tokenOf(await passwd(t, file, '--user ci --role publisher --json'));
    const fresh = tokenOf(await passwd(t, file, '--user ci --role publisher --json'));
    const credentials = await openFile(t, file);
    assert.equal(credentials.authenticateToken(old), null);
    assert.ok(credentials.authenticateToken(fresh));
    assert.ok(credentials.authenticateToken(other));
  });

  it('loses no user when several commands run at one instant', async (t) => {
    const file = await newFile(t);
    const names = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'];
    const runs = names.map((name) => passwd(t, file, `--user ${name} --role robot --json`));
    const tokens = (await Promise.all(runs)).map((run) => tokenOf(run));
    const credentials = await openFile(t, file);
    for (const token of tokens) assert.ok(credentials.authenticateToken(token));
    assert.deepEqual(await readdir(dirname(file)), [basename(file)], 'no lock is left');
  });

  it('keeps owner and permissions of a file, which the broker reads as another user', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root gives files away');
    const file = await newFile(t);
    const first = await passwd(t, file, '--user ci --role publisher');
    assert.match(first.stdout, /only root reads it/);
    await chown(file, 65_534, 65_533);
    await chmod(file, 0o640);
    const second = await passwd(t, file, '--user op --role technician');
    assert.doesNotMatch(second.stdout, /only root/);
    const { uid, gid, mode } = await stat(file);
    assert.deepEqual([uid, gid, mode & 0o777], [65_534, 65_533, 0o640]);
  });

  it('takes the place of a command that was killed', async (t) => {
    const file = await newFile(t);
    await writeFile(`${file}.lock`, '');
    await utimes(`${file}.lock`, 0, 0);
    tokenOf(await passwd(t, file, '--user r1 --role robot --json'));
  });

  it('names the folder that is not there', async (t) => {
    const file = join(await newFile(t), 'none', 'credentials.json');
    const { code, stderr } = await passwd(t, file, '--user r1 --role robot');
    assert.equal(code, 2);
    assert.match(stderr, /ENOENT.*FILE_REFUSED/);
  });

  it('takes a password from standard input, and prints no secret', async (t) => {
    const file = await newFile(t);
    const args = '--user ann --role technician --password-stdin --json';
    const run = await passwd(t, file, args, 'a long password\n');
    assert.deepEqual(JSON.parse(run.stdout), { username: 'ann', role: 'technician', token: null });
    assert.doesNotMatch(await readFile(file, 'utf8'), /a long password/);
    const credentials = await openFile(t, file);
    assert.ok(await credentials.authenticate('ann', utf8('a long password')));
    assert.equal(await credentials.authenticate('ann', utf8('a long password\n')), null);
  });

  const refused: readonly [string, string, string][] = [
    ['a short password', '--user a --role relay --password-stdin', 'short\n'],
    ['a password like a token', '--user a --role relay --password-stdin', 'x'.repeat(43)],
    ['a user name that is no id', '--user a/b --role relay', ''],
    ['a robot id that is no id', '--user a --role robot --robot-id r.1', ''],
    ['a robot id for a person', '--user a --role technician --robot-id r1', ''],
    ['a role that is none', '--user a --role admin', ''],
  ];
  for (const [name, args, input] of refused) {
    it(`refuses ${name}, and writes nothing`, async (t) => {
      const file = await newFile(t);
      const run = await passwd(t, file, args, input);
      assert.equal(run.code, 2, run.stderr);
      assert.match(run.stderr, /hint: /);
      await assert.rejects(stat(file), { code: 'ENOENT' });
    });
  }

  it('does not write over a file that it cannot read', async (t) => {
    const file = await newFile(t);
    await writeFile(file, '{"users": oops');
    const run = await passwd(t, file, '--user a --role relay');
    assert.notEqual(run.code, 0);
    assert.match(run.stderr, /CREDENTIALS_INVALID/);
    assert.equal(await readFile(file, 'utf8'), '{"users": oops');
  });
});
