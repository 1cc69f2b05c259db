/**
 * Finds the sessions that a message is queued for, by the topic and their filters. Aedes' own index
 * drops a wide filter when the same session adds a narrow one of another QoS within it, and so
 * loses acknowledged messages. Here each filter stands by itself, and a session counts with the
 * highest QoS of its matching filters (MQTT 3.1.1 §3.3.5). Sans-I/O.
 */

interface Level {
  readonly below: Map<string, Level>;
  /** Sessions with a filter that ends at this level, with its QoS. */
  readonly ends: Map<string, 1 | 2>;
}

const emptyLevel = (): Level => ({ below: new Map(), ends: new Map() });

export class SessionFilters {
  readonly #root = emptyLevel();
  readonly #filters = new Map<string, Set<string>>();

  /** Sessions with at least one filter. */
  get sessions(): number {
    return this.#filters.size;
  }

  has(session: string): boolean {
    return this.#filters.has(session);
  }

  /** Adds or replaces a filter; a QoS of 0 queues nothing. */
  set(session: string, filter: string, qos: number): void {
    this.delete(session, filter);
    const filters = this.#filters.get(session) ?? new Set();
    this.#filters.set(session, filters.add(filter));
    if (qos === 0) return;
    let level = this.#root;
    for (const part of filter.split('/')) {
      const next = level.below.get(part) ?? emptyLevel();
      level.below.set(part, next);
      level = next;
    }
    level.ends.set(session, qos === 2 ? 2 : 1);
  }

  delete(session: string, filter: string): void {
    const filters = this.#filters.get(session);
    if (!filters?.delete(filter)) return;
    if (filters.size === 0) this.#filters.delete(session);
    remove(this.#root, filter.split('/'), session);
  }

  /** Each session once, with its highest QoS. */
  match(topic: string): { clientId: string; qos: 1 | 2; topic: string }[] {
    const found = new Map<string, 1 | 2>();
    collect(this.#root, topic.split('/'), found);
    return [...found].map(([clientId, qos]) => ({ clientId, qos, topic }));
  }
}

/** Removes empty levels on the way back: sessions come and go for ever. */
function remove(level: Level, [part, ...rest]: readonly string[], session: string): void {
  if (part === undefined) return void level.ends.delete(session);
  const next = level.below.get(part);
  if (!next) return;
  remove(next, rest, session);
  if (next.below.size === 0 && next.ends.size === 0) level.below.delete(part);
}

function collect(root: Level, topic: readonly string[], found: Map<string, 1 | 2>): void {
  const add = (level: Level | undefined): void => {
    for (const [session, qos] of level?.ends ?? []) {
      if (qos > (found.get(session) ?? 0)) found.set(session, qos);
    }
  };
  const isSystem = topic[0]?.startsWith('$') === true;
  let levels = [root];
  for (const [at, part] of topic.entries()) {
    const isWild = at > 0 || !isSystem; // [MQTT-4.7.2-1]
    if (isWild) for (const level of levels) add(level.below.get('#'));
    levels = levels.flatMap(({ below }) =>
      [below.get(part), isWild ? below.get('+') : undefined].filter((one) => one !== undefined),
    );
  }
  for (const level of levels) {
    add(level);
    add(level.below.get('#')); // `a/#` matches `a`
  }
}
