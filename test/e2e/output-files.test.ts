/**
 * Files that a person names for the answer of a command: nothing that stands there is lost, whether
 * it is a private key, a trust.json or a colleague's signature.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, test, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startBrokerChild } from './broker-child.ts';
import { LogStage } from './log-stage.ts';
import { makeKey } from './site-making.ts';

const PRECIOUS = 'what nobody has twice';

async function openStage(t: TestContext) {
  const stage = await LogStage.open(t, 'quorum none');
  const { site } = stage;
  const { url, httpUrl } = await startBrokerChild(t, {});
  const bundle = await site.bundle('1.0.0');
  await stage.add(url, bundle, '--new');
  await site.publish(url, bundle);
  await makeKey(site.path('rollout-2'));
  const trust = ['--trust', site.path('trust.json')];
  const rotate = ['trust', 'rotate', ...trust, '--rollout', site.path('rollout-2.pub')];
  await site.drover(...rotate, ...rootKey(stage), '--out', site.path('trust-2.json'));
  return { stage, site, url, httpUrl, bundle, trust, rotate };
}

const rootKey = ({ site }: LogStage): string[] => ['--key', site.path('release.key')];

/** Commands by the option that names their file. */
async function commandsOf(t: TestContext) {
  const { stage, site, url, httpUrl, trust, rotate, bundle } = await openStage(t);
  const broker = ['--broker', url, ...trust];
  const by = ['--key', site.path('rollout.key')];
  const next = await site.bundle('1.1.0');
  const api = ['rollout', 'withdraw', 'app-none', '--yes'];
  const update = site.path('trust-2.json.update');
  const by2 = ['--key', site.path('rollout-2.key'), '--fresh'];
  const pub = ['--release', site.path('release.pub'), '--rollout', site.path('rollout.pub')];
  const commands: readonly (readonly string[])[] = [
    ['publish', next, ...broker, ...by, '--waves', '100', '--announcement-out'],
    [...api, ...broker, ...by, '--announcement-out'],
    ['trust', 'publish', update, ...broker, ...by2, '--announcement-out'],
    [...rotate, ...rootKey(stage), '--out'],
    ['trust', 'init', '--fleet', 'test', ...pub, '--out'],
    ['report', 'export', '--site', 'hall', ...broker, ...by, '--out'],
    ['export', next, ...trust, '--out'],
    ['pack', bundle, '--out'],
    ['fleet', 'logs', 'r1', '--broker', url, '--out'],
    ['audit', 'export', '--api', httpUrl, '--out'],
    [...stage.verifyArgs(url), '--save'],
  ];
  return { site, commands };
}

describe('files that a command writes', () => {
  it('never stand where another file stood', async (t) => {
    const { site, commands } = await commandsOf(t);
    const path = site.path('precious');
    await writeFile(path, PRECIOUS);
    for (const words of commands) {
      const child = await site.tryDrover({}, ...words, path, '--json');
      assert.match(child.stdout, /"code":"FILE_EXISTS"/, child.describe());
      assert.equal(child.ended?.code, 2, child.describe());
      assert.equal(await readFile(path, 'utf8'), PRECIOUS, words.join(' '));
    }
    const key = site.path('log.key');
    const before = await readFile(key);
    const made = await site.tryDrover({}, 'keygen', '--out', site.path('log'), '--json');
    assert.match(made.stdout, /FILE_EXISTS/);
    assert.deepEqual(await readFile(key), before);
  });

  it('are refused in a dry run as well, before anything is sent', async (t) => {
    const { site, commands } = await commandsOf(t);
    const path = site.path('precious');
    await writeFile(path, PRECIOUS);
    for (const words of commands.slice(0, 6)) {
      const child = await site.tryDrover({}, ...words, path, '--dry-run', '--json');
      assert.match(child.stdout, /"code":"FILE_EXISTS"/, child.describe());
    }
  });

  it('are readable for the people who sign next, when they are new', async (t) => {
    const { site, commands } = await commandsOf(t);
    const path = site.path('new.announcement');
    const child = await site.tryDrover({}, ...(commands[0] ?? []), path);
    assert.equal(child.ended?.code, 0, child.describe());
    assert.equal((await stat(path)).mode & 0o777 & ~0o022, 0o644);
  });

  it('of a rotation stand both or neither', async (t) => {
    const { site, commands } = await commandsOf(t);
    await writeFile(site.path('trust-3.json.update'), PRECIOUS);
    const child = await site.tryDrover({}, ...(commands[3] ?? []), site.path('trust-3.json'));
    assert.match(child.describe(), /FILE_EXISTS/);
    await assert.rejects(stat(site.path('trust-3.json')), /ENOENT/);
  });
});

test('secrets of robots never stand where another file stood, and nothing is made then', async (t) => {
  const folder = await tempFolder(t);
  const [file, data, path] = ['users.json', 'data', 'precious'].map((name) => join(folder, name));
  assert.ok(file && data && path);
  await writeFile(path, PRECIOUS);
  const drover = async (...words: string[]) => {
    const child = startDrover(t, 'broker', [...words, '--json']);
    await child.exit;
    return child;
  };
  const robots = ['--count', '2', '--prefix', 'r-'];
  for (const words of [
    ['passwd', '--file', file, '--role', 'robot', ...robots],
    ['enrol', '--data', data, ...robots],
  ]) {
    const child = await drover(...words, '--out', path);
    assert.match(child.stdout, /"code":"FILE_EXISTS"/, child.describe());
    assert.equal(await readFile(path, 'utf8'), PRECIOUS, words.join(' '));
  }
  await assert.rejects(stat(file), /ENOENT/, 'no user was made');
  const list = await drover('enrol', 'list', '--data', data);
  assert.doesNotMatch(list.stdout, /r-/, list.describe());
});

test('keys of an authority or of a pair of computers are written over no other file', async (t) => {
  const folder = await tempFolder(t);
  const taken = ['ca.key', 'ca2.crt', 'pair.json'].map((name) => join(folder, name));
  for (const path of taken) await writeFile(path, PRECIOUS);
  const pair = ['pair', 'arm', '--id', 'r1', '--component', 'arm'];
  for (const [program, words, name] of [
    ['broker', ['ca', 'init'], 'ca'],
    ['broker', ['ca', 'init'], 'ca2'],
    ['robot-client', pair, 'pair.json'],
  ] as const) {
    const child = startDrover(t, program, [...words, '--out', join(folder, name), '--json']);
    await child.exit;
    assert.match(child.stdout, /"code":"FILE_EXISTS"/, child.describe());
  }
  for (const path of taken) assert.equal(await readFile(path, 'utf8'), PRECIOUS);
  assert.equal((await readdir(folder)).length, taken.length, 'nothing else was made');
});

test('log verify --save goes over an older checkpoint of the same log, and over nothing else', async (t) => {
  const stage = await LogStage.open(t, 'quorum none');
  const { site } = stage;
  const first = await startBrokerChild(t, {});
  await stage.add(first.url, await site.bundle('1.0.0'), '--new');
  const save = ['--save', site.path('seen.txt')];
  assert.equal(await stage.codeOf(...stage.verifyArgs(first.url, ...save)), null);
  await stage.add(first.url, await site.bundle('1.1.0'));
  assert.equal(await stage.codeOf(...stage.verifyArgs(first.url, ...save)), null);
  const seen = await readFile(site.path('seen.txt'), 'utf8');
  const other = await startBrokerChild(t, {});
  await stage.add(other.url, await site.bundle('6.6.6'), '--new');
  assert.equal(await stage.codeOf(...stage.verifyArgs(other.url, ...save)), 'LOG_REWRITTEN');
  assert.equal(await readFile(site.path('seen.txt'), 'utf8'), seen);
});

/** Options that name a file to write, by the module that has them. A new one wants a trial above. */
const KNOWN = [
  'broker/commands/backup.ts: out', // FILE_EXISTS in broker-backup.test.ts
  'broker/commands/ca.ts: out',
  'broker/commands/enrol.ts: out',
  'broker/commands/passwd.ts: out',
  'publisher/commands/audit.ts: out',
  'publisher/commands/build.ts: out', // in build.test.ts
  'publisher/commands/export.ts: out',
  'publisher/commands/fleet-logs.ts: out',
  'publisher/commands/keygen.ts: out',
  'publisher/commands/log-verify.ts: save',
  'publisher/commands/log-witness.ts: state', // read as a checkpoint of the log first
  'publisher/commands/options.ts: announcement-out',
  'publisher/commands/pack.ts: out',
  'publisher/commands/report.ts: out',
  'publisher/commands/rollout-attachment.ts: out', // in attachments.test.ts
  'publisher/commands/rollout-robots.ts: state', // a state of robots, no file
  'publisher/commands/trust-rotate.ts: out',
  'publisher/commands/trust.ts: out',
  'robot-client/commands/enrol.ts: out', // FILE_EXISTS in credential-file.test.ts
  'robot-client/commands/pair.ts: out',
];

test('every option that names a file to write has a trial that it overwrites nothing', () => {
  const found: string[] = [];
  for (const area of ['publisher', 'broker', 'robot-client', 'shared']) {
    for (const name of readdirSync(repositoryFile(area), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      const text = readFileSync(repositoryFile(join(area, name)), 'utf8');
      const options = text.matchAll(/\.option\('((?:[\w-]+-)?(?:out|save|state))'/g);
      for (const [, option] of options) found.push(`${area}/${name}: ${option}`);
    }
  }
  assert.deepEqual(found.toSorted(), KNOWN.toSorted());
});
