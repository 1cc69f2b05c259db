/** Profiles: what they hold, what they fill in, and the file that they stand in. */

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { suggestions } from '../../../shared/io/command-line.ts';
import { PUBLISHER_PROGRAM } from '../../../publisher/commands/program.ts';
import { profilesPath, readProfiles } from '../../../publisher/profiles/profile-file.ts';
import { fillFrom, parseProfiles, type Profile } from '../../../publisher/profiles/profiles.ts';
import { startDrover } from '../../helpers/child.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const PROD: Profile = {
  broker: 'mqtts://b',
  api: 'https://b:8443',
  trust: '/t.json',
  username: 'ana',
  'password-file': '/p',
  'token-file': '/k',
  ca: '/ca.pem',
};

interface Asking {
  readonly given?: Readonly<Record<string, string>>;
  readonly has: readonly string[];
  readonly demands?: readonly string[];
  readonly environment?: Record<string, string>;
}

const filled = ({ given = {}, has, demands = [], environment = {} }: Asking) =>
  fillFrom(PROD, {
    ...{ given: new Map(Object.entries(given)), declared: new Set(has) },
    ...{ demanded: new Set(demands), environment },
  });
const fill = (asking: Asking): string[] => Object.keys(filled(asking).options).toSorted();

const MQTT = ['broker', 'username', 'password-file', 'ca', 'trust'];
const HTTP = ['api', 'token-file', 'ca'];

test('a profile fills in what a command demands, and only what it has', () => {
  const publish = { has: MQTT, demands: ['broker', 'trust'] };
  assert.deepEqual(fill(publish), ['broker', 'ca', 'password-file', 'trust', 'username']);
  assert.deepEqual(fill({ has: HTTP }), ['api', 'ca', 'token-file']);
  assert.deepEqual(fill({ has: ['trust'], demands: ['trust'] }), ['trust']);
  assert.deepEqual(fill({ has: ['trust'] }), [], 'a trust file can change what a command does');
  assert.deepEqual(fill({ has: ['out'] }), []);
  assert.deepEqual(fill({ has: [...MQTT, ...HTTP, 'bundle'] }).length, 7, 'doctor looks at all');
});

test('a login goes to the address of its own profile and to no other', () => {
  assert.deepEqual(
    fill({ has: MQTT, demands: ['broker'], given: { broker: 'mqtts://other' } }),
    [],
  );
  assert.deepEqual(fill({ has: HTTP, given: { api: 'https://other:8443' } }), []);
  assert.deepEqual(fill({ has: HTTP, environment: { DROVER_API: 'http://other' } }), []);
});

test('it is used as well when the address of the profile is given, however it is written', () => {
  const broker = { has: MQTT, demands: ['broker', 'trust'] };
  const login = ['ca', 'password-file', 'trust', 'username'];
  for (const own of ['mqtts://b', 'mqtts://B:8883', 'mqtts://b/']) {
    assert.deepEqual(fill({ ...broker, given: { broker: own } }), login, own);
  }
  assert.deepEqual(fill({ has: HTTP, given: { api: 'https://b:8443/' } }), ['ca', 'token-file']);
  const environment = { DROVER_API: 'https://b:8443' };
  assert.deepEqual(fill({ has: HTTP, environment }), ['ca', 'token-file']);
  for (const other of ['mqtt://b', 'mqtts://b:8884', 'mqtts://b,mqtts://c', 'b']) {
    assert.deepEqual(fill({ ...broker, given: { broker: other } }), [], other);
    const left = filled({ ...broker, given: { broker: other } }).loginLeftOutFor;
    assert.equal(left, other, 'a command that fails says so');
  }
  assert.equal(filled(broker).loginLeftOutFor, null);
});

test('an option counts before a variable, and a variable before the profile', () => {
  const publish = { has: MQTT, demands: ['broker', 'trust'] };
  const user = ['broker', 'ca', 'trust'];
  assert.deepEqual(
    fill({ ...publish, given: { username: 'ben' } }),
    user,
    'nor the password of another',
  );
  assert.deepEqual(fill({ ...publish, environment: { DROVER_USERNAME: 'ben' } }), user);
  const secret = { DROVER_PASSWORD: 'x', DROVER_TOKEN: 'y' };
  assert.ok(!fill({ ...publish, environment: secret }).includes('password-file'));
  assert.deepEqual(fill({ has: HTTP, environment: secret }), ['api', 'ca']);
});

const URL_BOTH = 'https://site';

test('one address fills in both doors: given, of a variable or of the profile, in that order', () => {
  const publish = { has: ['url', ...MQTT], demands: ['broker', 'trust'] };
  const status = { has: ['url', ...HTTP] };
  const of = (asking: Asking, profile = PROD): Profile =>
    fillFrom(profile, {
      ...{ given: new Map(Object.entries(asking.given ?? {})), declared: new Set(asking.has) },
      ...{ demanded: new Set(asking.demands), environment: asking.environment ?? {} },
    }).options;
  const doors = ({ url, broker, api }: Profile) => ({ url, broker, api });
  const both = { url: URL_BOTH, broker: URL_BOTH, api: undefined };
  const given = { url: URL_BOTH };
  const environment = { DROVER_URL: URL_BOTH };
  assert.deepEqual(doors(of({ ...publish, given })), both);
  assert.deepEqual(doors(of({ ...publish, environment })), both);
  assert.deepEqual(doors(of(publish, { url: URL_BOTH })), both);
  const own = { ...PROD, url: URL_BOTH };
  assert.equal(
    of(publish, own).broker,
    PROD.broker,
    'of one source the address of one door counts',
  );
  assert.equal(of(publish, own).url, undefined);
  assert.equal(of({ ...status, given }).api, URL_BOTH);
  const variable = { ...environment, DROVER_API: 'https://b:8443' };
  assert.equal(of({ ...status, environment: variable }).api, undefined, 'it is read later');
  assert.equal(of({ ...status, environment: variable, given }).api, URL_BOTH);
  assert.equal(of({ ...publish, given: { broker: 'mqtts://c', url: URL_BOTH } }).broker, undefined);
  const optional = { has: ['url', 'broker', 'trust'] };
  assert.equal(of({ ...optional, given }).broker, URL_BOTH);
  assert.equal(of({ ...optional, environment }).broker, undefined, 'it would change what is done');
  const fleet = { has: ['url', 'broker', ...HTTP], given };
  assert.deepEqual(doors(of(fleet)), { url: URL_BOTH, broker: undefined, api: URL_BOTH });
});

test('the login of a profile goes to its own URL, and to no other one', () => {
  const publish = { has: ['url', ...MQTT], demands: ['broker', 'trust'] };
  assert.deepEqual(fill({ ...publish, given: { url: URL_BOTH } }), ['broker', 'url']);
  assert.deepEqual(fill({ ...publish, environment: { DROVER_URL: URL_BOTH } }), ['broker', 'url']);
  const own = fillFrom(
    { ...PROD, url: URL_BOTH },
    {
      ...{ given: new Map([['url', `${URL_BOTH}:443/`]]), declared: new Set(publish.has) },
      ...{ demanded: new Set(publish.demands), environment: {} },
    },
  );
  const login = ['broker', 'ca', 'password-file', 'trust', 'url', 'username'];
  assert.deepEqual(Object.keys(own.options).toSorted(), login);
});

test('a profile holds no secret', () => {
  const parse = (profile: object) =>
    parseProfiles(Buffer.from(JSON.stringify({ schema: 1, use: null, profiles: { p: profile } })));
  assert.deepEqual(parse(PROD).profiles['p'], PROD);
  for (const bad of [{ password: 'x' }, { token: 'x' }, { broker: 'mqtt://ana:secret@b' }]) {
    assertRefused('PROFILES_INVALID', () => parse(bad));
  }
});

test('drover keeps profiles in a file of its owner, uses one, and says how to mend a damaged one', async (t) => {
  const folder = await tempFolder(t);
  const env = { XDG_CONFIG_HOME: folder, DROVER_API: '' };
  const run = async (...words: string[]) => {
    const child = startDrover(t, 'publisher', words, { env });
    const { code } = await child.exit;
    return { code, stderr: child.stderr };
  };
  const path = profilesPath({ XDG_CONFIG_HOME: folder });
  const set = await run('config', 'set', 'prod', '--api', 'http://127.0.0.1:9', '--trust', 't');
  assert.equal(set.code, 0, set.stderr);
  assert.match(set.stderr, /warning: --trust: there is no file \S+\/t yet/);
  const bad = await run('config', 'set', 'prod', '--broker', 'foo');
  assert.match(bad.stderr, /read --broker: not the URL of a broker/);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(
    parseProfiles(await readFile(path)).profiles['prod']?.trust,
    join(process.cwd(), 't'),
  );
  const [used, unknown] = await Promise.all([
    run('rollout', 'list'),
    run('rollout', 'list', '--profile', 'test'),
  ]);
  assert.match(used.stderr, /call http:\/\/127\.0\.0\.1:9: .*\(BROKER_UNREACHABLE\)/);
  assert.match(unknown.stderr, /use profile test: there is prod \(PROFILE_UNKNOWN\)/);
  const before = process.env['XDG_CONFIG_HOME'];
  process.env['XDG_CONFIG_HOME'] = folder;
  t.after(() => {
    if (before === undefined) delete process.env['XDG_CONFIG_HOME'];
    else process.env['XDG_CONFIG_HOME'] = before;
  });
  const words = ['--get-yargs-completions', 'rollout', 'list', '--profile', ''];
  assert.ok((await suggestions(PUBLISHER_PROGRAM, words)).some((one) => one.startsWith('prod')));
  await writeFile(path, '{"schema":1');
  const { code, stderr } = await run('rollout', 'list');
  assert.equal(code, 2);
  assert.match(stderr, /profiles\.json: .*\(PROFILES_INVALID\)\n.*hint: mend it, or move it away/s);
});

test('a file of profiles that others may change is refused, and one of root is not', async (t) => {
  const folder = join(await tempFolder(t), 'drover');
  await mkdir(folder, { mode: 0o700 });
  const path = join(folder, 'profiles.json');
  await writeFile(path, JSON.stringify({ schema: 1, use: null, profiles: { p: PROD } }), {
    mode: 0o600,
  });
  const names = (): string[] => Object.keys(readProfiles(path).profiles);
  assert.deepEqual(names(), ['p']);
  for (const [place, mode] of [
    ...([0o666, 0o620, 0o602] as const).map((bits) => [path, bits] as const),
    ...([0o777, 0o770] as const).map((bits) => [folder, bits] as const),
  ]) {
    const before = (await stat(place)).mode;
    await chmod(place, mode);
    assertRefused('PROFILES_UNSAFE', names);
    assert.throws(names, { message: /may be written by (?:others|its group) \(mode \d{3}\)/ });
    await chmod(place, before);
  }
  const link = join(await tempFolder(t), 'profiles.json');
  await symlink(path, link);
  assert.deepEqual(Object.keys(readProfiles(link).profiles), ['p']);
  await chmod(path, 0o666);
  assertRefused('PROFILES_UNSAFE', () => readProfiles(link));
  await chmod(path, 0o644);
  assert.deepEqual(names(), ['p']); // others may read it
  if (process.getuid?.() !== 0) return;
  await chown(path, 65_534, 65_534);
  assertRefused('PROFILES_UNSAFE', names);
  assert.throws(names, { message: /belongs to another user \(uid 65534\)/ });
});
