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

export const clockTime = (instant: string | number): string =>
  new Date(instant).toLocaleTimeString();

export const spaced = (word: string): string => word.replaceAll('_', ' ');

/** 1234.5 is `1230`, 0.01234 is `0.0123`. */
export function rounded(value: number | null): string {
  if (value === null) return 'unknown';
  return value === 0 ? '0' : String(Number(value.toPrecision(3)));
}

export const robotCount = (count: number): string => (count === 1 ? '1 robot' : `${count} robots`);
