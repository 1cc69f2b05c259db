/** Codes of an agent that updates itself (component `drover-agent`). Sans-I/O. */

import { refused } from './catalogue-entry.ts';

export const AGENT_CODES = {
  AGENT_NOT_LAUNCHED: refused(
    'operator',
    'start the agent with drover-launch, which goes back to the agent before when a new one does not come up (docs/robot-integration.md, section 9), or leave --root drover-agent=DIR out; it is looked at again by itself',
    'later',
  ),
  AGENT_RELEASE_INVALID: refused(
    'operator',
    'build the bundle from the folder of an agent: dpkg-deb -x of the package drover-robot, then drover build usr/lib/drover-robot --name drover-agent',
  ),
  AGENT_STATE_NEWER: refused(
    'operator',
    'publish an agent in between that reads both: the running one could not read what the new one writes, and could not take over again',
  ),
  AGENT_STRATEGY: refused(
    'operator',
    'build it from a folder, without --image and --module: only a release that a link leads to can be left again by drover-launch',
  ),
  AGENT_IN_SET: refused(
    'operator',
    'publish the agent by itself, and what needs it with --requires drover-agent=RANGE: an agent that restarts cannot lead the other components of a set',
  ),
  AGENT_NOT_UP: refused(
    'operator',
    'journalctl -u drover-robot shows how it ended (the option --log-unit drover-robot sends that along): mend it, and publish a higher version',
  ),
  AGENT_UNHEARD: refused(
    'operator',
    'nothing when the site was offline: the agent before runs again, and the new one is tried again when there is a link; after three such trials it is AGENT_SILENT',
    'later',
  ),
  AGENT_SILENT: refused(
    'operator',
    'in three trials it did not reach the broker that the agent before had reached: look at its log (the option --log-unit drover-robot sends it along), mend it, and publish a higher version',
  ),
  AGENT_FELL_BACK: refused(
    'operator',
    'another agent runs in place of the one that active names, which is started again each hour, or at once after rm -r state/starts of its root and a restart of the agent: journalctl -u drover-robot shows how it ended',
    'later',
  ),
} as const;
