/**
 * Runs the command line of a program: the three programs differ in their commands and in nothing
 * else. `parserOf` is what the programs run and what docs/cli.md is generated from.
 */

import yargs, { type Argv } from 'yargs';
import { DroverError, nullIfFailed } from '../base/errors.ts';
import { dropEmptyVariables } from './cli-options.ts';
import { runProgram, writeAnswer } from './cli.ts';
import { completionCommand, isCompletion, suggestionsOf, suggestMain } from './completion.ts';

/** Adds one command, with its options and its handler. */
export type Command = (argv: Argv) => Argv;

export interface CommandLine {
  readonly program: string;
  /** One sentence for `--help`. */
  readonly does: string;
  readonly commands: Readonly<Record<string, Command>>;
  /** Commands of a command: `trust` has `init`, `rotate` and others. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** The work without a command; null when a command must be named. */
  readonly main: Command | null;
  /** Options that may be given several times; every other one is refused the second time. */
  readonly lists: readonly string[];
  /** Options of every command, hidden in `--help`, and values for what was not given. */
  readonly everywhere?: {
    readonly options: (argv: Argv, names: readonly string[]) => Argv;
    /** Says in `--help` of the program where values come from that were not given. */
    readonly note: string;
    /** @throws DroverError when a value cannot be found */
    fill(parsed: ParsedWords): void;
    /** Options that are needed where `--help` shows these words as their default, for `fill`. */
    readonly elsewhere: Readonly<Record<string, string>>;
    /** The ways to give them. */
    readonly neededHint: string;
    /** Values that a shell may complete. */
    names(): readonly string[];
  };
  /**
   * Returns words to run in place of those that were refused, after it has told about it; null when
   * the refusal stands. A refusal comes before anything is done.
   */
  inPlaceOf?(words: readonly string[], refusal: DroverError): readonly string[] | null;
}

/** The words of a command line, and the options of the command that they name. */
export interface ParsedWords {
  /** May be changed. */
  readonly argv: Record<string, unknown>;
  readonly declared: ReadonlySet<string>;
  readonly demanded: ReadonlySet<string>;
}

/** Columns of `--help` on a wide terminal and in docs/cli.md. */
export const HELP_COLUMNS = 100;

/** @throws DroverError USAGE when it parses what it does not understand */
export function parserOf(
  line: CommandLine,
  words: readonly string[],
  columns = Math.min(HELP_COLUMNS, process.stdout.columns || HELP_COLUMNS),
  names: readonly string[] = [],
): Argv {
  const parser = yargs([...words])
    .scriptName(line.program)
    .usage(`$0${line.main ? ' [command]' : ''}: ${line.does}`)
    .version(false) // `--version` is the version of a bundle in some commands
    .option('debug', { type: 'boolean', hidden: true, describe: 'print the trace of a bug' })
    .option('color', { type: 'boolean', hidden: true, describe: 'colours on a terminal' })
    .parserConfiguration({ 'parse-positional-numbers': false, 'duplicate-arguments-array': true })
    .middleware((argv) => {
      if (argv.debug === true) process.env['DROVER_DEBUG'] = '1';
      assertGivenOnce(argv, line.lists);
    }, true)
    .strict()
    .exitProcess(false)
    .recommendCommands()
    .wrap(columns)
    .epilogue(epilogueOf(line))
    .fail((message, error) => {
      throw asUsage(message, error);
    });
  line.everywhere?.options(parser, names);
  if (line.everywhere && !isCompletion(words)) fillWith(parser, line.everywhere);
  addMain(parser, line, words);
  for (const command of Object.values(commandsOf(line))) command(parser);
  return parser;
}

const epilogueOf = ({ everywhere }: CommandLine): string =>
  [...(everywhere ? [everywhere.note] : []), COLOURS, EXIT_CODES].join('\n');
const COLOURS = 'A terminal gets colours; --no-color, or NO_COLOR, turns them off.';
const EXIT_CODES = 'Exit codes: 0 ok, 1 our bug, 2 usage, 3 refused, 4 unreachable, 5 robots left.';

/** yargs gives a middleware the parser of the command as well, which its types leave out. */
interface CommandParser {
  getOptions(): {
    readonly key: Readonly<Record<string, unknown>>;
    readonly defaultDescription: Readonly<Record<string, string | undefined>>;
  };
}

type Everywhere = NonNullable<CommandLine['everywhere']>;

/**
 * An option that `fill` may find is not demanded of the parser, which would call it required in
 * `--help`: that it is there is checked here.
 */
function fillWith(parser: Argv, { fill, elsewhere, neededHint }: Everywhere): void {
  // Not async: yargs would report what it cannot parse as an error of the command.
  const middleware = (argv: Record<string, unknown>, command?: CommandParser): void => {
    if (!command || argv['help'] === true) return;
    const { key, defaultDescription } = command.getOptions();
    const needed = Object.keys(elsewhere).filter(
      (name) => defaultDescription[name] === elsewhere[name],
    );
    fill({ argv, declared: new Set(Object.keys(key)), demanded: new Set(needed) });
    const missing = needed.filter((name) => argv[name] === undefined);
    if (missing.length === 0) return;
    const what = `missing required argument${missing.length > 1 ? 's' : ''}`;
    throw new DroverError('USAGE', `${what}: ${missing.join(', ')}`, { hint: neededHint });
  };
  parser.middleware(middleware, true);
}

function addMain(parser: Argv, line: CommandLine, words: readonly string[]): void {
  if (!line.main) return void parser.demandCommand(1, 'name a command');
  if (!isCompletion(words)) return void line.main(parser);
  // Options at the top would be suggested for every command as well.
  const isNamed = words.some((word) => Object.hasOwn(commandsOf(line), word));
  if (!isNamed) suggestMain(parser, line.main);
}

/** Those of the program, and those that every program has. */
export const commandsOf = ({
  program,
  commands,
}: Pick<CommandLine, 'program' | 'commands'>): CommandLine['commands'] => ({
  ...commands,
  completion: completionCommand(program),
});

/** None where half a line would be refused. */
export const suggestions = async (
  line: CommandLine,
  words: readonly string[],
): Promise<readonly string[]> =>
  (await nullIfFailed(
    suggestionsOf(parserOf(line, words, HELP_COLUMNS, line.everywhere?.names() ?? []), words),
  )) ?? [];

/** Runs the command of this process and sets its exit code; the process ends when its work has. */
export async function runCommandLine(line: CommandLine): Promise<void> {
  dropEmptyVariables(process.env);
  await runProgram(line.program, async () => {
    const words = process.argv.slice(2);
    if (isCompletion(words)) {
      for (const one of await suggestions(line, words)) writeAnswer(one);
      return;
    }
    assertKnownCommand(words, line);
    try {
      await parserOf(line, words).parseAsync();
    } catch (thrown) {
      const isUsage = thrown instanceof DroverError && thrown.code === 'USAGE';
      const instead = isUsage ? line.inPlaceOf?.(words, thrown) : null;
      if (!instead) throw thrown;
      await parserOf(line, instead).parseAsync();
    }
  });
}

/** A second value for an option that takes one is a mistake, never "the last one wins". */
function assertGivenOnce(argv: Record<string, unknown>, lists: readonly string[]): void {
  for (const [name, value] of Object.entries(argv)) {
    if (name === '_' || !Array.isArray(value)) continue;
    const dashed = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (lists.includes(dashed)) continue;
    throw new DroverError('USAGE', `read --${dashed}: given ${value.length} times (want once)`);
  }
}

/** An error of yargs is a usage error; an error of a command stays as it is. */
function asUsage(message: string | null, error: Error | undefined): Error {
  if (error !== undefined && error.name !== 'YError') return error;
  const text = wantedBeside(message ?? error?.message ?? 'not understood');
  return new DroverError('USAGE', text.charAt(0).toLowerCase() + text.slice(1));
}

/** When an option requires another one, yargs only says `upstream -> trust`. */
function wantedBeside(text: string): string {
  if (!text.startsWith('Implications failed:')) return text;
  const pairs = [...text.matchAll(/^\s*(\S+) -> (\S+)\s*$/gm)];
  return pairs.map(([, given, wanted]) => `--${given} needs --${wanted} as well`).join('; ');
}

/** An unknown command is named before options are missed. @throws DroverError USAGE */
function assertKnownCommand(words: readonly string[], line: CommandLine): void {
  const [first, second] = words.filter((word) => word !== '--json' && word !== '--debug');
  if (first === undefined || first.startsWith('-')) return;
  const known = Object.keys(commandsOf(line));
  if (!known.includes(first)) throw unknownCommand(first, known, line.main ? ', or none' : '');
  const group = line.groups && Object.hasOwn(line.groups, first) ? line.groups[first] : undefined;
  if (!group || second === undefined || second.startsWith('-') || group.includes(second)) return;
  throw unknownCommand(`${first} ${second}`, group, '');
}

function unknownCommand(got: string, known: readonly string[], orNone: string): DroverError {
  const hint = `give one of ${known.join(', ')}${orNone}; --help says what each does`;
  return new DroverError('USAGE', `unknown command: ${got.slice(0, 80)}`, { hint });
}
