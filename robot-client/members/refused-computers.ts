/**
 * Computers that the leader gave no connection: without them a wrong pair file shows on the other
 * computer alone. Names come from strangers, so lines and entries are few.
 */

import type { TLSSocket } from 'node:tls';
import { instantText } from '../../shared/base/durations.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { printable } from '../../shared/base/printable.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';

const CODE = 'COMPUTER_REFUSED';
const NAME_CHARS_MAX = 64;

export class RefusedComputers {
  readonly #log: Log;
  readonly #seldom: SeldomLog;
  readonly #known: ReadonlySet<string>;
  readonly #now: () => EpochMs;
  /** The name and the address of each connection: a closed socket has lost them. */
  readonly #asked = new WeakMap<TLSSocket, { readonly name: string; readonly from: string }>();
  /** The last refusal of each kind. */
  readonly #last = new Map<string, { readonly why: string; readonly atMs: EpochMs }>();

  /** @param known computers that have a pair file here */
  constructor(known: readonly string[], log: Log, now: () => EpochMs) {
    this.#log = log;
    this.#known = new Set(known);
    this.#now = now;
    this.#seldom = new SeldomLog(log, LIMITS.memberRefusedLogMs, () => performance.now());
  }

  asked(socket: TLSSocket, name: string): void {
    this.#asked.set(socket, { name, from: socket.remoteAddress ?? 'an unknown address' });
  }

  refused(socket: TLSSocket, error: string): void {
    const asked = this.#asked.get(socket);
    if (!asked) {
      this.#log.debug({ error }, 'refused a connection that does not speak as a computer of ours');
      return;
    }
    const { name, from } = asked;
    const isKnown = this.#known.has(name);
    const shown = printable(name, NAME_CHARS_MAX);
    const why = isKnown
      ? `computer ${shown} at ${from}: its secret is not the one of its pair file here`
      : `computer ${shown} at ${from}: it has no pair file here`;
    // All names of strangers are one kind: they may be any number.
    const kind = isKnown ? name : '';
    this.#last.set(kind, { why, atMs: this.#now() });
    const { hint } = CATALOGUE[CODE];
    this.#seldom.warn(kind, { code: CODE, why, hint }, 'a computer of this robot was refused');
  }

  /** Why those were refused that still try. */
  get current(): string[] {
    const now = this.#now();
    return [...this.#last.values()].flatMap(({ why, atMs }) => {
      const isOld = Math.abs(now - atMs) > LIMITS.memberRefusedShownMs;
      return isOld ? [] : [`${why}, last at ${instantText(atMs)}`];
    });
  }

  /** Lines for `drover-robot explain`. */
  explain(): string[] {
    const lines = this.current.map((why) => `refused ${why} (${CODE})`);
    return lines.length === 0 ? [] : [...lines, `  hint: ${CATALOGUE[CODE].hint}`];
  }
}
