/**
 * The phases of a robot's component, as they appear in reports. The transitions between them are
 * the robot's own: robot-client/update/machine.ts.
 * Sans-I/O.
 */

/** [P-8.3] */
export const PHASES = [
  'idle',
  'checking',
  'downloading',
  'verifying',
  'staging',
  'waiting',
  'swapping',
  'probation',
  'rolling_back',
  'stuck',
] as const;

export type Phase = (typeof PHASES)[number];
