/**
 * The page /docs: shows the description that this broker serves of its own API. It is drawn from
 * /openapi.json, so that it is never of another version, and needs nothing from elsewhere.
 */

import { byId, make } from './dom.ts';
import { schemaLines, typeText, type Schema } from './schema-text.ts';

type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: Schema;
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { description: string; content?: Content }>>;
}

interface Described {
  readonly info: { readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Shown {
  readonly section: HTMLElement;
  readonly entry: HTMLElement;
  /** Everything that it says, in lower case. */
  readonly words: string;
}

async function start(): Promise<void> {
  const response = await fetch('openapi.json');
  if (!response.ok) throw new Error(`the broker answered with status ${response.status}`);
  const described = (await response.json()) as Described;
  const version = `Drover ${described.info.version}`;
  const base = described.servers[0]?.url ?? '';
  byId('link').textContent = version;
  byId('about').append(
    `Each path stands below ${base}. A program sends `,
    make('code', { text: 'Authorization: Bearer TOKEN' }),
    ' where the broker has credentials. The same for programs: ',
    make('a', { href: 'openapi.json', text: 'openapi.json' }),
    ' (OpenAPI 3.1).',
  );
  const shown = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, one]) => showRoute(method, base + path, one)),
  );
  byId('routes').append(...shown.map(({ section }) => section));
  byId('index').append(make('ul', {}, ...shown.map(({ entry }) => entry)));
  const find = byId<HTMLInputElement>('find');
  find.addEventListener('input', () => filter(shown, find.value));
  filter(shown, '');
  goToNamed();
}

/** The browser looked for the part of the address before it was drawn. */
function goToNamed(): void {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  named?.scrollIntoView();
}

function filter(shown: readonly Shown[], text: string): void {
  const wanted = text.toLowerCase().split(/\s+/);
  const found = shown.filter(({ words }) => wanted.every((one) => words.includes(one)));
  for (const one of shown) {
    const isHidden = !found.includes(one);
    one.section.hidden = isHidden;
    one.entry.hidden = isHidden;
  }
  byId('found').textContent = `${found.length} of ${shown.length} routes`;
}

function showRoute(method: string, path: string, operation: Operation): Shown {
  const name = `${method.toUpperCase()} ${path}`;
  const id = operation.operationId;
  const { parameters = [], requestBody, responses } = operation;
  const section = make(
    'section',
    { class: 'route', id, 'aria-labelledby': `${id}-title` },
    make('h3', { id: `${id}-title` }, make('code', { text: name })),
    make('p', { text: plain(operation.summary) }),
    make('p', { class: 'soft', text: operation.description }),
    ...listOf('Parameters', parameters.map(parameterEntry)),
    ...(requestBody ? schemaOf('Body', requestBody.content) : []),
    ...schemaOf('Answer', responses['200']?.content ?? {}),
    ...listOf('Refusals', refusalsOf(responses)),
  );
  const entry = make('li', {}, make('a', { href: `#${id}`, text: name }));
  return { section, entry, words: (section.textContent ?? '').toLowerCase() };
}

/** The purposes are written for a page in Markdown. */
const plain = (text: string): string =>
  text.replaceAll(/\[([^\]]+)\]\([^)]*\)/g, '$1').replaceAll('`', '');

const parameterEntry = ({ name, in: place, required, schema }: Parameter): [string, string] => [
  name,
  `in the ${place}${required === true ? '' : ', may be left out'}: ${typeText(schema)}`,
];

const refusalsOf = (responses: Operation['responses']): [string, string][] =>
  Object.entries(responses)
    .filter(([status]) => status !== '200')
    .map(([status, { description }]) => [status, description]);

function listOf(title: string, entries: readonly (readonly [string, string])[]): Node[] {
  if (entries.length === 0) return [];
  const rows = entries.flatMap(([name, text]) => [
    make('dt', { text: name }),
    make('dd', { text }),
  ]);
  return [make('h4', { text: title }), make('dl', {}, ...rows)];
}

function schemaOf(title: string, content: Content): Node[] {
  return Object.entries(content).flatMap(([type, { schema }]) => {
    const lines = schema ? schemaLines(schema) : [];
    const head = make('h4', { text: `${title}: ${type}` });
    if (lines.length === 0) return [head];
    // A wide one scrolls, which the keyboard has to reach.
    const label = `${title} of ${type}`;
    const text = make('pre', { tabindex: '0', role: 'group', 'aria-label': label });
    text.textContent = lines.join('\n');
    return [head, text];
  });
}

start().catch((error: unknown) => {
  byId('link').textContent = `no description: ${error instanceof Error ? error.message : 'failed'}`;
});
