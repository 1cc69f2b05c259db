/** Compares each answer of a broker under test with the description of its API that it serves. */

import assert from 'node:assert/strict';
import { z } from 'zod';
import { describeApi } from '../../broker/http/openapi.ts';

interface Operation {
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}
type Content = Readonly<Record<string, { readonly schema?: object }>>;

export interface ApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: { readonly Refusal: object } };
}

// As a reader gets it: JSON, without what JSON cannot say.
const DOCUMENT = JSON.parse(JSON.stringify(describeApi('test'))) as ApiDocument;

const PATTERNS = Object.keys(DOCUMENT.paths)
  .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll(/\{[a-z]+\}/g, '[^/]+')}$`) }))
  // A path without a parameter counts before one with it.
  .sort((a, b) => a.path.split('{').length - b.path.split('{').length);

const made = new Map<object, z.ZodType>();

/** The schema of the document as one that checks, made once. */
function checker(schema: object): z.ZodType {
  const known =
    made.get(schema) ?? z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  made.set(schema, known);
  return known;
}

/** Passes what is no JSON; a refusal has the shape of refusals. */
export async function assertDescribed(
  url: string,
  method: string,
  response: Response,
): Promise<void> {
  if (!/^application\/json(?:;|$)/.test(response.headers.get('content-type') ?? '')) return;
  if (method === 'HEAD' || response.status === 304) return;
  const path = url.split('?', 1)[0]?.replace(/^\/v1(?=\/)/, '') ?? '';
  const found = PATTERNS.find(({ pattern }) => pattern.test(path));
  const operation = found && DOCUMENT.paths[found.path]?.[method.toLowerCase()];
  const isRefusal = response.status >= 400 && !(path === '/healthz' && response.status === 503);
  const schema = isRefusal
    ? DOCUMENT.components.schemas.Refusal
    : operation?.responses['200']?.content?.['application/json']?.schema;
  if (!isRefusal) assert.ok(schema, `${method} ${url}: ${response.status} is described nowhere`);
  const answer: unknown = await response.clone().json();
  const result = checker(schema ?? {}).safeParse(answer);
  const why = result.success ? '' : JSON.stringify(result.error.issues[0]);
  assert.ok(result.success, `${method} ${url}: ${why} in ${JSON.stringify(answer).slice(0, 400)}`);
}
