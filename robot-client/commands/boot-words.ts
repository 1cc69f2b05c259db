/**
 * The command line of `recover` at boot when it has a mistake. A robot whose application needs
 * `recover` must not stay down because of one mistyped option, so `recover` then runs with the
 * options that say where things are, and with defaults for all others. Sans-I/O.
 */

/** Options that are kept: they name places. `recover` reads any text in them. */
const PLACES: readonly string[] = ['--root', '--hooks', '--modules', '--socket', '--boot'];
/** May be given several times. */
const LISTS: readonly string[] = ['--root'];
/** A person runs it with these, and reads the refusal. */
const BY_HAND = /^--(?:no-boot$|boot=false$|(?:release|help)(?:=|$))/;

/**
 * Returns the words to run in place of those that were refused; null when the refusal stands: it
 * is not `recover`, a person runs it, or there is nothing to leave out.
 */
export function bootWords(words: readonly string[], isByHand: boolean): string[] | null {
  const [command, ...rest] = words;
  if (command !== 'recover' || isByHand || rest.some((word) => BY_HAND.test(word))) return null;
  const kept: string[] = [command];
  const seen = new Set<string>();
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at] ?? '';
    const [name, joined] = split(word);
    if (word === '--json') kept.push(word);
    if (!PLACES.includes(name)) continue;
    const next = rest[at + 1];
    const value = joined ?? (next?.startsWith('-') === true ? undefined : next);
    if (value === undefined || value === '') continue;
    if (joined === undefined) at += 1;
    if (seen.has(name) && !LISTS.includes(name)) continue;
    seen.add(name);
    kept.push(`${name}=${value}`);
  }
  return kept.join(' ') === words.join(' ') ? null : kept;
}

function split(word: string): [string, string?] {
  const at = word.indexOf('=');
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}
