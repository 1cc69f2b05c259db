/**
 * `drover-broker acl`: prints the access rules in the format of a stock engine. It prints no
 * secrets: our hashes mean nothing to another engine, which has tools of its own.
 */

import type { Argv } from 'yargs';
import { makeOutput } from '../../shared/io/cli.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { ENGINE_USERS, type EngineUser } from '../access/access-rules.ts';
import { renderMosquittoAcl } from '../access/acl-mosquitto.ts';
import { renderNatsAuthorization, type NatsIdentity } from '../access/acl-nats.ts';
import { readCredentialUsers } from '../access/credentials.ts';

interface AclArgs {
  engine: 'mosquitto' | 'nats';
  credentials: string | undefined;
  identity: NatsIdentity;
  json: boolean;
}

/** @throws DroverError FILE_UNREADABLE, CREDENTIALS_INVALID, USAGE */
async function runAcl(args: AclArgs): Promise<void> {
  const users = await readEngineUsers(args.credentials);
  const text =
    args.engine === 'nats'
      ? renderNatsAuthorization(users, args.identity)
      : renderMosquittoAcl(users);
  makeOutput(args.json).result({ engine: args.engine, acl: text }, [text.trimEnd()]);
}

/** Users of the file, and the two that a stock engine needs besides. */
async function readEngineUsers(file: string | undefined): Promise<EngineUser[]> {
  const found = file === undefined ? [] : await readCredentialUsers(file);
  const named = found.flatMap(({ username, role, robot_id: robot }) => {
    if (role === 'metrics') return []; // no user of MQTT; NATS reads empty rules as all rights
    return [{ username, role, robot: role === 'robot' ? (robot ?? null) : null }];
  });
  const missing = ENGINE_USERS.filter(
    (one) => !named.some(({ username }) => username === one.username),
  );
  return [...missing, ...named];
}

export const aclCommand = (argv: Argv): Argv =>
  argv.command(
    'acl',
    'print the access rules for mosquitto or NATS',
    (options) =>
      withJson(options)
        .option('engine', {
          choices: ['mosquitto', 'nats'] as const,
          demandOption: true,
          describe: 'engine to write the rules for',
        })
        .option('credentials', {
          ...TEXT,
          describe: 'file of passwd with the users to write rules for; NATS needs each robot in it',
        })
        .option('identity', {
          choices: ['password', 'certificate'] as const,
          default: 'password' as const,
          describe: 'how users of NATS prove who they are; certificate is for verify_and_map',
        }),
    (args) => runAcl(args),
  );
