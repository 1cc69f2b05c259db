/**
 * Small inputs that reached something once, kept in the tree: test/fuzz/corpus/DOOR.txt has one in
 * base64 on each line, sorted, so that a seed plays the same hunt again.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { repositoryFile } from '../helpers/repository.ts';

/** Larger inputs are not kept in the tree. */
const KEPT_BYTES_MAX = 2 * 1024;
const KEPT_MAX = 250;

const fileOf = (door: string): string => repositoryFile(`test/fuzz/corpus/${door}.txt`);

export async function readCorpus(door: string): Promise<Uint8Array[]> {
  const text = await readFile(fileOf(door), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => new Uint8Array(Buffer.from(line, 'base64')));
}

/** @returns how many it holds now */
export async function addToCorpus(door: string, inputs: readonly Uint8Array[]): Promise<number> {
  const small = inputs.filter(({ byteLength }) => byteLength <= KEPT_BYTES_MAX);
  const all = [...(await readCorpus(door)), ...small];
  const lines = [...new Set(all.map((input) => Buffer.from(input).toString('base64')))];
  const kept = lines.slice(0, KEPT_MAX).sort();
  await writeFile(fileOf(door), `${kept.join('\n')}\n`);
  return kept.length;
}
