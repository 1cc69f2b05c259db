/** The table of attacks in SECURITY.md: its tests are there, its codes are real, nothing is left out. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { allSources } from '../helpers/sources.ts';

const page = readFileSync(repositoryFile('SECURITY.md'), 'utf8');
const begin = page.indexOf('<!-- attacks -->');
const end = page.indexOf('<!-- end attacks -->');
const rows = page
  .slice(begin, end)
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| attack'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, attack = '', , , code = '', proof = '']) => ({ attack, code, proof }));

const proofOf = (proof: string): { path: string; name: string } => {
  const [, path = '', name = ''] = /^`([^`]+)`: (.+)$/.exec(proof) ?? [];
  return { path, name };
};

test('each attack in SECURITY.md names a test that is there, and codes of the catalogue', () => {
  assert.ok(rows.length >= 10, `${rows.length} rows`);
  const wrong = rows.flatMap(({ attack, code, proof }) => {
    const { path, name } = proofOf(proof);
    const isThere = path !== '' && existsSync(repositoryFile(path));
    const text = isThere ? readFileSync(repositoryFile(path), 'utf8') : '';
    const found = text.includes(`'${name}'`) ? [] : [`${attack}: no test ${proof}`];
    const codes = [...code.matchAll(/`([A-Z_]+)`/g)].map((match) => match[1] as string);
    const unknown = codes.filter((one) => !Object.hasOwn(CATALOGUE, one));
    return [...found, ...unknown.map((one) => `${attack}: no code ${one}`)];
  });
  assert.deepEqual(wrong, []);
});

test('each test of a stolen key is a row of that table', () => {
  const named = new Set(rows.map(({ proof }) => proofOf(proof).name));
  const files = allSources().filter(({ path }) => /^test\/e2e\/stolen-.*\.test\.ts$/.test(path));
  assert.ok(files.length > 0);
  const names = files.flatMap(({ code }) =>
    [...code.matchAll(/\bit\('([^']+)'/g)].map((match) => match[1] as string),
  );
  assert.deepEqual(
    names.filter((name) => !named.has(name)),
    [],
  );
});
