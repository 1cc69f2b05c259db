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

/**
 * Phases that only the robot itself knows: it boots the other system slot, or boots back. A broker
 * of 0.1 refuses a report with a phase that it does not know, so a report names the phase before.
 */
export const ROBOT_PHASES = [...PHASES, 'rebooting', 'reverting'] as const;

export type RobotPhase = (typeof ROBOT_PHASES)[number];

/** The phase that a report names. [P-8.3] */
export function toldPhase(phase: RobotPhase): Phase {
  if (phase === 'rebooting') return 'swapping';
  return phase === 'reverting' ? 'rolling_back' : phase;
}
