/** `drover-broker passwd`: adds or renews one credential. A token is printed once and never stored. */

import { readFileSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { DroverError } from '../shared/errors.ts';
import { isId } from '../shared/ids.ts';
import { writeFileAtomic } from '../shared/io/atomic-file.ts';
import { makeOutput } from '../shared/io/cli.ts';
import type { Role } from './core/access.ts';
import {
  hashPassword,
  makeToken,
  readCredentialUsers,
  type CredentialUserFields,
} from './io/credentials.ts';

export interface PasswdArgs {
  readonly file: string;
  readonly user: string;
  readonly role: Role;
  readonly robotId?: string;
  readonly passwordStdin?: boolean;
  readonly json: boolean;
}

export async function runPasswd(args: PasswdArgs): Promise<void> {
  for (const [what, text] of [
    ['--user', args.user],
    ['--robot-id', args.robotId],
  ] as const) {
    if (text === undefined || isId(text)) continue;
    throw new DroverError('USAGE', `read ${what}: want 1 to 64 of A-Z a-z 0-9 _ -`);
  }
  const users: CredentialUserFields[] = (await exists(args.file))
    ? await readCredentialUsers(args.file)
    : [];
  const { secret, token } = await makeSecret(args);
  const robot = args.role === 'robot' ? { robot_id: args.robotId ?? args.user } : {};
  const entry = { username: args.user, role: args.role, ...robot, ...secret };
  const others = users.filter((one) => one.username !== args.user);
  const text = `${JSON.stringify({ users: [...others, entry] }, null, 2)}\n`;
  await writeFileAtomic(args.file, text, 0o600);
  const shown = token === null ? [] : [`token: ${token}`, 'it is shown once and not stored'];
  const lines = [`${args.user} is a ${args.role} in ${args.file}`, ...shown];
  makeOutput(args.json).result({ username: args.user, role: args.role, token }, lines);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function makeSecret(
  args: PasswdArgs,
): Promise<{ secret: Partial<CredentialUserFields>; token: string | null }> {
  if (args.passwordStdin !== true) {
    const { token, sha256 } = makeToken();
    return { secret: { token_sha256: sha256 }, token };
  }
  const password = readFileSync(0, 'utf8').replace(/\r?\n$/, '');
  if (password.length < 8) {
    throw new DroverError('USAGE', 'read password: too short (want at least 8 characters)');
  }
  return { secret: { password_scrypt: await hashPassword(Buffer.from(password)) }, token: null };
}
