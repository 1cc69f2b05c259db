/**
 * The state machine as a matrix: in each phase an error, something that hangs, a power cut, a newer
 * announcement and a halt. One row of CASES is one sentence: in this phase, when this happens, the
 * robot passes these phases, reports these codes, and runs this version. After every row the
 * trouble ends, a further version is announced, and must be installed.
 */

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DroverError } from '../../shared/base/errors.ts';
import { PHASES, type Phase } from '../../shared/formats/messages.ts';
import { cutChunks, tarGz, type SignedBundle } from '../helpers/fleet.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { Bench, fleet, OLD } from './bench.ts';
import type { DiskOperation } from './faulty-disk.ts';

type Kind = 'error' | 'hang' | 'power cut' | 'superseded' | 'halted';
type Row = readonly [
  phase: Phase,
  kind: Kind,
  when: string,
  chain: string,
  codes: string,
  runs: string,
];

const NEW = '1.1.0';
const NEWER = '1.2.0';
const NEXT = '1.3.0';

// `…` stands for the rest of a good update: every phase that is left, up to idle.
// prettier-ignore
const CASES: readonly Row[] = [
  // in             kind          when                                     the phases passed                                                                                  codes reported                                              it runs
  ['idle',         'error',      'a leftover cannot be removed',          'checking …',                                                                                      '',                                                         '1.1.0'],
  ['idle',         'hang',       'the removal of a leftover never ends',  'checking …',                                                                                      '',                                                         '1.1.0'],
  ['idle',         'power cut',  'the power is cut',                      '⚡ checking …',                                                                                    '',                                                         '1.1.0'],
  ['idle',         'superseded', 'a newer version is announced',          'checking …',                                                                                      '',                                                         '1.2.0'],
  ['idle',         'halted',     'the rollout is halted',                 '',                                                                                                '',                                                         '1.0.0'],

  ['checking',     'error',      'the disk is too small',                 'checking idle',                                                                                   'DISK_SPACE_SHORT',                                         '1.0.0'],
  ['checking',     'hang',       'the disk never says how much is free',  'checking',                                                                                        '',                                                         '1.0.0'],
  ['checking',     'power cut',  'the power is cut',                      'checking ⚡ checking …',                                                                           '',                                                         '1.1.0'],
  ['checking',     'superseded', 'a newer version is announced',          'checking checking …',                                                                             '',                                                         '1.2.0'],
  ['checking',     'halted',     'the rollout is halted',                 'checking idle',                                                                                   '',                                                         '1.0.0'],

  ['downloading',  'error',      'the disk is full',                      'checking downloading idle',                                                                       'DISK_FULL',                                                '1.0.0'],
  ['downloading',  'error',      'the index is of a larger payload',      'checking downloading idle',                                                                       'CHUNK_INDEX_INVALID FAILED_BEFORE',                        '1.0.0'],
  ['downloading',  'hang',       'the first question is not answered',    'checking downloading …',                                                                          '',                                                         '1.1.0'],
  ['downloading',  'power cut',  'the power is cut',                      'checking downloading ⚡ downloading …',                                                            '',                                                         '1.1.0'],
  ['downloading',  'superseded', 'a newer version is announced',          'checking downloading checking …',                                                                 '',                                                         '1.2.0'],
  ['downloading',  'halted',     'the rollout is halted',                 'checking downloading idle',                                                                       '',                                                         '1.0.0'],

  ['verifying',    'error',      'the index leads to other bytes',        'checking downloading verifying downloading verifying idle',                                       'PAYLOAD_HASH_MISMATCH PAYLOAD_HASH_MISMATCH FAILED_BEFORE', '1.0.0'],
  ['verifying',    'hang',       'the disk never gives the bytes back',   'checking downloading verifying',                                                                  '',                                                         '1.0.0'],
  ['verifying',    'power cut',  'the power is cut',                      'checking downloading verifying ⚡ verifying …',                                                    '',                                                         '1.1.0'],
  ['verifying',    'superseded', 'a newer version is announced',          'checking downloading verifying checking …',                                                       '',                                                         '1.2.0'],
  ['verifying',    'halted',     'the rollout is halted',                 'checking downloading verifying idle',                                                             '',                                                         '1.0.0'],

  ['staging',      'error',      'the disk is full',                      'checking downloading verifying staging idle',                                                     'DISK_FULL',                                                '1.0.0'],
  ['staging',      'error',      'the payload is no archive',             'checking downloading verifying staging idle',                                                     'ARCHIVE_CORRUPT FAILED_BEFORE',                            '1.0.0'],
  ['staging',      'hang',       'the disk never makes a file durable',   'checking downloading verifying staging',                                                          '',                                                         '1.0.0'],
  ['staging',      'power cut',  'the power is cut',                      'checking downloading verifying staging ⚡ staging …',                                              '',                                                         '1.1.0'],
  ['staging',      'superseded', 'a newer version is announced',          'checking downloading verifying staging checking …',                                               '',                                                         '1.2.0'],
  ['staging',      'halted',     'the rollout is halted',                 'checking downloading verifying staging idle',                                                     '',                                                         '1.0.0'],

  ['waiting',      'error',      'the ready hook fails once',             'checking downloading verifying staging waiting …',                                                '',                                                         '1.1.0'],
  ['waiting',      'error',      'the state cannot be written',           'checking downloading verifying staging waiting idle',                                             'DISK_FULL',                                                '1.0.0'],
  ['waiting',      'hang',       'the ready hook hangs once',             'checking downloading verifying staging waiting …',                                                '',                                                         '1.1.0'],
  ['waiting',      'power cut',  'the power is cut',                      'checking downloading verifying staging waiting ⚡ waiting …',                                      '',                                                         '1.1.0'],
  ['waiting',      'superseded', 'a newer version is announced',          'checking downloading verifying staging waiting checking …',                                       '',                                                         '1.2.0'],
  ['waiting',      'halted',     'the rollout is halted',                 'checking downloading verifying staging waiting idle',                                             '',                                                         '1.0.0'],

  ['swapping',     'error',      'the old version does not stop',         'checking downloading verifying staging waiting swapping rolling_back idle',                       'SWAP_FAILED',                                              '1.0.0'],
  ['swapping',     'error',      'the link cannot be renamed',            'checking downloading verifying staging waiting swapping rolling_back idle',                       'SWAP_FAILED',                                              '1.0.0'],
  ['swapping',     'hang',       'the stop hook hangs',                   'checking downloading verifying staging waiting swapping rolling_back idle',                       'SWAP_FAILED',                                              '1.0.0'],
  ['swapping',     'power cut',  'the power is cut',                      'checking downloading verifying staging waiting swapping ⚡ swapping …',                            '',                                                         '1.1.0'],
  ['swapping',     'superseded', 'a newer version is announced',          'checking downloading verifying staging waiting swapping probation idle checking …',               '',                                                         '1.2.0'],
  ['swapping',     'halted',     'the rollout is halted',                 'checking downloading verifying staging waiting swapping …',                                       '',                                                         '1.1.0'],

  ['probation',    'error',      'the new version does not start',        'checking downloading verifying staging waiting swapping probation rolling_back idle',             'HOOK_FAILED FAILED_BEFORE',                                '1.0.0'],
  ['probation',    'error',      'the health hook gives up',              'checking downloading verifying staging waiting swapping probation rolling_back idle',             'HEALTH_FAILED FAILED_BEFORE',                              '1.0.0'],
  ['probation',    'error',      'the health hook never says yes',        'checking downloading verifying staging waiting swapping probation rolling_back idle',             'HEALTH_DEADLINE FAILED_BEFORE',                            '1.0.0'],
  ['probation',    'hang',       'the start hook hangs',                  'checking downloading verifying staging waiting swapping probation rolling_back idle',             'HOOK_TIMED_OUT FAILED_BEFORE',                             '1.0.0'],
  ['probation',    'hang',       'the health hook hangs',                 'checking downloading verifying staging waiting swapping probation rolling_back idle',             'HEALTH_DEADLINE FAILED_BEFORE',                            '1.0.0'],
  ['probation',    'power cut',  'the power is cut',                      'checking downloading verifying staging waiting swapping probation ⚡ probation …',                 '',                                                         '1.1.0'],
  ['probation',    'superseded', 'a newer version is announced',          'checking downloading verifying staging waiting swapping probation idle checking …',               '',                                                         '1.2.0'],
  ['probation',    'halted',     'the rollout is halted',                 'checking downloading verifying staging waiting swapping probation …',                             '',                                                         '1.1.0'],

  ['rolling_back', 'error',      'the old version starts at the second try', 'checking downloading verifying staging waiting swapping probation rolling_back rolling_back idle', 'HEALTH_FAILED ROLLBACK_FAILED FAILED_BEFORE',           '1.0.0'],
  ['rolling_back', 'error',      'the old version never starts',          'checking downloading verifying staging waiting swapping probation rolling_back rolling_back rolling_back stuck', 'HEALTH_FAILED ROLLBACK_FAILED ROLLBACK_FAILED ROLLBACK_FAILED', '1.0.0'],
  ['rolling_back', 'hang',       'the start of the old version hangs once', 'checking downloading verifying staging waiting swapping probation rolling_back rolling_back idle', 'HEALTH_FAILED ROLLBACK_FAILED FAILED_BEFORE',             '1.0.0'],
  ['rolling_back', 'power cut',  'the power is cut',                      'checking downloading verifying staging waiting swapping probation rolling_back ⚡ rolling_back idle', 'HEALTH_FAILED FAILED_BEFORE',                           '1.0.0'],
  ['rolling_back', 'superseded', 'a newer version is announced',          'checking downloading verifying staging waiting swapping probation rolling_back idle checking …',  'HEALTH_FAILED',                                            '1.2.0'],
  ['rolling_back', 'halted',     'the rollout is halted',                 'checking downloading verifying staging waiting swapping probation rolling_back idle',             'HEALTH_FAILED FAILED_BEFORE',                              '1.0.0'],

  ['stuck',        'power cut',  'the power is cut',                      'checking downloading verifying staging waiting swapping probation rolling_back rolling_back rolling_back stuck ⚡ stuck', 'HEALTH_FAILED ROLLBACK_FAILED ROLLBACK_FAILED ROLLBACK_FAILED FAILED_BEFORE', '1.0.0'],
  ['stuck',        'superseded', 'a newer version is announced',          'checking downloading verifying staging waiting swapping probation rolling_back rolling_back rolling_back stuck checking …', 'HEALTH_FAILED ROLLBACK_FAILED ROLLBACK_FAILED ROLLBACK_FAILED', '1.2.0'],
  ['stuck',        'halted',     'the rollout is halted',                 'checking downloading verifying staging waiting swapping probation rolling_back rolling_back rolling_back stuck', 'HEALTH_FAILED ROLLBACK_FAILED ROLLBACK_FAILED ROLLBACK_FAILED FAILED_BEFORE', '1.0.0'],
];

/** Nothing runs in `stuck` that could fail or hang. */
const IMPOSSIBLE = ['stuck error', 'stuck hang'];

const full = (path: string) => new DroverError('DISK_FULL', `write ${path}: no space left`);
const isOf = (name: RegExp, path: RegExp) => (operation: DiskOperation) =>
  name.test(operation.name) && path.test(operation.path);

/** Sets the reaction of an operation once the component is in `phase`. */
function inPhase(
  bench: Bench,
  phase: Phase,
  matches: (operation: DiskOperation) => boolean,
  meet: (operation: DiskOperation) => void | Promise<void>,
): void {
  bench.gate = (operation) => {
    if (bench.component.view.state?.phase === phase && matches(operation)) return meet(operation);
  };
}

const fails = ({ path }: DiskOperation): never => {
  throw full(path);
};
/** Exit with that code at the first call only. */
const once = (name: string, what: string): string =>
  `[ -e "$DROVER_ROOT/${name}" ] || { : > "$DROVER_ROOT/${name}"; ${what}; }`;
const forVersion = (version: string, what: string): string =>
  `if [ "$DROVER_VERSION" = ${version} ]; then ${what}; fi`;
const sick = (bench: Bench) => bench.hook('health', forVersion(NEW, 'exit 70'));
const leftover = async (bench: Bench, meet: () => void | Promise<void>): Promise<void> => {
  await mkdir(join(bench.root, 'staging/leftover'), { recursive: true });
  bench.gate = (operation) => {
    if (isOf(/^removeTree$/, /\/staging\/leftover/)(operation)) return meet();
  };
};

/** Brings each error and each hang about; the first words are the sentence of the row. */
const TROUBLES: Readonly<Record<string, (bench: Bench, phase: Phase) => void | Promise<void>>> = {
  'a leftover cannot be removed': (b) => leftover(b, () => fails({ name: 'removeTree', path: '' })),
  'the removal of a leftover never ends': (b) => leftover(b, b.forever),
  'the disk is too small': (b, phase) =>
    inPhase(b, phase, isOf(/^free$/, /./), () => {
      throw new DroverError('DISK_SPACE_SHORT', 'make room: not enough disk');
    }),
  'the disk never says how much is free': (b, phase) =>
    inPhase(b, phase, isOf(/^free$/, /./), b.forever),
  'the disk is full': (b, phase) => inPhase(b, phase, isOf(/^write$/, /\/staging\//), fails),
  'the first question is not answered': (b) => {
    const asked = new Set<string>();
    b.carrier.answers = (hash) => asked.has(hash) || !asked.add(hash);
  },
  'the disk never gives the bytes back': (b, phase) =>
    inPhase(b, phase, isOf(/^read$/, /payload/), b.forever),
  'the disk never makes a file durable': (b, phase) =>
    inPhase(b, phase, isOf(/^sync$/, /\/tree\//), b.forever),
  'the ready hook fails once': (b) => b.hook('ready', once('asked', 'echo no bus; exit 1')),
  'the ready hook hangs once': (b) => b.hook('ready', once('asked', 'sleep 60')),
  'the state cannot be written': (b, phase) => {
    let isFirst = true;
    inPhase(b, phase, isOf(/^write$/, /machine\.json/), (operation) => {
      if (isFirst) isFirst = false;
      else return;
      fails(operation);
    });
  },
  'the old version does not stop': (b) => b.hook('stop', 'exit 1'),
  'the link cannot be renamed': (b, phase) => inPhase(b, phase, isOf(/^rename$/, /active/), fails),
  'the stop hook hangs': (b) => b.hook('stop', 'sleep 60'),
  'the new version does not start': (b) => b.hook('start', forVersion(NEW, 'exit 1')),
  'the start hook hangs': (b) => b.hook('start', forVersion(NEW, 'sleep 60')),
  'the health hook gives up': sick,
  'the health hook never says yes': (b) => b.hook('health', 'exit 1'),
  'the health hook hangs': (b) => b.hook('health', 'sleep 60'),
  'the old version starts at the second try': (b) =>
    b.hook('start', forVersion(OLD, once('tried', 'exit 1'))),
  'the old version never starts': (b) => b.hook('start', forVersion(OLD, 'exit 1')),
  'the start of the old version hangs once': (b) =>
    b.hook('start', forVersion(OLD, once('tried', 'sleep 60'))),
};

const bundles = new Map<string, SignedBundle>();
for (const version of [NEW, NEWER, NEXT]) {
  const files = { 'VERSION.txt': `${version}\n`, 'bin/app': { text: '#!/bin/sh\n', mode: 0o755 } };
  bundles.set(version, await fleet.makeBundle({ version, payload: await tarGz(files) }));
}

/** The bundle of a row: some troubles are in what was published. */
async function bundleFor(when: string): Promise<SignedBundle> {
  const good = bundles.get(NEW) as SignedBundle;
  const retold = (payload: Uint8Array): SignedBundle => {
    const { index, chunks } = cutChunks(payload, good.artifact.chunk_size);
    return { ...good, chunks, artifact: { ...good.artifact, chunk_index: index } };
  };
  if (when === 'the payload is no archive') {
    return await fleet.makeBundle({ version: NEW, payload: new Uint8Array(1_000).fill(7) });
  }
  if (when === 'the index is of a larger payload') return retold(new Uint8Array(100_000));
  if (when === 'the index leads to other bytes') {
    return retold(good.payload.map((byte) => byte ^ 1));
  }
  return good;
}

const GOOD = [
  'checking',
  'downloading',
  'verifying',
  'staging',
  'waiting',
  'swapping',
  'probation',
];

/** The chain of a row with its `…` written out. */
function phasesOf(chain: string): string[] {
  const words = chain.split(' ').filter((word) => word !== '');
  if (words.at(-1) !== '…') return words;
  words.pop();
  const from = GOOD.indexOf(words.at(-1) ?? '');
  return [...words, ...GOOD.slice(from + 1), 'idle'];
}

async function strike(bench: Bench, [phase, kind]: Row): Promise<void> {
  if (kind === 'power cut') await bench.cutPower();
  else if (kind === 'superseded') bench.announce(bundles.get(NEWER) as SignedBundle, NEWER);
  else if (kind === 'halted') bench.halt(NEW);
  else assert.fail(`${phase}: ${kind} does not strike at an instant`);
}

/** Resolves to the end of what strikes at an instant of its own. */
async function play(bench: Bench, row: Row): Promise<() => Promise<void>> {
  const [phase, kind, when] = row;
  const isInstant = kind === 'power cut' || kind === 'superseded' || kind === 'halted';
  if (phase === 'rolling_back' || phase === 'stuck') await sick(bench);
  if (phase === 'stuck') await TROUBLES['the old version never starts']?.(bench, phase);
  if (!isInstant) {
    const bring = TROUBLES[when];
    assert.ok(bring ?? /payload is|index/.test(when), `no way is known to make: ${when}`);
    await bring?.(bench, phase);
  }
  let struck = false;
  let stricken: Promise<void> = Promise.resolve();
  const end = () => stricken;
  bench.onPhase = (told) => {
    if (!isInstant || struck || told !== phase) return;
    struck = true;
    stricken = strike(bench, row);
    stricken.catch(() => undefined); // it is awaited in the end
  };
  if (isInstant && phase === 'idle') {
    struck = true;
    await strike(bench, row);
    if (kind === 'superseded') return end;
  }
  bench.announce(await bundleFor(when), NEW, { health_timeout_s: 1 });
  return end;
}

/** Robots that update at one instant: more would wait for the disk and the two cores. */
const ROWS_AT_ONCE = 12;

describe('in every phase', { concurrency: ROWS_AT_ONCE }, () => {
  for (const row of CASES) {
    const [phase, , when, chain, codes, version] = row;
    it(`${phase}, when ${when}: runs ${version}${codes && `, says ${codes}`}`, async (t) => {
      const bench = await Bench.open(t);
      const struck = await play(bench, row);
      const want = { phases: phasesOf(chain).join(' '), codes };
      const got = () => ({ phases: bench.phases.join(' '), codes: bench.codes.join(' ') });
      const arrived = (): boolean => JSON.stringify(got()) === JSON.stringify(want);
      // The time-out decides nothing here: a difference that is left fails below.
      await waitUntil('the chain', arrived, { timeoutMs: 25_000 }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await struck();
      assert.deepEqual(got(), want, bench.describe());
      assert.equal(bench.component.view.version, version);
      const file = join(bench.root, 'active/VERSION.txt');
      assert.equal(await readFile(file, 'utf8'), `${version}\n`);

      await bench.heal();
      bench.announce(bundles.get(NEXT) as SignedBundle, NEXT);
      await bench.runs(NEXT);
    });
  }
});

describe('the matrix', () => {
  it('has a row for every phase and every kind of trouble that can meet it', () => {
    const kinds: Kind[] = ['error', 'hang', 'power cut', 'superseded', 'halted'];
    const all = PHASES.flatMap((phase) => kinds.map((kind) => `${phase} ${kind}`));
    const have = new Set(CASES.map(([phase, kind]) => `${phase} ${kind}`));
    assert.deepEqual(
      all.filter((one) => !have.has(one)),
      IMPOSSIBLE,
    );
  });
});

describe('a closed interlock', () => {
  it('says what the ready hook said, and how it ended', async (t) => {
    const bench = await Bench.open(t);
    await bench.hook('ready', once('asked', 'echo no bus; exit 1'));
    bench.announce(bundles.get(NEW) as SignedBundle, NEW);
    await waitUntil('the reason', () => bench.waits.length > 0);
    assert.deepEqual(bench.waits, ['the ready hook (exit 1 (no bus))']);
    await bench.runs(NEW);
  });
});
