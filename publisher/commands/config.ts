/** `drover config set|list|show|use|remove`: the profiles of a person (profiles/profiles.ts). */

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { assertBrokerUrl } from '../../shared/base/broker-urls.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { printable } from '../../shared/base/printable.ts';
import { idSchema } from '../../shared/formats/schema.ts';
import {
  profileInUse,
  profilesPath,
  readProfiles,
  writeProfiles,
} from '../profiles/profile-file.ts';
import {
  PATH_OPTIONS,
  PROFILE_OPTIONS,
  profileOf,
  type Profile,
  type ProfileOption,
} from '../profiles/profiles.ts';
import { ApiClient } from '../rollout/api-client.ts';
import { formatTable } from '../rollout/fleet-report.ts';
import { warn } from './options.ts';

const NAME = { type: 'string', demandOption: true, describe: 'name of the profile' } as const;
const DESCRIBE: Readonly<Record<ProfileOption, string>> = {
  url: 'HTTP API of a broker, which names its MQTT address: enough for both',
  broker: 'MQTT URL of the broker',
  api: 'HTTP API of a broker',
  trust: 'trust.json of the fleet',
  username: 'user at the broker',
  'password-file': 'file with the password; the profile holds its path only',
  'token-file': 'file with the bearer token; the profile holds its path only',
  ca: "PEM file of the authority that signed the broker's cert",
};
export const CONFIG_VERBS = ['set', 'list', 'show', 'use', 'remove'] as const;

interface Named {
  readonly name: string;
  readonly json: boolean;
}

export function configCommand(yargs: Argv): Argv {
  const named = (argv: Argv) => withJson(argv).positional('name', NAME);
  return yargs.command('config', 'keep the addresses and files of your fleets by name', (argv) =>
    argv
      .command(
        'set <name>',
        'make or change a profile; the first one is used from then on',
        (verb) => withValues(named(verb)),
        async (args) => await set(args, args as Record<string, unknown>),
      )
      .command(
        'list',
        'list the profiles',
        (verb) => withJson(verb).example('$0 config list', ''),
        ({ json }) => list(json),
      )
      .command('show <name>', 'show one profile', named, (args) => show(args))
      .command('use <name>', 'use it where none is named', named, async (args) => await use(args))
      .command('remove <name>', 'forget a profile', named, async (args) => await remove(args))
      .demandCommand(1, `name a command: config ${CONFIG_VERBS.join(', ')}`)
      .epilogue('--profile NAME or DROVER_PROFILE uses a profile for one command.'),
  );
}

const withValues = <T>(argv: Argv<T>): Argv<T> =>
  PROFILE_OPTIONS.reduce(
    (all, name) => all.option(name, { ...TEXT, describe: DESCRIBE[name] }) as Argv<T>,
    argv,
  )
    .example('$0 config set prod --url https://broker.site --trust t.json', '')
    .example('$0 config set prod --broker mqtts://b --api https://b:8443 --trust t.json', '');

async function set({ name, json }: Named, args: Record<string, unknown>): Promise<void> {
  assertName(name);
  const before = readProfiles();
  const given = PROFILE_OPTIONS.flatMap((option) => {
    const value = args[option];
    if (typeof value !== 'string') return [];
    return [[option, PATH_OPTIONS.includes(option) ? resolve(value) : value] as const];
  });
  if (given.length === 0) {
    const hint = `give some of --${PROFILE_OPTIONS.join(', --')}`;
    throw new DroverError('USAGE', `set profile ${name}: nothing to set`, { hint });
  }
  assertAddresses(Object.fromEntries(given));
  for (const [option, value] of given) {
    if (PATH_OPTIONS.includes(option) && !existsSync(value))
      warn(`--${option}: there is no file ${printable(value, 300)} yet`);
  }
  const known = Object.hasOwn(before.profiles, name) ? before.profiles[name] : {};
  const profile: Profile = { ...known, ...Object.fromEntries(given) };
  const used = before.use ?? name;
  const profiles = { ...before.profiles, [name]: profile };
  await writeProfiles({ schema: 1, use: used, profiles }).catch((cause: unknown) => {
    if (!(cause instanceof DroverError) || cause.code !== 'PROFILES_INVALID') throw cause;
    const hint = 'a profile holds addresses and paths of files; secrets stay in files of their own';
    throw new DroverError('USAGE', `set profile ${name}: ${cause.message}`, { cause, hint });
  });
  const note = used === name ? 'it is used where none is named' : `${used} is used, not this one`;
  makeOutput(json).result({ name, use: used, profile }, [
    `profile ${name} is in ${printable(profilesPath(), 300)}; ${note}`,
    ...linesOf(profile),
    ...changesOf(known ?? {}, profile),
  ]);
}

/** Values that stood there before: a name that was taken for a new one shows. */
const changesOf = (before: Profile, after: Profile): string[] =>
  PROFILE_OPTIONS.flatMap((option) => {
    const was = before[option];
    if (was === undefined || was === after[option]) return [];
    return [`changed ${option}, which was ${printable(was, 300)}`];
  });

/** Refuses an address that no command could use. @throws DroverError USAGE */
function assertAddresses({ url, broker, api }: Profile): void {
  if (url !== undefined) void new ApiClient({ url, token: null }, '--url');
  if (broker !== undefined) assertBrokerUrl(broker);
  if (api !== undefined) void new ApiClient({ url: api, token: null });
}

function list(json: boolean): void {
  const all = readProfiles();
  const { use: used, profiles } = all;
  const inUse = profileInUse(all);
  const rows = Object.entries(profiles).map(([name, { url = '-', broker = url, api = url }]) => [
    ...[name === inUse ? '*' : '', name],
    ...[broker, api].map((text) => printable(text)),
  ]);
  const none = 'no profile yet: drover config set NAME --broker URL';
  const lines: string[] =
    rows.length === 0 ? [none] : formatTable([['', 'PROFILE', 'BROKER', 'API'], ...rows]);
  if (inUse !== null && inUse !== used) {
    const there = Object.hasOwn(profiles, inUse) ? '' : ', which is not there';
    lines.push(`DROVER_PROFILE says ${printable(inUse, 64)}${there}`);
  }
  makeOutput(json).result({ use: used, in_use: inUse, profiles }, lines);
}

function show({ name, json }: Named): void {
  const all = readProfiles();
  const profile = profileOf(all, name);
  makeOutput(json).result({ name, used: all.use === name, profile }, linesOf(profile));
}

async function use({ name, json }: Named): Promise<void> {
  const all = readProfiles();
  profileOf(all, name);
  await writeProfiles({ ...all, use: name });
  makeOutput(json).result({ use: name }, [`profile ${name} is used where none is named`]);
}

async function remove({ name, json }: Named): Promise<void> {
  const all = readProfiles();
  profileOf(all, name);
  const { [name]: _gone, ...profiles } = all.profiles;
  const used = all.use === name ? null : all.use;
  await writeProfiles({ schema: 1, use: used, profiles });
  const note = used === null ? '; none is used now: drover config use NAME' : '';
  makeOutput(json).result({ removed: name, use: used }, [`profile ${name} is forgotten${note}`]);
}

const linesOf = (profile: Profile): string[] =>
  formatTable(
    PROFILE_OPTIONS.flatMap((name) => {
      const value = profile[name];
      return value === undefined ? [] : [[name, printable(value, 300)]];
    }),
  );

/** @throws DroverError USAGE */
function assertName(name: string): void {
  if (idSchema.safeParse(name).success) return;
  const want = 'want 1 to 64 letters, digits, - or _';
  throw new DroverError('USAGE', `set profile ${printable(name, 64)}: ${want}`);
}
