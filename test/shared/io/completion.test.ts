/** Completion in shells: the programs suggest their commands and options to a script. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { BROKER_PROGRAM } from '../../../broker/commands/program.ts';
import { PUBLISHER_PROGRAM } from '../../../publisher/commands/program.ts';
import { ROBOT_PROGRAM } from '../../../robot-client/commands/program.ts';
import { suggestions, type CommandLine } from '../../../shared/io/command-line.ts';
import { startChild } from '../../helpers/child.ts';
import { putPrograms } from '../../helpers/printed-stage.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

process.env['SHELL'] = '/bin/bash'; // in others a suggestion has its description

const suggested = (line: CommandLine, ...words: string[]): Promise<readonly string[]> =>
  suggestions(line, ['--get-yargs-completions', line.program, ...words]);

test('commands, commands of a command, and options are suggested', async () => {
  const top = await suggested(PUBLISHER_PROGRAM, '');
  assert.ok(top.includes('doctor') && top.includes('completion'), top.join());
  const group = await suggested(PUBLISHER_PROGRAM, 'trust', '');
  assert.deepEqual(group, ['init', 'rotate', 'sign', 'publish']);
  const options = await suggested(PUBLISHER_PROGRAM, 'doctor', '--');
  assert.ok(options.includes('--trust') && !options.includes('--emergency'), options.join());
});

test('options of the work without a command are suggested, and never its name $0', async () => {
  const options = await suggested(ROBOT_PROGRAM, '--');
  assert.ok(options.includes('--root'), options.join());
  const [top, enrol] = [
    await suggested(ROBOT_PROGRAM, ''),
    await suggested(BROKER_PROGRAM, 'enrol', ''),
  ];
  assert.ok(top.includes('explain') && enrol.includes('revoke'));
  for (const words of [top, enrol]) assert.ok(!words.some((word) => word.startsWith('$0')));
});

test('half a line that would be refused is completed without a failure', async () => {
  const options = await suggested(BROKER_PROGRAM, '--mqtt', 'abc', '--');
  assert.ok(options.length === 0 || options.includes('--data'), options.join());
});

test('bash completes with the script that the program prints', async (t) => {
  const home = await tempFolder(t);
  const bin = await putPrograms(home);
  const lines = [
    'source <(drover completion bash)',
    'COMP_WORDS=(drover rollout pa); COMP_CWORD=2',
    'eval "$(complete -p drover | sed "s/.*-F \\([^ ]*\\) .*/\\1/")"',
    'echo "${COMPREPLY[@]}"',
  ];
  await writeFile(join(home, 'run.sh'), lines.join('\n'));
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const child = startChild(t, 'bash', [join(home, 'run.sh')], { env });
  await child.exit;
  assert.equal(child.stdout.trim(), 'pause', child.stderr);
});
