/** Imports go one way, and the pure part stays pure: ARCHITECTURE.md's table as a test. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { repositoryFile } from '../helpers/repository.ts';
import {
  allSources,
  folderOf,
  importsOf,
  isPure,
  placesOf,
  productSources,
  PROGRAMS,
  type Source,
} from '../helpers/sources.ts';

/** Files that may import each package; tests may import any. */
const PACKAGE_HOMES: Readonly<Record<string, RegExp>> = {
  '@noble/ed25519': /^shared\/crypto\/ed25519\.ts$/,
  '@noble/hashes': /^shared\/crypto\/(?:ed25519|hash)\.ts$/,
  aedes: /^broker\/mqtt\//,
  'aedes-persistence': /^broker\/mqtt\//,
  'aedes-persistence-level': /^broker\/mqtt\//,
  'age-encryption': /^publisher\/airgap\//,
  asn1js: /^broker\/enrolment\/x509\.ts$/,
  'cli-progress': /^publisher\/(?:bundle|commands)\//,
  fastify: /^broker\/http\//,
  level: /^broker\/control\/durable-level\.ts$/,
  mqtt: /^shared\/io\/mqtt-wire\.ts$/,
  'mqtt-packet': /^shared\/io\/packet-numbers\.ts$/,
  pino: /^shared\/io\/cli\.ts$/,
  pkijs: /^broker\/enrolment\/(?:x509|certificate-request)\.ts$/,
  'prom-client': /^broker\/[a-z]+\/(?:[a-z-]+-)?metrics\.ts$/,
  semver: /^shared\/base\/version\.ts$/,
  'tar-stream': /^(?:shared|broker|publisher|robot-client)\//,
  uqr: /^broker\/commands\//,
  ws: /^broker\/mqtt\//,
  yargs:
    /^(?:(?:broker|publisher|robot-client)\/commands\/|shared\/io\/(?:command-line|cli-options|completion)\.ts$)/,
  zod: /^(?:shared|broker|publisher|robot-client)\//,
};

/** The one pure file that may touch a node: module, and which. */
const PURE_NODE_IMPORTS: Readonly<Record<string, string>> = {
  'shared/crypto/hash.ts': 'node:crypto',
};

function programOf(path: string): string | null {
  return PROGRAMS.find((program) => path.startsWith(`${program}/`)) ?? null;
}

const isMain = (path: string): boolean => /^[^/]+\/main\.ts$/.test(path);
const isProduct = (path: string): boolean => programOf(path) !== null || path.startsWith('shared/');

/**
 * Rooms that a room of the robot must not import. `install` knows the disk and no update; `recover`
 * puts a root in order with the parts of an update, and no update needs it. Rooms that are not
 * named are open to each other.
 */
const CLOSED_ROOMS: Readonly<Record<string, readonly string[]>> = {
  'robot-client/install': [
    'robot-client/update',
    'robot-client/recover',
    'robot-client/fleet',
    'robot-client/local',
  ],
  'robot-client/update': ['robot-client/recover', 'robot-client/fleet'],
  'robot-client/fleet': ['robot-client/recover', 'robot-client/local'],
  'robot-client/local': ['robot-client/recover', 'robot-client/update'],
};

/**
 * Rooms that still import each other. An entry may go and none may come: a room that is changed or
 * read by itself has to know the rooms below it and no other.
 */
const MUTUAL_ROOMS: readonly string[] = [
  // The deltas of a bundle: build and check call them, and they make payloads as bundles do.
  'publisher/bundle <> publisher/bundle/deltas',
];

interface End {
  readonly path: string;
  readonly isPure: boolean;
}

/** Null when `from` may import `to`. */
function objection(from: End, to: End): string | null {
  if (!isProduct(from.path)) {
    // A campaign of kills is a test that takes long: what it needs stands beside its short version.
    const mayImportTests = from.path.startsWith('bench/') || from.path.startsWith('test/');
    return to.path.startsWith('test/') && !mayImportTests ? 'imports a test' : null;
  }
  if (!isProduct(to.path)) return 'imports what is not part of a program';
  const [mine, theirs] = [programOf(from.path), programOf(to.path)];
  if (mine === null && theirs !== null) return 'shared code imports a program';
  if (theirs !== null && mine !== theirs) return 'a program imports another program';
  if (isMain(to.path)) return 'imports the main file of a program';
  if (to.path.includes('/commands/') && !isMain(from.path) && !from.path.includes('/commands/')) {
    return 'imports a command';
  }
  const closed = CLOSED_ROOMS[folderOf(from.path)];
  if (closed?.includes(folderOf(to.path))) return 'imports a room that builds on it';
  if (from.isPure && !to.isPure) return 'a file without I/O imports one with I/O';
  return null;
}

function relativeImports(source: Source): string[] {
  return importsOf(source)
    .filter((one) => one.isRelative)
    .map((one) => one.target);
}

function packageImports(source: Source): string[] {
  return importsOf(source)
    .filter((one) => !one.isRelative)
    .map((one) => one.target);
}

test('imports go from main over the rooms to the files without I/O, never back', () => {
  const ends = new Map(allSources().map((one) => [one.path, isPure(one)]));
  const end = (path: string): End => ({ path, isPure: ends.get(path) ?? false });
  const wrong = productSources().flatMap((source) =>
    relativeImports(source).flatMap((target) => {
      const why = objection(end(source.path), end(target));
      return why === null ? [] : [`${source.path} -> ${target}: ${why}`];
    }),
  );
  assert.deepEqual(wrong, []);
});

test('the rule about imports can tell right from wrong', () => {
  const pure = (path: string): End => ({ path, isPure: true });
  const io = (path: string): End => ({ path, isPure: false });
  assert.equal(objection(io('robot-client/update/stage.ts'), pure('shared/base/ids.ts')), null);
  assert.equal(objection(io('broker/compose.ts'), io('broker/chunks/chunk-store.ts')), null);
  assert.ok(objection(pure('robot-client/update/state.ts'), io('robot-client/update/stage.ts')));
  assert.ok(objection(io('robot-client/agent.ts'), io('broker/chunks/chunk-store.ts')));
  assert.ok(objection(io('robot-client/agent.ts'), io('robot-client/main.ts')));
  assert.ok(objection(io('publisher/bundle/build.ts'), io('publisher/commands/build.ts')));
  assert.ok(objection(pure('shared/transfer/pull.ts'), io('shared/io/mqtt-wire.ts')));
  assert.ok(objection(io('shared/io/cli.ts'), io('publisher/bundle/build.ts')));
  assert.equal(objection(io('robot-client/recover/a.ts'), io('robot-client/update/b.ts')), null);
  assert.ok(objection(io('robot-client/install/a.ts'), io('robot-client/update/b.ts')));
  assert.ok(objection(io('robot-client/update/a.ts'), io('robot-client/recover/b.ts')));
  assert.ok(objection(io('broker/main.ts'), io('test/helpers/child.ts')));
});

test('two rooms do not import each other, apart from those that are listed', () => {
  const arrows = new Set(
    productSources()
      .filter(({ path }) => isProduct(path))
      .flatMap((source) =>
        relativeImports(source).map((target) => `${folderOf(source.path)} > ${folderOf(target)}`),
      ),
  );
  const mutual = [...arrows]
    .map((arrow) => arrow.split(' > ') as [string, string])
    // A folder of a program itself holds what puts its rooms together.
    .filter(([from, to]) => from < to && from.includes('/') && to.includes('/'))
    .filter(([from, to]) => arrows.has(`${to} > ${from}`))
    .map(([from, to]) => `${from} <> ${to}`);
  assert.ok(arrows.size > 100, `${arrows.size} arrows`);
  assert.deepEqual(mutual.sort(), MUTUAL_ROOMS);
});

test('relative imports end in .ts and lead to a file that exists', () => {
  const sources = allSources();
  const known = new Set(sources.map(({ path }) => path));
  const wrong = sources.flatMap((source) =>
    relativeImports(source)
      .filter((target) => !known.has(target))
      .map((target) => `${source.path} -> ${target}`),
  );
  assert.deepEqual(wrong, []);
});

test('each package is imported only where it has its home', () => {
  const wrong = productSources().flatMap((source) =>
    packageImports(source)
      .filter((name) => !name.startsWith('node:') && !PACKAGE_HOMES[name]?.test(source.path))
      .filter(() => programOf(source.path) !== null || source.path.startsWith('shared/'))
      .map((name) => `${source.path} imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('each imported package stands in package.json, and one that programs import is no devDependency', () => {
  const text = readFileSync(repositoryFile('package.json'), 'utf8');
  const { dependencies, devDependencies } = JSON.parse(text) as Record<string, object>;
  const shipped = Object.keys(dependencies ?? {});
  const all = [...shipped, ...Object.keys(devDependencies ?? {})];
  const wrong = allSources().flatMap((source) => {
    const isShipped = programOf(source.path) !== null || source.path.startsWith('shared/');
    return packageImports(source)
      .filter((name) => !name.startsWith('node:'))
      .filter((name) => !(isShipped ? shipped : all).includes(name))
      .map((name) => `${source.path} imports ${name}`);
  });
  assert.deepEqual(wrong, []);
});

test('pure files import no node: module, and hash.ts only node:crypto', () => {
  const wrong = productSources()
    .filter(isPure)
    .flatMap((source) =>
      packageImports(source)
        .filter((name) => name.startsWith('node:') && PURE_NODE_IMPORTS[source.path] !== name)
        .map((name) => `${source.path} imports ${name}`),
    );
  assert.deepEqual(wrong, []);
});

test('pure files read no clock, no chance, no timer and no process', () => {
  const impure =
    /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\b|\bperformance\.|\bprocess\.|\bconsole\.|\bfetch\(/;
  const wrong = productSources()
    .filter(isPure)
    .flatMap(({ path, code }) => placesOf({ path, text: code }, impure));
  assert.deepEqual(wrong, []);
});

test('no part of a program writes to the console or ends the process by itself', () => {
  const wrong = productSources()
    .filter(({ path }) => !/^(?:examples|bench|docs)\//.test(path))
    .flatMap(({ path, code }) => placesOf({ path, text: code }, /\bprocess\.exit\(|\bconsole\./));
  assert.deepEqual(wrong, []);
});

test('tests never end their process: what had not run yet would be lost without a word', () => {
  // One answers SIGTERM, the other two hold the words as text.
  const exempt = ['test/helpers/child.ts', 'test/tidy/runner.test.ts', 'test/tidy/layers.test.ts'];
  const wrong = allSources()
    .filter(({ path }) => path.startsWith('test/') && !exempt.includes(path))
    .flatMap(({ path, code }) => placesOf({ path, text: code }, /\bprocess\.exit\(/));
  assert.deepEqual(wrong, []);
});
