/**
 * Runs the compiled tests: `node dist/test/run.js [--quick | --rest] [areas…]`, where an area is a
 * folder under test/. `--quick` is what `npm test` runs, `--rest` what it leaves out. The last line
 * is `N passed, N failed` and the exit code says the same. It must never report success for a run in
 * which nothing ran, and never runs a compiled test whose source is gone (tsc leaves those behind).
 */

import { existsSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { LONG_FILES } from './helpers/long-files.ts';
import { findRepository } from './helpers/repository.ts';
import { SEED_VARIABLE, seedOfRun } from './helpers/run-seed.ts';
import { Tally, type TestEnd } from './helpers/tally.ts';

/** One file of tests may take this long: the slowest starts real brokers and moves real bytes. */
const FILE_TIMEOUT_MS = 900_000;
/** Files at once on two cores, the smallest machine: with three they were busy for 81 %. */
const FILES_AT_ONCE = 4;
/** Among the slow ones too many wait for programs: four kept two cores busy for 83 %. */
const SLOW_FILES_AT_ONCE = 5;
/** And another one where none of them keeps a core busy. */
const WAITING_FILES_AT_ONCE = 6;
/** Areas whose files keep a core busy for a minute and more: spread among those that wait. */
const BUSY_AREAS: readonly string[] = ['kill', 'power', 'crash', 'sim', 'fuzz', 'boot'];
/** Folder of fixtures: it holds no tests. */
const NOT_AN_AREA = 'helpers';
/** Takes many minutes: runs when it is named (`npm run test:campaign`), not with all the others. */
const CAMPAIGN = 'campaign';
/** Areas of real programs, brokers and disks, which are not quick but for QUICK_LIVES. */
const SLOW_AREAS: readonly string[] = ['e2e', 'packaging', ...BUSY_AREAS];
/** The life of a bundle from end to end, on our broker and on another one. */
const QUICK_LIVES = ['e2e/life-broker.test.js', 'e2e/life-mosquitto.test.js'];
/** A file of a quick area that takes more than a few seconds says so in its name. */
const SLOW_FILE = /\.slow\.test\.js$/;
/**
 * In CI a file with real programs, brokers and disks that failed runs again, alone: three of them
 * share two cores there. Its second run counts, and the run names it, since it is a fault to fix.
 * More failing files than these are no chance.
 */
const TRIED_AGAIN_MAX = 5;
/** So many files are named at the end with the time that they took. */
const SLOWEST_SHOWN = 15;

const compiledTests = dirname(fileURLToPath(import.meta.url));
const sourceTests = join(findRepository(compiledTests), 'test');

function areaNames(): string[] {
  return readdirSync(compiledTests, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== NOT_AN_AREA)
    .map((entry) => entry.name)
    .sort();
}

/** Of the others so many run beside each busy one; what is left of them, a third, runs by itself. */
function spread(busy: readonly string[], others: readonly string[]) {
  const distance = Math.ceil((others.length * 2) / 3 / Math.max(1, busy.length));
  const groups = busy.map((file, at) => [
    file,
    ...others.slice(at * distance, (at + 1) * distance),
  ]);
  return { mixed: groups.flat(), waiting: others.slice(busy.length * distance) };
}

/** Long ones first, the longest before all. */
function byLength(files: readonly string[]): string[] {
  const place = (file: string): number => {
    const at = LONG_FILES.indexOf(relative(compiledTests, file).replace(/\.test\.js$/, ''));
    return at < 0 ? LONG_FILES.length : at;
  };
  return files.toSorted((a, b) => place(a) - place(b));
}

function testFiles(area: string): string[] {
  return readdirSync(join(compiledTests, area), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => existsSync(join(sourceTests, area, name.replace(/\.js$/, '.ts'))))
    .map((name) => join(compiledTests, area, name))
    .sort();
}

function isQuick(file: string): boolean {
  const name = relative(compiledTests, file);
  if (QUICK_LIVES.includes(name)) return true;
  return !SLOW_AREAS.includes(name.split(sep)[0] ?? '') && !SLOW_FILE.test(name);
}

type NodeTestEnd = Omit<TestEnd, 'type' | 'failureType'> & {
  details: { type?: string | undefined; error?: object };
};

/** The instants at which files began and ended, in milliseconds. */
class Times {
  readonly #began = new Map<string, number>();
  readonly #took = new Map<string, number>();
  readonly #ends: number[] = [];
  readonly #failed: string[] = [];

  begin(file: string): void {
    this.#began.set(file, performance.now());
  }

  end(file: string, hasPassed: boolean): void {
    const now = performance.now();
    this.#took.set(file, now - (this.#began.get(file) ?? now));
    this.#ends.push(now);
    if (!hasPassed) this.#failed.push(file);
  }

  /** Files in which a test failed, or that ended with another code than 0. */
  get failed(): readonly string[] {
    return this.#failed;
  }

  get slowest(): string[] {
    return [...this.#took]
      .sort((a, b) => b[1] - a[1])
      .slice(0, SLOWEST_SHOWN)
      .map(([file, ms]) => `took ${Math.round(ms / 1000)} s ${relative(compiledTests, file)}`);
  }

  /** The time that the last lane ran alone: empty with few files. */
  get tail(): string[] {
    const [first, last] = [this.#ends.at(-FILES_AT_ONCE), this.#ends.at(-1)];
    if (first === undefined || last === undefined) return [];
    const file = relative(compiledTests, [...this.#took.keys()].at(-1) ?? '');
    return [
      `last lane: ${Math.round((last - first) / 1000)} s longer than the first, with ${file}`,
    ];
  }
}

/** Milliseconds of all cores: all of them, and those without work. */
function coreTimes(): { all: number; idle: number } {
  const times = cpus().map(({ times: of }) => of);
  const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);
  return {
    all: sum(times.flatMap((of) => Object.values(of))),
    idle: sum(times.map((of) => of.idle)),
  };
}

/** The load of the machine: low when lanes wait for each other, high when it has too much work. */
function busyLine(before: ReturnType<typeof coreTimes>): string {
  const after = coreTimes();
  const [all, idle] = [after.all - before.all, after.idle - before.idle];
  return `cores were busy for ${Math.round((1 - idle / Math.max(1, all)) * 100)} % of the time`;
}

function toTestEnd({ name, nesting, file, skip, todo, details }: NodeTestEnd): TestEnd {
  const { type, error } = details;
  const failureType =
    error && 'failureType' in error && typeof error.failureType === 'string'
      ? error.failureType
      : undefined;
  return { name, nesting, file, skip, todo, type, failureType };
}

interface Run {
  readonly files: readonly string[];
  readonly filesAtOnce: number;
  readonly tally: Tally;
  readonly times: Times;
}

async function runFiles({ files, filesAtOnce, tally, times }: Run): Promise<void> {
  const events = run({
    files: [...files],
    concurrency: filesAtOnce,
    timeout: FILE_TIMEOUT_MS,
  });
  events.on('test:pass', (end) => tally.pass(toTestEnd(end)));
  events.on('test:fail', (end) => tally.fail(toTestEnd(end)));
  // A file is a test of its own, named by its path; these two come when they happen.
  events.on('test:dequeue', ({ name, file }) => name === file && times.begin(name));
  events.on('test:complete', ({ name, file, details }) => {
    // The types of Node 20 do not know `passed`.
    if (name === file) times.end(name, (details as { passed?: boolean }).passed !== false);
  });
  const report = events.compose(new spec());
  report.pipe(process.stdout, { end: false });
  await finished(report);
}

/** Names files that failed only while others ran; they count as passed. */
async function tryAgain(tally: Tally, times: Times): Promise<void> {
  const { failed } = times;
  if (process.env['CI'] !== 'true' || failed.length === 0) return;
  const isOfChance = failed.length <= TRIED_AGAIN_MAX && !failed.some(isQuick);
  if (!isOfChance || tally.complaints.length > 0) return;
  const [again, timesAgain] = [new Tally({ skipsFail: true }), new Times()];
  process.stdout.write(`again, one by one: ${failed.length} files in which a test failed\n`);
  await runFiles({ files: failed, filesAtOnce: 1, tally: again, times: timesAgain });
  tally.replaceFailures(again);
  for (const file of failed.filter((one) => !timesAgain.failed.includes(one)))
    process.stdout.write(`unsteady: ${relative(compiledTests, file)} passed only alone\n`);
}

interface Wanted {
  readonly areas: readonly string[];
  readonly part: 'quick' | 'rest' | 'all';
}

function readWanted(args: string[]): Wanted {
  const options = { quick: { type: 'boolean' }, rest: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const part = values.quick === true ? 'quick' : values.rest === true ? 'rest' : 'all';
  return { areas: positionals, part };
}

async function main({ areas: wanted, part }: Wanted): Promise<void> {
  const areas = areaNames();
  const unknown = wanted.find((area) => !areas.includes(area));
  if (unknown !== undefined) {
    process.stderr.write(`run: no area ${unknown} (want any of ${areas.join(', ')})\n`);
    process.exitCode = 2;
    return;
  }
  const chosen = wanted.length > 0 ? wanted : areas.filter((area) => area !== CAMPAIGN);
  const isWanted = (file: string): boolean =>
    part === 'all' || (part === 'quick') === isQuick(file);
  const filesOf = (isBusy: boolean): string[] =>
    chosen
      .filter((area) => BUSY_AREAS.includes(area) === isBusy)
      .flatMap(testFiles)
      .filter(isWanted);
  const { mixed, waiting } = spread(byLength(filesOf(true)), byLength(filesOf(false)));
  const seed = String(seedOfRun());
  process.env[SEED_VARIABLE] = seed; // for each file
  process.stdout.write(`${SEED_VARIABLE}=${seed}\n`);
  const tally = new Tally({ skipsFail: process.env['CI'] === 'true' });
  const times = new Times();
  const before = coreTimes();
  for (const [files, filesAtOnce] of [
    [mixed, part === 'rest' ? SLOW_FILES_AT_ONCE : FILES_AT_ONCE],
    [waiting, part === 'rest' ? WAITING_FILES_AT_ONCE : FILES_AT_ONCE],
  ] as const) {
    // Without files node:test would look for some by itself.
    if (files.length > 0) await runFiles({ files, filesAtOnce, tally, times });
  }
  if (mixed.length + waiting.length === 0) process.stdout.write('no test file found\n');
  await tryAgain(tally, times);
  for (const line of [...times.slowest, ...times.tail, busyLine(before)])
    process.stdout.write(`${line}\n`);
  for (const complaint of tally.complaints) process.stdout.write(`not good: ${complaint}\n`);
  process.stdout.write(`${tally.line}\n`);
  process.exitCode = tally.isGood ? 0 : 1;
}

await main(readWanted(process.argv.slice(2)));
