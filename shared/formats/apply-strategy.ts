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

/** [P-3.9] */
export const strategySchema = z
  .string()
  .refine(
    (text) => text === ATOMIC_SWAP || text === SLOT_IMAGE || moduleOf(text) !== null,
    'want "atomic_swap", "slot_image" or "module/NAME" (a-z 0-9 -, a letter first)',
  );

export const machineNameSchema = z
  .string()
  .refine(isMachineName, 'want a machine name such as raspberrypi,4-model-b');

/** Capability of a robot that checks `compatible`. A robot without it accepts any bundle. */
export const COMPATIBLE_CAPABILITY = 'compatible';

/** Capability of a robot that takes `slot_image`. A robot without it refuses such a bundle. */
export const SLOT_CAPABILITY = 'slot_image';

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
