/** MQTT topic filters against topics (MQTT 3.1.1 §4.7). Sans-I/O. */

/** `+` is one level, `#` is the parent and everything below; neither matches a topic that begins
 * with `$` at the first level [MQTT-4.7.2-1]. */
export function filterMatches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (const [at, level] of wanted.entries()) {
    if (level === '#') return at === wanted.length - 1; // also its parent: `a/#` matches `a`
    if (at >= levels.length) return false;
    if (level !== '+' && level !== levels[at]) return false;
  }
  return wanted.length === levels.length;
}
