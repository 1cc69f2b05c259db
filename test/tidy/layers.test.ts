/** Imports go one way, and the pure part stays pure: ARCHITECTURE.md's table as a test. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { repositoryFile } from '../helpers/repository.ts';
import {
  allSources,
  importsOf,
  isPure,
  placesOf,
  productSources,
  PROGRAMS,
  type Source,
} from '../helpers/sources.ts';

/** Where each package may be imported; tests may import any. */
const PACKAGE_HOMES: Readonly<Record<string, RegExp>> = {
  '@noble/ed25519': /^shared\/ed25519\.ts$/,
  '@noble/hashes': /^shared\/(?:ed25519|hash)\.ts$/,
  aedes: /^broker\/io\//,
  'aedes-persistence': /^broker\/io\//,
  'aedes-persistence-level': /^broker\/io\//,
  'cli-progress': /^publisher\/(?:io|commands)\//,
  fastify: /^broker\/io\//,
  level: /^broker\/io\//,
  mqtt: /^shared\/io\/mqtt-wire\.ts$/,
  pino: /^shared\/io\/cli\.ts$/,
  'prom-client': /^broker\/io\//,
  semver: /^shared\/version\.ts$/,
  'tar-stream': /^(?:shared|broker|publisher|robot-client)\/io\//,
  ws: /^broker\/io\//,
  yargs: /^(?:broker|publisher|robot-client)\/(?:main\.ts|cli\.ts|commands\/)/,
  zod: /^(?:shared|broker|publisher|robot-client)\//,
};

/** The one pure file that may touch a node: module, and which. */
const PURE_NODE_IMPORTS: Readonly<Record<string, string>> = { 'shared/hash.ts': 'node:crypto' };

type Layer = 'pure' | 'io' | 'program' | 'main' | 'outside';
const RANK: Readonly<Record<Layer, number>> = { pure: 0, io: 1, program: 2, main: 3, outside: 4 };

function programOf(path: string): string | null {
  return PROGRAMS.find((program) => path.startsWith(`${program}/`)) ?? null;
}

function layerOf(path: string): Layer {
  if (isPure(path)) return 'pure';
  if (/^[^/]+\/io\//.test(path)) return 'io';
  if (programOf(path) === null) return 'outside';
  return /^[^/]+\/main\.ts$/.test(path) ? 'main' : 'program';
}

/** Null when `from` may import `to`. */
function objection(from: string, to: string): string | null {
  const [mine, theirs] = [programOf(from), programOf(to)];
  const [layer, below] = [layerOf(from), layerOf(to)];
  // A campaign of kills is a test that takes long: what it needs stands beside its short version.
  const mayImportTests = from.startsWith('bench/');
  if (layer === 'outside') {
    return to.startsWith('test/') && !mayImportTests ? 'imports a test' : null;
  }
  if (below === 'outside') return 'imports what is not part of a program';
  if (mine === null && theirs !== null) return 'shared code imports a program';
  if (theirs !== null && mine !== theirs) return 'a program imports another program';
  if (RANK[below] > RANK[layer]) return `${layer} imports ${below}`;
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

test('imports go from main over programs and io down to the pure core, never back', () => {
  const wrong = productSources().flatMap((source) =>
    relativeImports(source).flatMap((target) => {
      const why = objection(source.path, target);
      return why === null ? [] : [`${source.path} -> ${target}: ${why}`];
    }),
  );
  assert.deepEqual(wrong, []);
});

test('the rule about imports can tell right from wrong', () => {
  assert.equal(objection('robot-client/io/stage.ts', 'robot-client/core/state.ts'), null);
  assert.equal(objection('broker/server.ts', 'broker/io/store.ts'), null);
  assert.ok(objection('robot-client/core/state.ts', 'robot-client/io/stage.ts'));
  assert.ok(objection('robot-client/io/stage.ts', 'robot-client/agent.ts'));
  assert.ok(objection('robot-client/agent.ts', 'broker/io/store.ts'));
  assert.ok(objection('shared/pull.ts', 'shared/io/mqtt-wire.ts'));
  assert.ok(objection('shared/io/cli.ts', 'publisher/build.ts'));
  assert.ok(objection('broker/main.ts', 'test/helpers/child.ts'));
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

test('what is imported stands in package.json, and what programs import is no devDependency', () => {
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
    .filter(({ path }) => isPure(path))
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
    .filter(({ path }) => isPure(path))
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
