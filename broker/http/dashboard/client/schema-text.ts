/**
 * A JSON schema as lines that a person reads: one for each field, with its type and bounds,
 * indented as in the JSON that it describes. Sans-I/O.
 */

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

/** Deeper parts are shown as `…`: a schema may contain itself. */
const DEPTH_MAX = 8;

/** The type of a value in words, such as `text or null`, `one of "a", "b"`, `list`. */
export function typeText(schema: Schema): string {
  const { anyOf, oneOf, allOf, items } = schema;
  const some = anyOf ?? oneOf;
  if (some) return [...new Set(some.map(typeText))].join(' or ');
  if (allOf) return allOf.map(typeText).join(' and ');
  if (schema.$ref !== undefined) return schema.$ref.split('/').at(-1) ?? 'anything';
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return `one of ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}`;
  if (items) return `list of ${typeText(items)}`;
  const types = [schema.type ?? []].flat().map((one) => WORDS[one] ?? one);
  return [types.join(' or ') || 'anything', ...boundsOf(schema)].join(', ');
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  boolean: 'true or false',
};

function boundsOf({ format, minimum, maximum, maxLength, default: otherwise }: Schema): string[] {
  // A whole number has these bounds of its kind where it has no other.
  const from = minimum === undefined || minimum <= -Number.MAX_SAFE_INTEGER ? '' : minimum;
  const to = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : maximum;
  const range = [...(from === '' ? [] : [`from ${from}`]), ...(to === '' ? [] : [`to ${to}`])];
  return [
    ...(format === undefined ? [] : [format]),
    ...(range.length === 0 ? [] : [range.join(' ')]),
    ...(maxLength === undefined ? [] : [`at most ${maxLength} characters`]),
    ...(otherwise === undefined ? [] : [`${JSON.stringify(otherwise)} when it is left out`]),
  ];
}

/** The fields of an object and of what is in it; a `?` stands behind one that may be missing. */
export function schemaLines(schema: Schema, depth = 0): string[] {
  const indent = '  '.repeat(depth);
  if (depth >= DEPTH_MAX) return [`${indent}…`];
  const { properties, required = [], items, additionalProperties } = schema;
  const parts = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  const inside = parts?.filter((one) => one.properties ?? one.items) ?? [];
  if (inside.length > 0) return inside.flatMap((one) => schemaLines(one, depth));
  if (items) return schemaLines(items, depth);
  const named = Object.entries(properties ?? {}).flatMap(([name, one]) => [
    `${indent}${name}${required.includes(name) ? '' : '?'}: ${typeText(one)}`,
    ...schemaLines(one, depth + 1),
  ]);
  const isMap = typeof additionalProperties === 'object' && additionalProperties.type !== undefined;
  if (!isMap) return named;
  const any = `${indent}(any name): ${typeText(additionalProperties)}`;
  return [...named, any, ...schemaLines(additionalProperties, depth + 1)];
}
