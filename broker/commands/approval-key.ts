/**
 * `drover-broker approval-key`: says whose approvals have to be signed, and by which key. The file
 * gets public keys alone; a person makes the pair with `drover keygen` and keeps the private half.
 */

import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { keyIdOf } from '../../shared/crypto/ed25519.ts';
import { parsePublicKey } from '../../shared/formats/public-key.ts';
import { makeOutput, readInput } from '../../shared/io/cli.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { readCredentialUsers, setApprovalKey } from '../access/credentials.ts';

export const APPROVAL_KEY_VERBS = ['set', 'list', 'remove'];

const withFile = <T>(args: Argv<T>) =>
  withJson(args).option('file', {
    ...TEXT,
    demandOption: true,
    describe: 'file of users and roles, that of --credentials',
  });

const withUser = <T>(args: Argv<T>) =>
  withFile(args).option('user', { ...TEXT, demandOption: true, describe: 'name of the user' });

export const approvalKeyCommand = (argv: Argv): Argv =>
  argv.command('approval-key', 'say which users sign what they approve, and by which key', (all) =>
    all
      .command(
        'set',
        'let a user approve only what this key has signed; replaces an older key',
        (options) =>
          withUser(options)
            .option('public-key', {
              ...TEXT,
              demandOption: true,
              describe: '.pub file of that user: of drover keygen, in PEM or of OpenSSH',
            })
            .example('$0 approval-key set --file users.json --user ana --public-key ana.pub', ''),
        (args) => runSet(args),
      )
      .command('list', 'users with a key, and their keys', withFile, (args) => runList(args))
      .command(
        'remove',
        'let a user approve without a signature again',
        (options) =>
          withUser(options).example('$0 approval-key remove --file users.json --user ana', ''),
        (args) => runRemove(args),
      )
      .demandCommand(1, 'name a command: approval-key set, list or remove'),
  );

interface FileArgs {
  readonly file: string;
  readonly json: boolean;
}

interface UserArgs extends FileArgs {
  readonly user: string;
}

async function runSet(args: UserArgs & { readonly publicKey: string }): Promise<void> {
  const { file, user, json, publicKey: path } = args;
  const key = parsePublicKey(readInput(path, `public key ${path}`), path);
  const before = await setApprovalKey(file, user, key);
  const isOther = before !== null && before !== key;
  const replaced = isOther ? [`key ${keyIdOf(before)} of ${user} counts no more`] : [];
  makeOutput(json).result(
    { username: user, key: keyIdOf(key), public_key: key, replaced: before },
    [
      `${user} approves only what key ${keyIdOf(key)} has signed: drover rollout approve ID --key FILE`,
      ...replaced,
    ],
  );
}

async function runList({ file, json }: FileArgs): Promise<void> {
  const users = await readCredentialUsers(file);
  const keys = users.flatMap(({ username, approval_key: key }) =>
    key === undefined ? [] : [{ username, key: keyIdOf(key), public_key: key }],
  );
  const lines = keys.map(({ username, key, public_key: hex }) => `${username}  ${key}  ${hex}`);
  makeOutput(json).result({ keys }, lines.length > 0 ? lines : [`no user in ${file} has a key`]);
}

async function runRemove({ file, user, json }: UserArgs): Promise<void> {
  const before = await setApprovalKey(file, user, null);
  if (before === null) {
    const hint = `users with a key: drover-broker approval-key list --file ${shellWord(file)}`;
    throw new DroverError('NOT_FOUND', `remove approval key of ${user}: it has none`, { hint });
  }
  makeOutput(json).result({ username: user, removed: before }, [
    `${user} approves without a signature: key ${keyIdOf(before)} is removed`,
  ]);
}
