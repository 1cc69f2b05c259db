/** Codes of the machine and the modules of a robot: a part of the catalogue. Sans-I/O. */

import { refused } from './catalogue-entry.ts';

export const MODULE_CODES = {
  COMPATIBLE_WRONG: refused(
    'operator',
    'this bundle is for other machines: compare drover inspect BUNDLE with --compatible of the robot',
    'later', // the same payload under another manifest may fit
  ),
  REQUIRES_UNMET: refused(
    'operator',
    'bring the component that the message names into that range: publish such a version of it, also where one went back, or both with --together; it is looked at again by itself',
    'later',
  ),
  REQUIRES_UNKNOWN: refused(
    'operator',
    'drover-robot status on the robot tells why that component cannot be read; it is looked at again by itself',
    'later',
  ),
  REQUIRES_BROKEN: refused(
    'operator',
    'publish it with --together beside a bundle of the component that the message names, or that one first; it is looked at again by itself',
    'later',
  ),
  STRATEGY_CHANGED: refused(
    'operator',
    'what a module applies stays with it: publish it again with drover build --module, or as another component with --name',
    'later', // the same payload under another manifest may fit
  ),
  MODULE_MISSING: refused(
    'operator',
    'put the executable into the folder that --modules of the robot names (docs/modules.md); it is tried again by itself',
    'later',
  ),
  PROGRAM_UNSAFE: refused(
    'operator',
    'another user can replace a program that the agent runs: run the command that the message ends with on the robot; the program, its links and each folder above it belong to root or the user of the agent, and nobody else writes them; it is tried again by itself',
    'later',
  ),
  PATH_UNSAFE: refused(
    'operator',
    'another user can put a program there that the agent, or a hook, would run by its name: run the command that the message ends with, or set PATH without that folder (Environment=PATH=… in the unit); the agent leaves it out meanwhile, and looks again by itself',
    'later',
  ),
  ROOT_UNSAFE: refused(
    'operator',
    'any user of the robot can replace what the agent has verified: run the command that the message ends with on the robot; it is tried again by itself',
    'later',
  ),
  TRUST_UNSAFE: refused(
    'operator',
    'another user can change which keys the robot trusts: look whether trust.json is yours still (sha256sum), then run the command that the message ends with; it is tried again by itself',
    'later',
  ),
  MODULE_UNFIT: refused(
    'operator',
    'run the module with the word probe on the robot: the report holds its last output; it is tried again by itself',
    'later',
  ),
  MODULE_BUSY: refused(
    'operator',
    'the module asked for another try: the report holds its last output; it is tried again by itself',
    'later',
  ),
  MODULE_FAILED: refused(
    'operator',
    'the report holds the last output of the module: mend it or the bundle, and publish a higher version',
  ),
  MODULE_TIMED_OUT: refused(
    'operator',
    'make the module answer within its time-out, or raise --module-timeout of the robot',
    'later',
  ),
  MODULE_DIFFERS: refused(
    'operator',
    'it is brought to what active names by itself, when the robot is ready; find out who changed what the module looks after',
    'later',
  ),
  START_FAILED: refused(
    'operator',
    'the application was stopped for an update or a repair that did not go on, and its start hook fails: mend the hook (its output is in the report); it is tried again by itself',
    'later',
  ),
  MODULE_UNKNOWN: refused(
    'operator',
    'run the module with the word version on the robot: it has to say what runs; it is asked again by itself',
    'later',
  ),
} as const;
