/**
 * Runs a page's own script on just as much of a browser as it uses, and gives back the text that a
 * person would read. Elements hold text and children and know no markup, so whatever a script could
 * do with markup fails here.
 */

import { createContext, Script } from 'node:vm';
import type { Scope } from './scope.ts';

type Child = Element | string;

class Element {
  readonly tag: string;
  className = '';
  hidden = false;
  title = '';
  value = '';
  readonly style: Record<string, unknown> = {};
  #children: Child[] = [];

  constructor(tag: string) {
    this.tag = tag;
  }

  append(...more: Child[]): void {
    this.#children.push(...more);
  }

  prepend(...more: Child[]): void {
    this.#children.unshift(...more);
  }

  replaceChildren(...all: Child[]): void {
    this.#children = all;
  }

  set textContent(text: string) {
    this.#children = [String(text)];
  }

  get textContent(): string {
    return this.#children
      .map((one) => (typeof one === 'string' ? one : one.textContent))
      .join(' | ');
  }

  all(tag: string): Element[] {
    const below = this.#children.filter((one): one is Element => typeof one !== 'string');
    return below.flatMap((one) => [...(one.tag === tag ? [one] : []), ...one.all(tag)]);
  }

  addEventListener(): void {}
}

export interface Page {
  /** Text of the element with this id. */
  text(id: string): string;
  /** Texts of its descendants of one kind. */
  texts(id: string, tag: string): string[];
}

/** Loads a page and runs its script until the test ends. */
export async function openPage(scope: Scope, url: string): Promise<Page> {
  const html = await (await fetch(url)).text();
  const script = /<script>([^]*)<\/script>/.exec(html)?.[1];
  if (script === undefined) throw new Error('the page has no script');
  const byId = new Map(
    [...html.matchAll(/ id="([a-z]+)"/g)].map(([, id]) => [id, new Element('')]),
  );
  const left = new AbortController();
  scope.after(() => left.abort());
  const never = new Promise<never>(() => undefined);
  const globals = {
    document: {
      getElementById: (id: string) => byId.get(id) ?? null,
      createElement: (tag: string) => new Element(tag),
    },
    sessionStorage: { getItem: () => null, setItem: () => undefined },
    // Who has left the page neither asks nor draws any more.
    fetch: (path: string, init: RequestInit) =>
      left.signal.aborted
        ? never
        : fetch(new URL(path, url), { ...init, signal: left.signal }).catch((error: unknown) =>
            left.signal.aborted ? never : Promise.reject(error),
          ),
    setTimeout: (task: () => void, ms: number) => void setTimeout(task, ms).unref(),
    Intl,
  };
  new Script(script).runInContext(createContext(globals));
  const found = (id: string): Element => {
    const element = byId.get(id);
    if (!element) throw new Error(`the page has no element ${id}`);
    return element;
  };
  return {
    text: (id) => found(id).textContent,
    texts: (id, tag) =>
      found(id)
        .all(tag)
        .map((one) => one.textContent),
  };
}
