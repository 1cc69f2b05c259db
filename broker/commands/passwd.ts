/** `drover-broker passwd`: adds or renews one credential. A token is printed once and never stored. */

import { readFileSync } from 'node:fs';
import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { isId } from '../../shared/base/ids.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import type { Role } from '../access/access.ts';
import {
  isTokenShaped,
  makeToken,
  putCredentialUser,
  ROLES,
  type CredentialUserFields,
} from '../access/credentials.ts';
import { hashPassword } from '../access/passwords.ts';

/** Shorter ones are guessed; NIST SP 800-63B asks for 8. */
const PASSWORD_CHARS_MIN = 8;

export const passwdCommand = (argv: Argv): Argv =>
  argv.command(
    'passwd',
    'add or renew a credential; prints its new token once',
    (options) =>
      withJson(options)
        .option('file', { ...TEXT, demandOption: true, describe: 'file of users and roles' })
        .option('user', { ...TEXT, demandOption: true, describe: 'name of the user' })
        .option('role', {
          choices: ROLES,
          demandOption: true,
          describe: 'what the user may do: docs/operations.md',
        })
        .option('robot-id', { ...TEXT, describe: 'for role robot (default: the user name)' })
        .option('password-stdin', {
          type: 'boolean',
          default: false,
          describe: 'a password from standard input instead of a token',
        }),
    ({ robotId, role, ...args }) => {
      const id = robotId ?? (role === 'robot' ? args.user : undefined);
      return runPasswd({ ...args, role, ...(id === undefined ? {} : { robotId: id }) });
    },
  );

interface PasswdArgs {
  readonly file: string;
  readonly user: string;
  readonly role: Role;
  readonly robotId?: string;
  readonly passwordStdin?: boolean;
  readonly json: boolean;
}

/**
 * Replaces everything in the entry: renewing takes a leaked secret back.
 * @throws DroverError USAGE, FILE_UNREADABLE, CREDENTIALS_INVALID, FILE_LOCKED
 */
async function runPasswd(args: PasswdArgs): Promise<void> {
  for (const [what, text] of [
    ['--user', args.user],
    ['--robot-id', args.robotId],
  ] as const) {
    if (text === undefined || isId(text)) continue;
    throw new DroverError('USAGE', `read ${what}: want 1 to 64 of A-Z a-z 0-9 _ -`);
  }
  if (args.robotId !== undefined && args.role !== 'robot') {
    throw new DroverError('USAGE', `read --robot-id: a ${args.role} is no robot`);
  }
  const { secret, token } = await makeSecret(args);
  const robot = args.role === 'robot' ? { robot_id: args.robotId ?? args.user } : {};
  const isNew = await putCredentialUser(args.file, {
    ...{ username: args.user, role: args.role },
    ...robot,
    ...secret,
  });
  const shown = token === null ? [] : [`token: ${token}`, 'it is shown once and not stored'];
  const isOfRoot = isNew && process.getuid?.() === 0;
  const readers = isOfRoot
    ? [`only root reads it: if the broker runs as another user, chown that user ${args.file}`]
    : [];
  const lines = [`${args.user} is a ${args.role} in ${args.file}`, ...shown, ...readers];
  makeOutput(args.json).result({ username: args.user, role: args.role, token }, lines);
}

async function makeSecret(
  args: PasswdArgs,
): Promise<{ secret: Partial<CredentialUserFields>; token: string | null }> {
  if (args.passwordStdin !== true) {
    const { token, sha256 } = makeToken();
    return { secret: { token_sha256: sha256 }, token };
  }
  const text = readFileSync(0, 'utf8').replace(/\r?\n$/, '');
  if (text.length < PASSWORD_CHARS_MIN) {
    throw new DroverError(
      'USAGE',
      `read password: too short (want at least ${PASSWORD_CHARS_MIN} characters)`,
    );
  }
  const password = Buffer.from(text);
  if (isTokenShaped(password)) {
    throw new DroverError('USAGE', 'read password: it looks like a token (want another one)');
  }
  return { secret: { password_scrypt: await hashPassword(password) }, token: null };
}
