/**
 * Names the errors of the system that Node has no name for. libuv knows neither a used-up quota
 * nor a damaged file system: Node then says `Unknown system error -122` as code and as message, and
 * a program that looks for `EDQUOT` never finds it. Numbers are those of Linux on the CPUs that
 * Node runs on. Sans-I/O.
 */

interface Named {
  readonly name: string;
  /** As strerror(3). */
  readonly words: string;
}

const UNNAMED: ReadonlyMap<number, Named> = new Map([
  [8, { name: 'ENOEXEC', words: 'exec format error' }],
  [52, { name: 'EBADE', words: 'invalid exchange' }],
  [67, { name: 'ENOLINK', words: 'link has been severed' }],
  [74, { name: 'EBADMSG', words: 'bad message' }],
  [116, { name: 'ESTALE', words: 'stale file handle' }],
  [117, { name: 'EUCLEAN', words: 'structure needs cleaning' }],
  [122, { name: 'EDQUOT', words: 'disk quota exceeded' }],
  [123, { name: 'ENOMEDIUM', words: 'no medium found' }],
  [133, { name: 'EHWPOISON', words: 'memory page has hardware error' }],
]);

/** A file system or its device cannot read or write: the machine needs repair, not its data. */
export const SICK_MEDIUM: readonly string[] = [
  ...['EIO', 'EUCLEAN', 'EBADMSG', 'ESTALE', 'EBADE', 'ENODATA', 'EHWPOISON'],
];

const UNKNOWN = /Unknown system error -(\d+)/;
/** The message has it twice: once as the code, once as its words. */
const UNKNOWN_TWICE = /Unknown system error -(\d+)(?:: Unknown system error -\1)?/g;

/** The name of an error of the system, such as `ENOSPC`; another code of Node's; '' without one. */
export function errnoOf(thrown: unknown): string {
  if (!(thrown instanceof Error) || !('code' in thrown)) return '';
  const code = String(thrown.code);
  return UNNAMED.get(Number(UNKNOWN.exec(code)?.[1]))?.name ?? code;
}

/** The message of an error, in which such an error has its name and its words. */
export function wordsOfErrno(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.replaceAll(UNKNOWN_TWICE, (unknown: string, number: string) => {
    const known = UNNAMED.get(Number(number));
    return known ? `${known.name}: ${known.words}` : unknown;
  });
}
