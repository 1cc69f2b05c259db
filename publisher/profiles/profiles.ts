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
  'url',
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

/** Options that some commands need, and where else they may come from, as `--help` says it. */
export const NEEDED_ELSEWHERE = {
  broker: 'that of --url, DROVER_URL or the profile; one is needed',
  trust: 'that of the profile; one is needed',
} as const;
export type NeededOption = keyof typeof NEEDED_ELSEWHERE;

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
  url: 'DROVER_URL',
  api: 'DROVER_API',
  username: 'DROVER_USERNAME',
  'password-file': 'DROVER_PASSWORD',
  'token-file': 'DROVER_TOKEN',
};

/** The part of a profile, and of one address for both doors, that a command takes. */
export interface Filled {
  /** `url` is the address for both doors that `broker` or `api` was filled in from. */
  readonly options: Profile;
  /** The address that was given in place of the profile's, whose login was therefore left out. */
  readonly loginLeftOutFor: string | null;
}

type Door = 'broker' | 'api';

/**
 * Decides which options a profile or one address for both doors fills in: an option counts before a
 * variable, a variable before the profile, and in each of them the address of one door before that
 * of both. A login goes only to the address of its own profile, also when that address was given. A
 * broker or a root of trust changes what some commands do, so it fills these in only where they are
 * demanded, where a command has both doors (doctor), or where --url was given for it.
 */
export function fillFrom(profile: Profile, facts: FillFacts): Filled {
  const { given, declared, demanded } = facts;
  const door = (name: Door): DoorSources => sourcesOf(name, profile, facts);
  const isDoctor = declared.has('bundle') && declared.has('api');
  const isBrokers = given.has('url') && !declared.has('api');
  const takesBroker = demanded.has('broker') || isDoctor || isBrokers;
  const [mqtt, http] = [door('broker'), door('api')];
  const broker = mqtt.isOwn || (takesBroker && mqtt.ofProfile !== null);
  const api = http.isOwn || (!given.has('broker') && http.ofProfile !== null);
  const isTrust = (demanded.has('trust') || isDoctor) && !mqtt.isOther;
  const names: ProfileOption[] = [
    ...(broker ? (['username', 'password-file'] as const) : []),
    ...(api ? (['token-file'] as const) : []),
    ...(isTrust ? (['trust'] as const) : []),
    ...(broker || api ? (['ca'] as const) : []),
  ];
  const isSaid = (name: ProfileOption): boolean => given.has(name) || said(name, facts) !== null;
  const isWanted = (name: ProfileOption): boolean =>
    declared.has(name) && !isSaid(name) && profile[name] !== undefined;
  // A password belongs to its user: one of another source gets none from here.
  const isOtherUser = isSaid('username') && profile.username !== undefined;
  const filled = names
    .filter(isWanted)
    .filter((name) => !(isOtherUser && name === 'password-file'));
  const leftOut = ({ isOther, address }: DoorSources, login: ProfileOption): string | null =>
    isOther && isWanted(login) ? address : null;
  return {
    options: {
      ...addresses({
        broker: takesBroker ? mqtt.fills : null,
        api: given.has('broker') ? null : http.fills,
      }),
      ...Object.fromEntries(filled.map((name) => [name, profile[name]])),
    },
    loginLeftOutFor: leftOut(mqtt, 'password-file') ?? leftOut(http, 'token-file'),
  };
}

interface Address {
  readonly text: string;
  /** True for an address of both doors. */
  readonly isBoth: boolean;
}

function addresses({ broker, api }: Readonly<Record<Door, Address | null>>): Profile {
  const both = [broker, api].find((one) => one?.isBoth === true);
  return {
    ...(both && { url: both.text }),
    ...(broker && { broker: broker.text }),
    ...(api && { api: api.text }),
  };
}

interface DoorSources {
  /** The address that was given as an option or a variable; null for none. */
  readonly address: string | null;
  /** That address is one of the profile, however it is written. */
  readonly isOwn: boolean;
  /** It is another one. */
  readonly isOther: boolean;
  /** The address of the profile where none was given. */
  readonly ofProfile: Address | null;
  /** The value for the option of this door; null when it was given, or a variable of it is read later. */
  readonly fills: Address | null;
}

function sourcesOf(door: Door, profile: Profile, facts: FillFacts): DoorSources {
  const { given, declared } = facts;
  if (!declared.has(door)) {
    return { address: null, isOwn: false, isOther: false, ofProfile: null, fills: null };
  }
  const one = given.get(door) ?? null;
  const both = given.get('url') ?? null;
  const variable = both === null ? said(door, facts) : null;
  const last = both ?? (variable === null ? said('url', facts) : null);
  const address = one ?? variable ?? last;
  const own = profile[door] ?? profile.url;
  const isOwn = [profile[door], profile.url].some((mine) => isSameAddress(address, mine));
  const ofProfile =
    address === null && own !== undefined
      ? { text: own, isBoth: profile[door] === undefined }
      : null;
  const isFilled = one === null && variable === null && last !== null;
  const fills = isFilled ? { text: last, isBoth: true } : ofProfile;
  return { address, isOwn, isOther: address !== null && !isOwn, ofProfile, fills };
}

/** The variable of an option; null where it has none, or an empty one. */
function said(name: ProfileOption, { environment }: FillFacts): string | null {
  const variable = VARIABLES[name];
  return (variable !== undefined && environment[variable]) || null;
}

/** By scheme, host, port and path; of a cluster the same brokers in the same order. */
function isSameAddress(given: string | null, own: string | undefined): boolean {
  if (given === null || own === undefined) return false;
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
