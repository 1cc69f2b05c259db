/**
 * `npm run fuzz -- DOOR SECONDS [--seed N] [--keep]`: goes at one door, or at each of them with
 * `all`. An input that broke something is written into a file, which `--replay FILE` opens again.
 * `--keep` adds what reached something new to the corpus in the tree.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { runProgram } from '../../shared/io/cli.ts';
import { addToCorpus, readCorpus } from './corpus.ts';
import { findingOf } from './door.ts';
import { DOORS } from './doors.ts';
import { watchHunt } from './watch-hunt.ts';

const SECONDS_DEFAULT = 60;
const SEEDS = 2 ** 31;

interface Wanted {
  readonly doors: readonly string[];
  readonly seconds: number;
  readonly seed: number;
  readonly keep: boolean;
  readonly replay: string | null;
}

const USE = 'npm run fuzz -- DOOR SECONDS [--seed N] [--keep] [--replay FILE]; DOOR may be all';

function parseWords() {
  try {
    return parseArgs({
      options: {
        seed: { type: 'string' },
        keep: { type: 'boolean', default: false },
        replay: { type: 'string' },
      },
      allowPositionals: true,
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('.', 1)[0] : String(cause);
    throw new DroverError('USAGE', `run fuzz: ${why}`, { cause, hint: USE });
  }
}

function readWanted(): Wanted {
  const { values, positionals } = parseWords();
  const [door = '', seconds = String(SECONDS_DEFAULT)] = positionals;
  const names = Object.keys(DOORS);
  const doors = door === 'all' ? names : names.filter((name) => name === door);
  if (doors.length === 0 || !(Number(seconds) > 0)) {
    const want = `want all or one of ${names.join(', ')}, and seconds`;
    const got = door === '' ? 'nothing' : `${door} and ${seconds}`;
    throw new DroverError('USAGE', `run fuzz: got ${got} (${want})`, { hint: USE });
  }
  const seed = Number(values.seed ?? Date.now() % SEEDS);
  const replay = values.replay ?? null;
  return { doors, seconds: Number(seconds), seed, keep: values.keep, replay };
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** True when the door held. */
async function huntAt(door: string, { seconds, seed, keep }: Wanted): Promise<boolean> {
  const corpus = await readCorpus(door);
  const { executions, functions, found, finding } = await watchHunt({
    door,
    corpus,
    seconds,
    seed,
  });
  const reached = `${functions} functions entered, ${found.length} inputs reached something new`;
  say(`${door}: ${executions} inputs in ${seconds} s, ${reached} (seed ${seed})`);
  if (keep) say(`${door}: ${await addToCorpus(door, found)} inputs in the corpus`);
  if (!finding) return true;
  for (const input of finding.inputs) {
    const file = `fuzz-${door}-${sha256Hex(input).slice(0, 12)}`;
    await writeFile(file, input);
    say(`${door}: FOUND, see ${file}`);
  }
  say(finding.why);
  return false;
}

async function replayAt(door: string, file: string): Promise<boolean> {
  const afterwards: (() => unknown)[] = [];
  const opened = await DOORS[door]?.({ after: (work) => void afterwards.push(work) });
  const finding = opened && (await findingOf(opened, await readFile(file)));
  say(finding ? (finding.stack ?? String(finding)) : `${door}: it held`);
  for (const work of afterwards.reverse()) await work();
  return !finding;
}

await runProgram('fuzz', async () => {
  const wanted = readWanted();
  const { replay } = wanted;
  for (const door of wanted.doors) {
    const held = replay ? await replayAt(door, replay) : await huntAt(door, wanted);
    if (!held) process.exitCode = 1;
  }
});
