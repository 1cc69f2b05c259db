/**
 * `completion [shell]` of the three programs: prints a script that completes commands and options
 * in a shell. The script asks the program itself, with an option that yargs answers.
 */

import yargs, { type Argv } from 'yargs';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** The first word of a request of such a script; the words so far stand behind it. */
const REQUEST = '--get-yargs-completions';

export const isCompletion = ([first]: readonly string[]): boolean => first === REQUEST;

/** The name of a command that is run without a name is no suggestion. */
export async function suggestionsOf(parser: Argv, words: readonly string[]): Promise<string[]> {
  let printed = '';
  await parser.parseAsync(words, {}, (_error: unknown, _argv: unknown, output: string) => {
    printed += `${output}\n`;
  });
  return printed.split('\n').filter((line) => line !== '' && !/^\$0\b/.test(line));
}

/**
 * Lets yargs suggest the options of the work without a command, which it does not do by itself.
 * @param main as in a CommandLine
 */
export function suggestMain(parser: Argv, main: (argv: Argv) => Argv): void {
  const command = (_name: string, _does: string, options: (argv: Argv) => Argv): Argv =>
    options(parser);
  main({ command } as unknown as Argv);
}

/** The login shell of this user, bash when it is another one. */
const ownShell = (): Shell =>
  SHELLS.find((one) => (process.env['SHELL'] ?? '').endsWith(`/${one}`)) ?? 'bash';

/** @param program for which the script is written, as it is called on PATH */
export const completionCommand =
  (program: string) =>
  (argv: Argv): Argv =>
    argv.command(
      'completion [shell]',
      'print a script that completes commands and options in a shell',
      (verb) =>
        verb
          .positional('shell', { choices: SHELLS, describe: 'default: that of SHELL, or bash' })
          .example('source <($0 completion bash)', 'in ~/.bashrc; zsh in ~/.zshrc')
          .example(`$0 completion fish > ~/.config/fish/completions/${program}.fish`, ''),
      ({ shell = ownShell() }) => {
        process.env['SHELL'] = `/bin/${shell}`; // yargs chooses the script by it, when it is made
        yargs([]).scriptName(program).showCompletionScript();
      },
    );
