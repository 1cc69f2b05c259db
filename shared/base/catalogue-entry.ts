/**
 * The shape of one entry of the error catalogue, and the three kinds that most entries are.
 * Sans-I/O.
 */

/**
 * The party that has to act: `us` for a bug, `peer` the other side of a wire, `operator` a person.
 */
export type Fault = 'us' | 'peer' | 'operator';
/** `now` repeat at once, `later` repeat after a wait, `never` the same input fails again. */
export type Retry = 'now' | 'later' | 'never';
/** Exit codes of the command line. */
export type Exit = 1 | 2 | 3 | 4 | 5;

export interface CatalogueEntry {
  readonly fault: Fault;
  readonly retry: Retry;
  readonly exit: Exit;
  /** One imperative sentence: what to do now. */
  readonly hint: string;
}

export const usage = (hint: string): CatalogueEntry => ({
  fault: 'operator',
  retry: 'never',
  exit: 2,
  hint,
});
export const refused = (fault: Fault, hint: string, retry: Retry = 'never'): CatalogueEntry => ({
  fault,
  retry,
  exit: 3,
  hint,
});
/** It ended as far as it can by itself; the rest waits for a person at some robots. */
export const unfinished = (hint: string): CatalogueEntry => ({
  fault: 'operator',
  retry: 'later',
  exit: 5,
  hint,
});
export const unreachable = (hint: string): CatalogueEntry => ({
  fault: 'peer',
  retry: 'later',
  exit: 4,
  hint,
});
