/**
 * `apply_strategy` and `compatible` of a manifest: the way in which a release is brought into
 * effect, and the machines that it is for. A robot that does not know a strategy refuses the
 * manifest. Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';

/** `active` is led to the release: nothing else has to be done. */
export const ATOMIC_SWAP = 'atomic_swap';
/** The payload is an image for the other of two system slots; a reboot brings it into effect. */
export const SLOT_IMAGE = 'slot_image';

const MODULE_PREFIX = 'module/';
/** Short and lower case: the name is that of a file on the robot, and never a path. */
const MODULE_NAME = new RegExp(`^[a-z][a-z0-9-]{0,${LIMITS.moduleNameLengthMax - 1}}$`);
/** As in a device tree: `raspberrypi,4-model-b`. */
const MACHINE_NAME = new RegExp(
  `^[A-Za-z0-9][A-Za-z0-9._,+:-]{0,${LIMITS.machineNameLengthMax - 1}}$`,
);

export const isModuleName = (text: string): boolean => MODULE_NAME.test(text);
export const isMachineName = (text: string): boolean => MACHINE_NAME.test(text);

/** Name of the module that applies a release; null when none is needed. */
export function moduleOf(strategy: string): string | null {
  if (!strategy.startsWith(MODULE_PREFIX)) return null;
  const name = strategy.slice(MODULE_PREFIX.length);
  return isModuleName(name) ? name : null;
}

export const moduleStrategy = (name: string): string => `${MODULE_PREFIX}${name}`;

const STRATEGIES = 'want "atomic_swap", "slot_image" or "module/NAME" (a-z 0-9 -, a letter first)';

/** [P-3.9] */
export const strategySchema = z
  .string()
  .refine(
    (text) => text === ATOMIC_SWAP || text === SLOT_IMAGE || moduleOf(text) !== null,
    STRATEGIES,
  );

/** Ends of `apply_strategy`: fields of the manifest that a robot must not read past. */
const MUST_READ = ['requires'] as const;
type MustRead = (typeof MUST_READ)[number];

/**
 * `apply_strategy` as a manifest writes it: a strategy, and after a `+` each field that an agent
 * must not read past. Agents of before refuse the text as a strategy that they do not know, so a
 * field that matters is never ignored in silence. [P-3.12]
 */
export const writtenStrategySchema = z
  .string()
  .refine((text) => strategySchema.safeParse(strategyIn(text)).success, STRATEGIES)
  .refine(
    (text) => mustReadIn(text).every((one) => MUST_READ.some((known) => known === one)),
    `want only fields that this version knows after +: ${MUST_READ.join(', ')}`,
  );

export const strategyIn = (written: string): string => written.split('+')[0] ?? '';
export const mustReadIn = (written: string): string[] => written.split('+').slice(1);

/** @param mustRead fields that robots must not read past; empty for a manifest of 0.1 */
export const writtenStrategy = (strategy: string, mustRead: readonly MustRead[]): string =>
  [strategy, ...mustRead].join('+');

export const machineNameSchema = z
  .string()
  .refine(isMachineName, 'want a machine name such as raspberrypi,4-model-b');

/** Capability of a robot that checks `compatible`. A robot without it accepts any bundle. */
export const COMPATIBLE_CAPABILITY = 'compatible';

/** Capability of a robot that checks `requires`. A robot without it refuses such a manifest. */
export const REQUIRES_CAPABILITY = 'requires';

/** Of a robot that checks both. */
export const MANIFEST_CAPABILITIES = [COMPATIBLE_CAPABILITY, REQUIRES_CAPABILITY] as const;

/** Capability of a robot that takes `slot_image`. A robot without it refuses such a bundle. */
export const SLOT_CAPABILITY = 'slot_image';

/** Longest capability that a report may have. */
const CAPABILITY_CHARS_MAX = 32;
const SLOTS_OF = 'slots:';

/** Capability that names the component of the slots; none for a name that has no room in a report. */
export const slotsOf = (component: string): string[] =>
  [`${SLOTS_OF}${component}`].filter((one) => one.length <= CAPABILITY_CHARS_MAX);

/** False for a robot whose slots are for another component, or that has none. */
export function hasSlotsFor(component: string, caps: readonly string[]): boolean {
  const isNamed = caps.some((one) => one.startsWith(SLOTS_OF));
  const isOther = isNamed && !caps.includes(`${SLOTS_OF}${component}`);
  return caps.includes(SLOT_CAPABILITY) && !isOther;
}

/**
 * Decides whether a bundle fits a machine. [P-3.10]
 * @param wanted names in the manifest; empty: the bundle fits every machine
 * @param names names of the robot; undefined when the robot does not check them
 */
export const fitsMachine = (
  wanted: readonly string[],
  names: readonly string[] | undefined,
): boolean =>
  wanted.length === 0 || names === undefined || names.some((name) => wanted.includes(name));
