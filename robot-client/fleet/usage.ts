/**
 * Counts what each version of a component has done on this robot: totals that only rise, by stint.
 * Totals rather than differences, because a reader of totals loses nothing when a message is lost
 * and counts nothing twice when one comes twice. A stint ends when another version becomes active.
 * Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema, parseDocument, sizeSchema, versionSchema } from '../../shared/formats/schema.ts';

const stintSchema = z.object({
  stint: sizeSchema,
  version: versionSchema.nullable(),
  rollout: idSchema.nullable(),
  run_s: z.number().min(0),
  tasks_completed: sizeSchema,
  tasks_failed: sizeSchema,
  crashes: sizeSchema,
  restarts: sizeSchema,
  health_failures: sizeSchema,
});

const usageSchema = z.object({
  schema: z.literal(1),
  /** Drawn again when the file was lost: totals of another epoch begin at zero. */
  epoch: z.string().min(1).max(32),
  components: z.record(idSchema, z.array(stintSchema).max(LIMITS.usageStintsMax)),
});

export type Stint = z.output<typeof stintSchema>;
export type Usage = z.output<typeof usageSchema>;
/** Counts to add; absent means none. */
export type Counts = Partial<
  Pick<
    Stint,
    'run_s' | 'tasks_completed' | 'tasks_failed' | 'crashes' | 'restarts' | 'health_failures'
  >
>;

const KIND = {
  what: 'usage.json',
  schema: usageSchema,
  bytesMax: LIMITS.reportBytesMax * 4,
  code: 'STATE_CORRUPT',
} as const;

/** @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE, STATE_CORRUPT */
export const parseUsage = (bytes: Uint8Array): Usage => parseDocument(KIND, bytes);
export const encodeUsage = (usage: Usage): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(usage)}\n`);
export const freshUsage = (epoch: string): Usage => ({ schema: 1, epoch, components: {} });

/** Newest first. */
export const stintsOf = (usage: Usage, component: string): readonly Stint[] =>
  usage.components[component] ?? [];

/** Returns the same object while the active version is the one of the newest stint. */
export function beginStint(
  usage: Usage,
  component: string,
  now: { readonly version: string | null; readonly rollout: string | null },
): Usage {
  const known = stintsOf(usage, component);
  const [newest] = known;
  if (newest && newest.version === now.version && newest.rollout === now.rollout) return usage;
  const stint: Stint = {
    stint: (newest?.stint ?? 0) + 1,
    ...now,
    run_s: 0,
    tasks_completed: 0,
    tasks_failed: 0,
    crashes: 0,
    restarts: 0,
    health_failures: 0,
  };
  const stints = [stint, ...known].slice(0, LIMITS.usageStintsMax);
  return { ...usage, components: { ...usage.components, [component]: stints } };
}

/** Adds to the newest stint; work of a component before its first stint is not counted. */
export function addCounts(usage: Usage, component: string, counts: Counts): Usage {
  const [newest, ...older] = stintsOf(usage, component);
  if (!newest) return usage;
  const sum = (name: keyof Counts): number =>
    Math.min(newest[name] + Math.max(0, counts[name] ?? 0), Number.MAX_SAFE_INTEGER);
  const stint: Stint = {
    ...newest,
    run_s: Math.round(sum('run_s') * 10) / 10,
    tasks_completed: sum('tasks_completed'),
    tasks_failed: sum('tasks_failed'),
    crashes: sum('crashes'),
    restarts: sum('restarts'),
    health_failures: sum('health_failures'),
  };
  return { ...usage, components: { ...usage.components, [component]: [stint, ...older] } };
}
