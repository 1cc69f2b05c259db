/**
 * Parses `--gate name=value` into the gates of a rollout. Names and bounds are those of
 * shared/formats/gates.ts, so a new gate is known here at once. An unknown name is refused, because a
 * misspelt gate would guard nothing. Sans-I/O.
 */

import { parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import {
  gateBoundsSchema,
  gatesSchema,
  type GateBounds,
  type GatesFields,
} from '../../shared/formats/gates.ts';

const GATES = gatesSchema.shape;
type GateName = keyof typeof GATES;

export const GATE_NAMES = Object.keys(GATES) as readonly GateName[];

/**
 * @param words `task_success_min=0.98`, `vanish_s=10m`, `crashes_per_hour_max=null`
 * @throws DroverError USAGE
 */
export function parseGates(words: readonly string[]): GatesFields {
  const gates: Record<string, unknown> = {};
  for (const word of words) {
    const [, name = '', text = ''] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
    if (!isGateName(name)) {
      const got = JSON.stringify(word.slice(0, 60));
      const names = GATE_NAMES.join(', ');
      throw usage(`no such gate (got ${got}, want NAME=VALUE with one of ${names})`);
    }
    if (Object.hasOwn(gates, name)) throw usage(`${name} is given twice (want once)`);
    gates[name] = readGate(name, text);
  }
  assertDetectable(gates);
  return gates;
}

const isGateName = (text: string): text is GateName => Object.hasOwn(GATES, text);

function readGate(name: GateName, text: string): unknown {
  const result = GATES[name].safeParse(valueOf(name, text));
  if (result.success) return result.data;
  const why = result.error.issues[0]?.message ?? 'bad value';
  throw usage(`${name}: ${lowerFirst(why)} (got ${JSON.stringify(text.slice(0, 40))})`);
}

/** `{}` is valid for no gate: the schema's message then says what it requires. */
function valueOf(name: GateName, text: string): unknown {
  if (text === 'null') return null;
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^-?\d{1,15}(?:\.\d{1,15})?$/.test(text)) return Number(text);
  return name.endsWith('_s') && text !== '' ? parseDurationMs(text) / 1000 : {};
}

/** Harm below the gate's tolerance can never be detected: such a rollout would wait for ever. */
function assertDetectable(gates: GatesFields): void {
  const { ratio_detected: detected, ratio_tolerated: tolerated } = gatesSchema.parse(gates);
  if (detected > tolerated) return;
  throw usage(
    `ratio_detected must be above ratio_tolerated (got ${detected}, want > ${tolerated})`,
  );
}

/**
 * Parses `--min-gate name=value`: gates that a signed manifest may require.
 * @throws DroverError USAGE
 */
export function parseGateBounds(words: readonly string[]): GateBounds {
  const gates: Readonly<Record<string, unknown>> = parseGates(words);
  const result = gateBoundsSchema.strict().safeParse(gates);
  if (result.success) return result.data;
  const names = Object.keys(gateBoundsSchema.shape).join(', ');
  throw usage(`--min-gate cannot bound this (want one of ${names}, and a number, true or false)`);
}

const usage = (why: string): DroverError => new DroverError('USAGE', `read --gate: ${why}`);
const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
