/**
 * Builds elements, and words for numbers and instants. Texts become text and never markup: a robot
 * may send hostile ones. The content policy of the page refuses everything else as well.
 */

type Child = Node | string | null;

interface Attributes {
  readonly class?: string;
  readonly text?: string;
  readonly [name: string]: string | undefined;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  const { text, class: className, ...others } = attributes;
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function makeSvg(
  tag: string,
  attributes: Readonly<Record<string, string | number>>,
  ...children: readonly Node[]
): SVGElement {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** An element that page.html has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new TypeError(`page.html has no element ${id}`);
  return found as T;
}

const drawn = new WeakMap<Element, string>();

/**
 * Draws again only when the data has changed: a person may have selected a text there, or have the
 * focus on a button.
 */
export function redraw(parent: Element, data: unknown, draw: () => readonly Node[]): void {
  const key = JSON.stringify(data);
  if (drawn.get(parent) === key) return;
  drawn.set(parent, key);
  parent.replaceChildren(...draw());
}

/** A link to a robot's own page. */
export const robotLink = (robot: string): HTMLAnchorElement =>
  make('a', { text: robot, href: `#/robots/${encodeURIComponent(robot)}` });

export const rolloutLink = (rollout: string, text = rollout): HTMLAnchorElement =>
  make('a', { text, href: `#/rollouts/${encodeURIComponent(rollout)}` });

/** `2 min ago`, of an ISO instant. */
export function ago(instant: string | null): string {
  if (!instant) return 'not since the broker started';
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 129_600
    ? `${Math.round(seconds / 3600)} h ago`
    : `${Math.round(seconds / 86_400)} d ago`;
}

/** The parts of `2026-11-30 10:34:43 GMT+1`; `en-GB` gives a clock of 24 hours. */
const PARTS = new Intl.DateTimeFormat('en-GB', {
  ...{ year: 'numeric', month: '2-digit', day: '2-digit' },
  ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short' },
});

/** An instant in the browser's zone, which it names: `2026-11-30 10:34:43 GMT+1`. */
export function localTime(instant: string | number): string {
  const at = new Date(instant);
  if (Number.isNaN(at.getTime())) return String(instant);
  const part = Object.fromEntries(PARTS.formatToParts(at).map(({ type, value }) => [type, value]));
  const day = `${part['year']}-${part['month']}-${part['day']}`;
  const clock = `${part['hour']}:${part['minute']}:${part['second']}`;
  return `${day} ${clock} ${part['timeZoneName']}`;
}

/** The same as an element that has the instant in UTC as its title. */
export const timeMark = (instant: string): HTMLTimeElement =>
  make('time', { datetime: instant, title: instant, text: localTime(instant) });

/** Facts behind each other, and since when they are shown, in the head of the page. */
export function showHead(facts: readonly string[]): void {
  const now = Date.now();
  byId('link').textContent = [...facts, localTime(now)].join(' \u00b7 ');
  byId('link').title = new Date(now).toISOString();
}

export const spaced = (word: string): string => word.replaceAll('_', ' ');

/** 1234.5 is `1230`, 0.01234 is `0.0123`. */
export function rounded(value: number | null): string {
  if (value === null) return 'unknown';
  return value === 0 ? '0' : String(Number(value.toPrecision(3)));
}

export const robotCount = (count: number): string => (count === 1 ? '1 robot' : `${count} robots`);
