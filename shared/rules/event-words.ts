/**
 * One step of a robot's component as one line: the same on the page, over HTTP and on a terminal.
 * The version in it is the one that the step is about, never the one that merely runs. Sans-I/O.
 */

/** An event as a robot reports it, or as the API shows it. */
export interface ToldEvent {
  readonly component: string;
  readonly from: string;
  readonly to: string;
  readonly event: string;
  /** The refused version of a refusal; of every other event the version that ran. */
  readonly version?: string | null | undefined;
  readonly target_version?: string | null | undefined;
  readonly problem?: { readonly code: string } | null | undefined;
}

/**
 * `app 2.0.0: waiting -> swapping, ready`, with the code of its problem behind it. The texts of an
 * event come from a robot: show the line with `printable`.
 */
export function eventText(event: ToldEvent): string {
  const { component, from, to, problem } = event;
  const version = subjectOf(event);
  const name = version === null ? component : `${component} ${version}`;
  const step = from === to ? from : `${from} -> ${to}`;
  return `${name}: ${step}, ${eventWord(event)}${problem ? ` (${problem.code})` : ''}`;
}

/** Null for an event that is about no release, such as a start. */
function subjectOf({ event, from, to, version, target_version: target }: ToldEvent): string | null {
  if (target != null) return target;
  // A refusal that changes no phase names what was refused; it never became a target.
  return event === 'refused' && from === to ? (version ?? null) : null;
}

/** An agent reports each of its starts like the return of the power, also its very first one. */
function eventWord({ event, from }: ToldEvent): string {
  if (event !== 'power_returned') return event;
  return from === 'idle' ? 'started' : 'started again';
}
