/**
 * `drover-broker passwd`: adds or renews one credential, or adds those of many robots. A token is
 * shown once and never stored.
 */

import { countOf } from '../../shared/base/printable.ts';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { isId, type RobotId } from '../../shared/base/ids.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { writeNewFile } from '../../shared/io/new-file.ts';
import type { Role } from '../access/access.ts';
import {
  isTokenShaped,
  makeToken,
  putCredentialUser,
  putCredentialUsers,
  ROLES,
  type CredentialUserFields,
} from '../access/credentials.ts';
import { hashPassword } from '../access/passwords.ts';
import { readRobotNames, withRobotNames } from './robot-names.ts';

/** Shorter ones are guessed; NIST SP 800-63B asks for 8. */
const PASSWORD_CHARS_MIN = 8;

export const passwdCommand = (argv: Argv): Argv =>
  argv.command(
    'passwd',
    'add or renew a credential; prints its new token once',
    (options) =>
      withRobotNames(withJson(options))
        .option('file', { ...TEXT, demandOption: true, describe: 'file of users and roles' })
        .option('user', { ...TEXT, describe: 'name of the user; or --count or --robots' })
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
        })
        .option('out', {
          ...TEXT,
          describe: 'new file: the name and the token of a robot on each line',
        }),
    ({ robotId, role, user, ...args }) => {
      const robots = readRobotNames(args);
      if (user === undefined) return addRobots({ ...args, role, robots });
      if (robots.length > 0 || args.out !== undefined) {
        throw new DroverError('USAGE', 'read --user: --count, --robots and --out are for many');
      }
      const id = robotId ?? (role === 'robot' ? user : undefined);
      return runPasswd({ ...args, user, role, ...(id === undefined ? {} : { robotId: id }) });
    },
  );

interface ManyArgs {
  readonly file: string;
  readonly role: Role;
  readonly robots: readonly RobotId[];
  readonly out?: string | undefined;
  readonly passwordStdin: boolean;
  readonly json: boolean;
}

/** Never renews: a second run by mistake would end the connections of a fleet. */
async function addRobots({
  file,
  role,
  robots,
  out,
  passwordStdin,
  json,
}: ManyArgs): Promise<void> {
  if (robots.length === 0) throw new DroverError('USAGE', 'add users: give --user, or --count');
  if (role !== 'robot' || passwordStdin) {
    throw new DroverError('USAGE', 'add many: want --role robot, and tokens (no --password-stdin)');
  }
  const made = robots.map((robot) => ({ robot, ...makeToken() }));
  const lines = made.map(({ robot, token }) => `${robot} ${token}`);
  // The file first: a token that is in nobody's hands is a user that cannot log in.
  if (out !== undefined) {
    await writeNewFile(
      { path: out, what: 'tokens', option: '--out' },
      `${lines.join('\n')}\n`,
      0o600,
    );
  }
  const users = made.map(({ robot, sha256 }) => ({
    ...{ username: robot, role, robot_id: robot },
    token_sha256: sha256,
  }));
  try {
    await putCredentialUsers(file, users, { mayReplace: false });
  } catch (error) {
    if (out !== undefined) await rm(out, { force: true });
    throw error;
  }
  const tokens = made.map(({ robot, token }) => ({ username: robot, token }));
  makeOutput(json).result(
    { role, count: made.length, ...(out === undefined ? { tokens } : { file: out }) },
    out === undefined
      ? lines
      : [
          `${countOf(made.length, 'robot')} in ${file}, ${made.length === 1 ? 'its token' : 'their tokens'} in ${out}`,
        ],
  );
}

interface PasswdArgs {
  readonly file: string;
  readonly user: string;
  readonly role: Role;
  readonly robotId?: string;
  readonly passwordStdin?: boolean;
  readonly json: boolean;
}

/**
 * Replaces everything in the entry but its approval key: renewing takes a leaked secret back.
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
