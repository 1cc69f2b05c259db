/** `--help` of every verb: what is required, and where else an option may come from. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BROKER_PROGRAM } from '../../broker/commands/program.ts';
import { wordsOf } from '../../docs/cli-page.ts';
import { ENVIRONMENT } from '../../docs/environment.ts';
import { PUBLISHER_PROGRAM } from '../../publisher/commands/program.ts';
import { NEEDED_ELSEWHERE, PROFILE_OPTIONS } from '../../publisher/profiles/profiles.ts';
import { ROBOT_PROGRAM } from '../../robot-client/commands/program.ts';
import { parserOf, type CommandLine } from '../../shared/io/command-line.ts';

const PROGRAMS: readonly CommandLine[] = [PUBLISHER_PROGRAM, BROKER_PROGRAM, ROBOT_PROGRAM];
/** An option has one line. */
const WIDE = 1_000;

/** Lines of the options of a verb, by name. */
async function optionsOf(
  line: CommandLine,
  words: readonly string[],
): Promise<Map<string, string>> {
  const help = await parserOf(line, words, WIDE).getHelp();
  const found = help.split('\n').flatMap((text) => {
    const name = /^ +--([a-z0-9-]+) /.exec(text)?.[1];
    return name === undefined ? [] : [[name, text] as const];
  });
  return new Map(found);
}

/** Variables that stand in for an option, of the table that docs/environment.md is made from. */
const variablesOf = (program: string): [option: string, variable: string][] =>
  Object.entries(ENVIRONMENT).flatMap(([variable, { programs, way, meaning }]) =>
    way === 'read' && (programs as readonly string[]).includes(program)
      ? [...meaning.matchAll(/(?:where|neither) --([a-z-]+)[ ,]/g)].map(([, option = '']) => {
          return [option, variable] as [string, string];
        })
      : [],
  );

/** Another option of that name, which reads no variable: a key to print, a new folder. */
const OTHERS: readonly string[] = [
  ...['doctor --key', 'log key --key', 'enrol --identity', 'pair --id'],
  // A broker changes what these do, so only their own option names one.
  ...['export --url', 'report import --url'],
];

for (const line of PROGRAMS) {
  test(`${line.program}: no verb calls an option required that a variable, a URL or the profile may give, and each names these`, async () => {
    const wrong: string[] = [];
    let seen = 0;
    for (const words of wordsOf(line)) {
      const options = await optionsOf(line, words);
      for (const [option, variable] of variablesOf(line.program)) {
        const text = options.get(option);
        const name = `${words.length === 0 ? line.program : words.join(' ')} --${option}`;
        if (text === undefined || OTHERS.includes(name) || words[0] === 'config') continue;
        seen += 1;
        if (text.includes('[required]') || !text.includes(variable)) wrong.push(name);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(seen > 0, 'some verb has such an option');
  });
}

for (const line of PROGRAMS) {
  test(`${line.program}: --help of each verb asks for no option that the verb needs`, async () => {
    for (const words of wordsOf(line)) {
      let printed = '';
      const asked = [...words, '--help'];
      await parserOf(line, asked).parseAsync(asked, {}, (_error, _argv, output) => {
        printed = output;
      });
      assert.match(printed, /--help +Show help/, words.join(' '));
    }
  });
}

test('drover: what a profile fills in is never called required, and says so where it is needed', async () => {
  const wrong: string[] = [];
  const needed: string[] = [];
  for (const words of wordsOf(PUBLISHER_PROGRAM)) {
    if (words[0] === 'config') continue;
    const options = await optionsOf(PUBLISHER_PROGRAM, words);
    for (const option of PROFILE_OPTIONS) {
      const text = options.get(option);
      if (text === undefined) continue;
      if (text.includes('[required]')) wrong.push(`${words.join(' ')} --${option}`);
      const where = NEEDED_ELSEWHERE[option as keyof typeof NEEDED_ELSEWHERE];
      if (where !== undefined && text.includes(where)) needed.push(`${words.join(' ')} ${option}`);
    }
  }
  assert.deepEqual(wrong, []);
  for (const one of ['publish broker', 'publish trust', 'verify trust', 'trust rotate trust']) {
    assert.ok(needed.includes(one), one);
  }
  assert.ok(!needed.some((one) => /^(?:fleet|doctor|rollout list)/.test(one)), needed.join());
});
