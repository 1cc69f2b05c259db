/**
 * House rules about headers, comments and names; nothing of one machine stands in the repository.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { repositoryFile } from '../helpers/repository.ts';
import { allSources, allTextFiles, placesOf, productSources } from '../helpers/sources.ts';

/** Words put together here, so that this file does not find itself. */
const word = (...parts: string[]): string => parts.join('');

/** Folders of the sources whose comments these rules hold: all of them. */
const ROOMS = /^(?:broker|robot-client|publisher|shared|test|bench|examples|packaging|docs)\//;
/** A comment that begins with one of these has no subject yet: the reader waits for it. */
const NOUN_CLAUSE = /^(?:What|Who|Whom|Whose|Whether|Which|Whatever|Whoever|Nobody)\b/;
/** The same in a later sentence of a comment. */
const LATER_CLAUSE = new RegExp(`[.!?] ${NOUN_CLAUSE.source.slice(1)}`);

const commentedSources = () => allSources().filter(({ path }) => ROOMS.test(path));

test('a header says what the file does or is, in a sentence that begins with it', () => {
  const headerOf = (text: string) => /^(?:#!.*\n)?\/\*\*\s*(?:\* )?(.*)/.exec(text)?.[1] ?? '';
  const wrong = commentedSources()
    .map(({ path, text }) => ({ path, header: headerOf(text) }))
    .filter(({ header }) => NOUN_CLAUSE.test(header) || /^(?:How|Where|When)\b/.test(header));
  assert.deepEqual(wrong, []);
});

test('no comment of a script or a configuration begins with a noun clause', () => {
  const commented = /(?:^|\/)(?:[\w-]+|[\w.-]+\.(?:sh|py|mjs|conf|cfg|service|default))$/;
  const wrong = allTextFiles()
    .filter(({ path }) => commented.test(path))
    .flatMap((file) => placesOf(file, new RegExp(`^\\s*(?:#|//) ${NOUN_CLAUSE.source.slice(1)}`)));
  assert.deepEqual(wrong, []);
});

test('no name of a test begins with a noun clause', () => {
  const named = /\b(?:test|it|describe)\(\s*['`](\w+)/g;
  const clause = /^(?:what|who|whom|whether|which|whatever|whoever|nobody)$/i;
  const wrong = allSources().flatMap(({ path, code }) =>
    [...code.matchAll(named)]
      .filter(([, first = '']) => clause.test(first))
      .map(([call]) => `${path}: ${call}`),
  );
  assert.deepEqual(wrong, []);
});

/** Comments of a source, as one line each: a block or a run of `//` lines. */
function commentsOf(text: string): { line: number; comment: string }[] {
  const pattern = /\/\*\*[\s\S]*?\*\/|(?:^[ \t]*\/\/.*\n)+|(?<=\s)\/\/ .*$/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    comment: match[0].replace(/^[ \t]*(?:\/\*\*|\*\/|\*|\/\/) ?/gm, ' ').replace(/\s+/g, ' '),
  }));
}

/** Private words of earlier versions: each had a plain one that a newcomer knows. */
const PRIVATE_WORDS: readonly (readonly [RegExp, instead: string])[] = [
  [/\banew\b/, 'again'],
  [/\bof somebody else\b|\bsomebody else runs\b/, 'external'],
  [/\bhears?\b|\bheard\b/, 'receives, gets'],
  [/\b(?:is|are|was|were|be|been) told\b/, 'reported, logged, shown'],
  [/\btells? the fleet\b/, 'reports'],
  [/\bmend(?:s|ed|ing)?\b/, 'fix, repair'],
  [/\blook(?:s|ed)? at\b/, 'reads, checks'],
  [/\b(?:own|its|their) word\b|\bthe word of\b/, 'message, report, command'],
  [/\bon (?:its|his|their) account\b/, 'because of it'],
  [/\bin vain\b/, 'without a result'],
];

test('a comment uses words of the field, and no sentence begins with a noun clause', () => {
  const wrong = commentedSources().flatMap(({ path, text }) =>
    commentsOf(text).flatMap(({ line, comment }) => {
      const found = PRIVATE_WORDS.filter(([pattern]) => pattern.test(comment));
      return [
        ...(NOUN_CLAUSE.test(comment.trim()) || LATER_CLAUSE.test(comment)
          ? [`${path}:${line}: a sentence begins with a noun clause`]
          : []),
        ...found.map(([pattern, instead]) => `${path}:${line}: ${pattern}, want: ${instead}`),
      ];
    }),
  );
  assert.deepEqual(wrong, []);
});

test('the search for private words finds them in every kind of comment', () => {
  const [old, mark] = [word('an', 'ew'), word('/', '/')];
  const block = `/**\n * It begins\n * ${old}.\n */\n`;
  const text = `${block}const a = 1; ${mark} ${old}\n${mark} It is\n${mark} told.\n`;
  assert.deepEqual(
    commentsOf(text).map(({ line }) => line),
    [1, 5, 6],
  );
  const found = commentsOf(text).filter(({ comment }) =>
    PRIVATE_WORDS.some(([pattern]) => pattern.test(comment)),
  );
  assert.equal(found.length, 3);
});

test('files are kebab-case and named after what they are about', () => {
  const vague = /\/(?:utils?|index|helpers?|misc|common|types|constants)\.ts$/;
  const kebab = /^(?:[a-z0-9-]+\/)*[a-z0-9]+(?:-[a-z0-9]+)*(?:(?:\.slow)?\.test|\.d)?\.ts$/;
  const wrong = allSources()
    .map(({ path }) => path)
    .filter((path) => vague.test(path) || !kebab.test(path));
  assert.deepEqual(wrong, []);
});

test('every source file begins with a comment that says what it is about', () => {
  const wrong = allSources()
    .filter(({ path }) => !path.endsWith('.test.ts'))
    .filter(({ text }) => !/^(?:#!.*\n)?\/\*\*/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(wrong, []);
});

test('no failure is swallowed without a word about it', () => {
  const empty = /\bcatch(?: \([^)]*\))? \{\s*\}/;
  const ignored = /(?:\.catch\(|'error', )\(\) => (?:\{\}|undefined)\)/;
  const wrong = allSources().flatMap(({ path, text, lines }) => [
    ...(empty.test(text) ? [`${path}: empty catch`] : []),
    ...lines.flatMap((line, at) => {
      const isExplained = line.includes('//') || (lines[at - 1] ?? '').includes('//');
      return ignored.test(line) && !isExplained ? [`${path}:${at + 1}: ${line.trim()}`] : [];
    }),
  ]);
  assert.deepEqual(wrong, []);
});

test('a peer that goes away ends no program: every failure of a stream has an owner to the end', () => {
  const rules: readonly (readonly [RegExp, string, readonly string[]])[] = [
    // The second 'error' of an emitter whose listener went with the first ends the process.
    [/\.once\('error'/, "on('error'", []],
    // The sink of an archive fails with whoever reads the archive.
    [/\b(?:pack|tar)\.entry\(/, 'openEntry, addEntry', ['shared/io/tar-entry.ts']],
    // It forwards no failure, neither of its source nor of its end.
    [/\.pipe\(/, 'pipeline', ['broker/backup/read.ts', 'publisher/bundle/xattrs.ts']],
  ];
  const wrong = productSources()
    .filter(({ path }) => /^(?:broker|robot-client|publisher|shared)\//.test(path))
    .flatMap(({ path, code }) =>
      rules.flatMap(([pattern, instead, allowed]) =>
        allowed.includes(path)
          ? []
          : placesOf({ path, text: code }, pattern).map((place) => `${place}: want ${instead}`),
      ),
    );
  assert.deepEqual(wrong, []);
});

test('nothing is left for later in the sources', () => {
  const marks = new RegExp(
    `\\b(?:${['TO', 'FIX', 'XX'].map((a, i) => a + ['DO', 'ME', 'X'][i]).join('|')})\\b`,
  );
  const wrong = allTextFiles()
    .filter(({ path }) => path !== 'package-lock.json')
    .flatMap((file) => placesOf(file, marks));
  assert.deepEqual(wrong, []);
});

test('nothing of one machine or one registry stands in the repository', () => {
  const folders = ['work', 'root', 'home', 'Users'].map((name) => word('/', name, '/')).join('|');
  const path = new RegExp(`(?:^|[\\s'"\`(=:])(?:${folders})`);
  const host = new RegExp(word('https?://[^\\s/]*', 'regis', 'try|^regis', 'try\\s*='));
  const wrong = allTextFiles()
    .filter((file) => file.path !== 'LICENSE')
    .flatMap((file) => [...placesOf(file, path), ...placesOf(file, host)]);
  assert.deepEqual(wrong, []);
});

test('package-lock.json names packages and hashes, not where they were fetched', () => {
  const lock = readFileSync(repositoryFile('package-lock.json'), 'utf8');
  assert.doesNotMatch(lock, new RegExp(word('"resol', 'ved": "http')));
  assert.match(lock, /"integrity"/);
});

test('the README tells the command that CI runs', () => {
  const readme = repositoryFile('README.md');
  assert.ok(existsSync(readme), 'README.md is there');
  assert.match(readFileSync(readme, 'utf8'), /npm ci && npm test/);
  assert.match(readFileSync(repositoryFile('.ci/run'), 'utf8'), /npm ci && npm test/);
});
