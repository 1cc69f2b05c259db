/**
 * Profiles: named sets of addresses and files of a fleet, so that a person types them once. A
 * profile holds no secret, only the paths of files with secrets. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { idSchema, parseDocument } from '../../shared/formats/schema.ts';

/** The options that a profile can hold, in the order in which they are shown. */
export const PROFILE_OPTIONS = [
  'broker',
  'api',
  'trust',
  'username',
  'password-file',
  'token-file',
  'ca',
] as const;
export type ProfileOption = (typeof PROFILE_OPTIONS)[number];
export type Profile = Readonly<Partial<Record<ProfileOption, string>>>;

/** Their values are paths, and stand in the file as absolute ones. */
export const PATH_OPTIONS: readonly ProfileOption[] = [
  'trust',
  'password-file',
  'token-file',
  'ca',
];

const valueSchema = z
  .string()
  .min(1)
  .max(LIMITS.profileValueCharsMax)
  .refine((text) => !hasPassword(text), 'a URL is no place for a password');
const profileSchema = z.partialRecord(z.enum(PROFILE_OPTIONS), valueSchema);

const fileSchema = z
  .strictObject({
    schema: z.literal(1),
    /** The profile of a command that names none; null for none. */
    use: idSchema.nullable(),
    profiles: z.record(idSchema, profileSchema),
  })
  .refine(
    ({ profiles }) => Object.keys(profiles).length <= LIMITS.profilesMax,
    `want at most ${LIMITS.profilesMax} profiles`,
  );
export interface Profiles {
  readonly schema: 1;
  readonly use: string | null;
  readonly profiles: Readonly<Record<string, Profile>>;
}

export const NO_PROFILES: Profiles = { schema: 1, use: null, profiles: {} };

const KIND = {
  what: 'profiles of drover',
  schema: fileSchema,
  bytesMax: LIMITS.inputBytesMax,
  code: 'PROFILES_INVALID',
} as const;

/** @throws DroverError PROFILES_INVALID, JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseProfiles = (bytes: Uint8Array): Profiles => parseDocument(KIND, bytes);

/** @throws DroverError PROFILES_INVALID for what `parseProfiles` would refuse */
export function encodeProfiles(profiles: Profiles): string {
  const text = `${JSON.stringify(profiles, null, 2)}\n`;
  parseProfiles(new TextEncoder().encode(text));
  return text;
}

/** @throws DroverError PROFILE_UNKNOWN */
export function profileOf({ profiles }: Profiles, name: string): Profile {
  const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (found) return found;
  const names = Object.keys(profiles).join(', ');
  const there = names === '' ? 'there is none yet' : `there is ${names}`;
  throw new DroverError('PROFILE_UNKNOWN', `use profile ${printable(name, 64)}: ${there}`);
}

/** Options of a command that reads a profile. */
export interface FillFacts {
  /** As they were given, by name with dashes. */
  readonly given: ReadonlyMap<string, string>;
  /** All that the command has. */
  readonly declared: ReadonlySet<string>;
  /** Those without which it does nothing. */
  readonly demanded: ReadonlySet<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const VARIABLES: Readonly<Partial<Record<ProfileOption, string>>> = {
  api: 'DROVER_API',
  username: 'DROVER_USERNAME',
  'password-file': 'DROVER_PASSWORD',
  'token-file': 'DROVER_TOKEN',
};

/** The part of a profile that a command takes. */
export interface Filled {
  readonly options: Profile;
  /** The address that was given in place of the profile's, whose login was therefore left out. */
  readonly loginLeftOutFor: string | null;
}

/**
 * Decides which options a profile fills in: an option counts before a variable, a variable before
 * the profile. A login goes only to the address of its own profile, also when that address was
 * given. A broker or a root of trust changes what some commands do, so it fills these in only where
 * they are demanded, or where a command has both doors (doctor).
 */
export function fillFrom(profile: Profile, facts: FillFacts): Filled {
  const { given, declared, demanded, environment } = facts;
  const saidFor = (name: ProfileOption): string | undefined => {
    const variable = VARIABLES[name];
    return given.get(name) ?? ((variable !== undefined && environment[variable]) || undefined);
  };
  const isSaid = (name: ProfileOption): boolean => saidFor(name) !== undefined;
  const isFree = (name: ProfileOption): boolean => declared.has(name) && !isSaid(name);
  const isWanted = (name: ProfileOption): boolean => isFree(name) && profile[name] !== undefined;
  const isOwn = (name: 'broker' | 'api'): boolean => isSameAddress(saidFor(name), profile[name]);
  const isDoctor = declared.has('bundle') && declared.has('api');
  const isOther = given.has('broker') && !isOwn('broker');
  const broker = isOwn('broker') || (isWanted('broker') && (demanded.has('broker') || isDoctor));
  const api = isOwn('api') || (isWanted('api') && !given.has('broker'));
  const mqtt: ProfileOption[] = broker ? ['broker', 'username', 'password-file'] : [];
  const http: ProfileOption[] = api ? ['api', 'token-file'] : [];
  const isTrust = (demanded.has('trust') || isDoctor) && !isOther;
  const trust: ProfileOption[] = isTrust ? ['trust'] : [];
  const names = [...mqtt, ...http, ...trust, ...(broker || api ? (['ca'] as const) : [])];
  // A password belongs to its user: one of another source gets none from here.
  const isOtherUser = isSaid('username') && profile.username !== undefined;
  const wanted = names.filter((name) => isWanted(name));
  const filled = wanted.filter((name) => !(isOtherUser && name === 'password-file'));
  const leftOut = (door: 'broker' | 'api', login: ProfileOption): string | null =>
    isSaid(door) && !isOwn(door) && isWanted(login) ? (saidFor(door) ?? null) : null;
  return {
    options: Object.fromEntries(filled.map((name) => [name, profile[name]])),
    loginLeftOutFor: leftOut('broker', 'password-file') ?? leftOut('api', 'token-file'),
  };
}

/** By scheme, host, port and path; of a cluster the same brokers in the same order. */
function isSameAddress(given: string | undefined, own: string | undefined): boolean {
  if (given === undefined || own === undefined) return false;
  return addressOf(given) === addressOf(own);
}

const PORTS: Readonly<Record<string, string>> = {
  ...{ 'mqtt:': '1883', 'mqtts:': '8883', 'ws:': '80', 'wss:': '443' },
  ...{ 'http:': '80', 'https:': '443' },
};

const addressOf = (text: string): string =>
  text
    .split(',')
    .map((one) => {
      if (!URL.canParse(one)) return one;
      const { protocol, hostname, port, pathname } = new URL(one);
      const path = pathname.replace(/\/+$/, '');
      return `${protocol}//${hostname.toLowerCase()}:${port || PORTS[protocol]}${path}`;
    })
    .join();

/** True for `mqtt://user:secret@host`. */
function hasPassword(text: string): boolean {
  return text.split(',').some((one) => URL.canParse(one) && new URL(one).password !== '');
}
