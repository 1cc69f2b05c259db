/**
 * The description of the HTTP API as OpenAPI 3.1, from the table of routes and the schemas that
 * validate requests; and which methods a path has.
 */

import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import { httpStatusOf } from './http-refusals.ts';
import { ROUTE_SCHEMAS, refusalSchema, type RouteSchemas } from './route-schemas.ts';
import { HTTP_ROUTES, type HttpRoute } from './route-table.ts';

/** Every path but those of the page is also served below this. */
export const VERSION_PREFIX = '/v1';

/** Parts of the page: they are no API, and no program should read them. */
export const isPagePath = (path: string): boolean =>
  path === '/' || path === '/docs' || path.startsWith('/page.');

/** The path that is served for a request: without the version, where it names one. */
export function unversioned(url: string): string {
  if (!url.startsWith(`${VERSION_PREFIX}/`)) return url;
  const rest = url.slice(VERSION_PREFIX.length);
  return isPagePath(rest.split('?', 1)[0] ?? '') ? url : rest;
}

const PATTERNS = HTTP_ROUTES.map(({ method, path }) => {
  const parts = path.replaceAll(/[.]/g, '\\.').replaceAll(/:[a-z]+/g, '[^/]+');
  return { method, path, pattern: new RegExp(`^${parts}$`) };
});

/** Routes that a path fits, whatever the method is. */
export const routesAt = (path: string): readonly Pick<HttpRoute, 'method' | 'path'>[] =>
  PATTERNS.filter(({ pattern }) => pattern.test(path));

const schemasOf = ({ method, path }: Pick<HttpRoute, 'method' | 'path'>): RouteSchemas =>
  ROUTE_SCHEMAS[`${method} ${path}`] ?? {};

/**
 * Checks a query by the schema of its route; fields that no schema names pass.
 * @throws DroverError USAGE
 */
export function assertQuery(route: Pick<HttpRoute, 'method' | 'path'>, query: unknown): void {
  const result = schemasOf(route).query?.safeParse(query);
  if (result?.success !== false) return;
  const [issue] = result.error.issues;
  const name = issue?.path.join('.') ?? '';
  const given = (query as Readonly<Record<string, unknown>>)[name];
  const got = typeof given === 'string' ? `got ${printable(given, 64) || 'nothing'}, ` : '';
  const why = `${got}${issue?.message ?? 'bad'}`;
  throw new DroverError('USAGE', `read ${printable(name)} of the query: ${why}`);
}

/** The document, as JSON. */
export function describeApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of HTTP_ROUTES.filter(({ path }) => !isPagePath(path))) {
    const path = route.path.replaceAll(/:([a-z]+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Drover broker', version, license: { name: 'Apache-2.0' } },
    servers: [{ url: VERSION_PREFIX }, { url: '/', description: 'the same, as broker 0.1 has it' }],
    paths,
    components: {
      schemas: { Refusal: schemaOf(refusalSchema, 'output') },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: 'drover-PORT' },
      },
    },
  };
}

function operationOf(route: HttpRoute): object {
  const { method, path, who, purpose, refusals = [] } = route;
  const { query, body } = schemasOf(route);
  const inPath = [...path.matchAll(/:([a-z]+)/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: { type: 'string' } },
  }));
  const parameters = [...inPath, ...queryParameters(query)];
  return {
    operationId: `${method} ${path}`.toLowerCase().replaceAll(/[^a-z]+/g, '_'),
    summary: purpose,
    description: `Who may: ${who}.`,
    ...(who !== 'anybody' && { security: [{ token: [] }, { session: [] }] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { content: jsonOf(schemaOf(body, 'input')) } }),
    responses: {
      200: { description: 'done', content: contentOf(route) },
      ...refusedWith(who === 'anybody' ? refusals : ['HTTP_UNAUTHORIZED', ...refusals]),
      default: { description: 'another refusal', ...REFUSED },
    },
  };
}

const REFUSED = { content: jsonOf({ $ref: '#/components/schemas/Refusal' }) };

/** Each status once, with the codes that have it. */
function refusedWith(codes: readonly Parameters<typeof httpStatusOf>[0][]): object {
  const byStatus = new Map<number, string[]>();
  for (const code of codes) {
    const status = httpStatusOf(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const entries = [...byStatus].map(([status, same]) => [
    status,
    { description: same.join(', '), ...REFUSED },
  ]);
  return Object.fromEntries(entries) as object;
}

function queryParameters(query: z.ZodObject | undefined): object[] {
  if (!query) return [];
  const { properties = {} } = schemaOf(query, 'input') as { properties?: Record<string, object> };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', schema }));
}

function contentOf(route: HttpRoute): object {
  const { answer } = schemasOf(route);
  if (answer) return jsonOf(schemaOf(answer, 'output'));
  const type = typeof route.answer === 'string' && route.answer.includes('/') ? route.answer : null;
  return { [type ?? 'application/octet-stream']: {} };
}

function jsonOf(schema: object): object {
  return { 'application/json': { schema } };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
