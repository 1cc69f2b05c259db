/** The pages say what the code does: generated ones are fresh, and codes and clauses are real. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { PROTOCOL_PAGE, renderPages } from '../../docs/pages.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ENVIRONMENT } from '../../docs/environment.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { allSources, allTextFiles, productSources } from '../helpers/sources.ts';

const protocol = readFileSync(repositoryFile(PROTOCOL_PAGE), 'utf8');
const codes = Object.keys(CATALOGUE);
const read = (path: string): string => readFileSync(repositoryFile(path), 'utf8');
/** Shell scripts that start Node. */
const WRAPPERS = [
  'broker/drover-broker',
  'robot-client/drover-robot',
  'robot-client/drover-launch',
];

for (const [path, text] of await renderPages(protocol)) {
  test(`${path} is what \`npm run docs\` would write`, () => {
    assert.equal(readFileSync(repositoryFile(path), 'utf8'), text);
  });
}

test('docs/environment.md lists each variable that a program names, and no other', () => {
  const named = new Set(
    [...productSources(), ...WRAPPERS.map((path) => ({ path, text: read(path) }))].flatMap(
      ({ text }) => [...text.matchAll(/\bDROVER_[A-Z_]+\b/g)].map(([name]) => name),
    ),
  );
  assert.deepEqual([...named].sort(), Object.keys(ENVIRONMENT).sort());
});

test('docs/errors.md lists the codes of the catalogue and no other', () => {
  const page = readFileSync(repositoryFile('docs/errors.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(listed, codes);
});

test('each code of the catalogue is used somewhere', () => {
  const users = productSources().filter(({ path }) => !path.startsWith('shared/error-catalogue'));
  const unused = codes.filter((code) => !users.some((source) => source.code.includes(`'${code}'`)));
  assert.deepEqual(unused, []);
});

test('each limit is used somewhere', () => {
  const users = allSources().filter(({ path }) => path !== 'shared/base/limits.ts');
  const home = readFileSync(repositoryFile('shared/base/limits.ts'), 'utf8');
  const isUsed = (name: string): boolean => {
    const use = new RegExp(`\\bLIMITS\\.${name}\\b`);
    return use.test(home) || users.some((source) => use.test(source.code));
  };
  const unused = Object.keys(LIMITS).filter((name) => !isUsed(name));
  assert.deepEqual(unused, []);
});

test('every code that a page about the whole names is in the catalogue', () => {
  const pages = allTextFiles().filter(({ path }) => /^(?:[A-Z]+|docs\/[a-z]+)\.md$/.test(path));
  const known = new Set(codes);
  const wrong = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`/g)]
      .map((match) => match[1] as string)
      .filter((word) => !word.startsWith('DROVER_') && !known.has(word))
      .map((word) => `${path}: ${word}`),
  );
  assert.deepEqual(wrong, []);
});

test('links between pages lead somewhere', () => {
  const pages = allTextFiles().filter(({ path }) => path.endsWith('.md'));
  const wrong = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
      .map((match) => match[1] as string)
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => !existsSync(repositoryFile(join(dirname(path), link))))
      .map((link) => `${path}: ${link}`),
  );
  assert.deepEqual(wrong, []);
});

test('the files that ARCHITECTURE.md names are there', () => {
  const named = [...read('ARCHITECTURE.md').matchAll(/`([\w-]+\/[\w./-]+\.ts)`/g)]
    .map(([, path = '']) => path)
    .filter((path) => /^(?:broker|robot-client|publisher|shared|test|docs|packaging)\//.test(path));
  assert.ok(named.length > 60);
  assert.deepEqual(
    named.filter((path) => !existsSync(repositoryFile(path))),
    [],
  );
});

const clauses = [...protocol.matchAll(/^- \*\*(P-\d+\.\d+)\*\*/gm)].map(
  (match) => match[1] as string,
);

test('clauses of the protocol are numbered once and in order', () => {
  const order = clauses.map((clause) => clause.slice(2).split('.').map(Number) as [number, number]);
  const sorted = [...order].sort(([a, b], [c, d]) => a - c || b - d);
  assert.deepEqual(order, sorted);
  assert.equal(new Set(clauses).size, clauses.length);
});

const CLAUSE = /\[(P-\d+\.\d+)\]/g;

/** Clauses that these files name, and those of the protocol that they leave out. */
function compareClauses(sources: readonly { readonly text: string }[]): object {
  const named = new Set(
    sources.flatMap(({ text }) => [...text.matchAll(CLAUSE)].map((match) => match[1] as string)),
  );
  return {
    unknown: [...named].filter((clause) => !clauses.includes(clause)),
    missing: clauses.filter((clause) => !named.has(clause)),
  };
}

const COMPLETE = { unknown: [], missing: [] };

test('each clause of the protocol is named by a test, and no test names one that is not there', () => {
  const tests = allSources().filter(({ path }) => path.startsWith('test/'));
  assert.deepEqual(compareClauses(tests), COMPLETE);
});

test('each clause of the protocol stands beside the code that obeys it', () => {
  assert.deepEqual(compareClauses(productSources()), COMPLETE);
});

/** Text of one clause, on one line. */
function clauseText(clause: string): string {
  const from = protocol.indexOf(`- **${clause}**`);
  const rest = protocol.slice(from + 1);
  return rest.slice(0, rest.search(/\n- \*\*|\n\n/)).replaceAll(/\s+/g, ' ');
}

test('the numbers in the protocol are those of shared/base/limits.ts', () => {
  const [KiB, MiB, GiB, S] = [1024, 1024 ** 2, 1024 ** 3, 1000];
  const said: Readonly<Record<string, readonly string[]>> = {
    'P-1.1': [`more than ${LIMITS.jsonDepthMax} levels`],
    'P-1.3': [
      `manifest ${LIMITS.manifestBytesMax / KiB} KiB`,
      `trust.json ${LIMITS.trustBytesMax / KiB} KiB`,
      `announcement ${LIMITS.announcementBytesMax / KiB} KiB`,
      `message ${LIMITS.reportBytesMax / KiB} KiB`,
      `envelope ${(LIMITS.announcementBytesMax * 2) / KiB} KiB`,
    ],
    'P-1.4': [`{1,${LIMITS.idLengthMax}}`],
    'P-1.5': [`at most ${LIMITS.versionLengthMax} characters`],
    'P-3.2': [`1 to ${LIMITS.payloadBytesMax / GiB} GiB`, `at most ${LIMITS.deltasMax} of`],
    'P-3.12': [`most ${LIMITS.requiresMax})`, `${LIMITS.versionRangeLengthMax} characters`],
    'P-4.2': [`1 to ${LIMITS.keysPerRoleMax} different keys`],
    'P-4.3': [`1 to ${LIMITS.signaturesMax} signatures`],
    'P-5.1': [`at most ${LIMITS.rolloutsMax}, no id twice`],
    'P-5.2': [
      `at most ${LIMITS.signaturesMax}, optional`,
      `1 to ${LIMITS.deltasMax + 1}`,
      `1 to ${LIMITS.wavesMax} of`,
      `1 to ${LIMITS.healthTimeoutMsMax / S}`,
    ],
    'P-5.3': [`${LIMITS.chunkBytesMin / KiB} KiB to ${LIMITS.chunkBytesMax / KiB} KiB`],
    'P-5.4': [`at most ${LIMITS.targetRobotsMax}`, `at most ${LIMITS.tagsMax} of`],
    'P-6.1': [`0 to ${LIMITS.wavesMax}`],
    'P-7.3': [`at most ${LIMITS.chunksMax}`],
    'P-7.4': [
      `at most ${LIMITS.filtersPerSubscribeMax} filters`,
      `1 to ${LIMITS.windowChunksMax} chunks and at most ${LIMITS.windowBytesMax / MiB} MiB`,
      `starts with ${LIMITS.windowChunksStart}`,
    ],
    'P-7.5': [
      `${LIMITS.pullTimeoutMsMin / S} seconds to ${LIMITS.pullTimeoutMsMax / S / 60} minutes`,
      `${LIMITS.pullTimeoutMsStart / S} seconds at first`,
      `at most ${LIMITS.wantChunksMax} in one message`,
      `After ${LIMITS.pullAttemptsMax}`,
    ],
    'P-7.10': [`overtaken by ${LIMITS.pullOvertakenMin}`],
    'P-12.2': [
      `more than ${LIMITS.deltaPlanBytesMax / MiB} MiB`,
      `more than ${LIMITS.deltaSegmentsMax} segments or ${LIMITS.deltaCopiesMax} copies`,
      `${LIMITS.deltaFreshBytesMax / MiB} MiB of fresh bytes`,
      `${LIMITS.deltaDictionaryBytesMax / MiB} MiB of dictionary`,
    ],
    'P-12.6': [`${LIMITS.deltaAddFreshBytesMax / MiB} MiB of fresh bytes and`],
    'P-12.5': [`at most ${LIMITS.capsMax} of`],
    'P-7.8': [`${LIMITS.chunkBytesMax / KiB} KiB and ${LIMITS.packetOverheadBytesMax / KiB} KiB`],
  };
  const wrong = Object.entries(said).flatMap(([clause, fragments]) =>
    fragments
      .filter((fragment) => !clauseText(clause).includes(fragment))
      .map((fragment) => `${clause} does not say "${fragment}"`),
  );
  assert.deepEqual(wrong, []);
});
