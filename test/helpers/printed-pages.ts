/**
 * The commands that pages of this repository print, and which of them tests run as printed. A block
 * that no test can run says why; a page or a block that is missing here fails test/tidy.
 */

import { readFileSync } from 'node:fs';
import { repositoryFile } from './repository.ts';

const SYSTEMD = 'needs a systemd that runs; test/packaging reads the units with systemd-analyze';
const BUILDS = 'installs or builds this repository: CI does it before any test runs';
const PACKAGES = 'installs a package on this machine; test/packaging unpacks and runs each';
const MACHINE = 'starts a machine on this terminal; test/boot makes that disk and types into it';

const TWO_PEOPLE =
  'wants a fleet with thresholds of two; test/e2e/two-people.test.ts types these commands on one';

const PROFILES =
  'writes into the home of a person; test/publisher/profiles has a folder of its own';

const APPROVERS = 'wants a user for each person; test/e2e/approvers.test.ts says these words';

const SETS = 'wants a robot of three components; test/e2e/sets.slow.test.ts has one of two';

const MEMBERS = 'wants two computers; test/e2e/members.slow.test.ts has both on one';

const FAILED =
  'wants a robot whose update failed; test/e2e/failure-logs.test.ts asks one in both ways';

const AUDIT = 'wants a head that was kept; test/e2e/audit.test.ts exports and verifies';
const LEASE = 'test/e2e/interlock.test.ts holds a robot ready';
const MODULES =
  'is about a module that the reader writes; test/robot-client/update/module-page.test.ts runs the one that is printed';

/** For each page its blocks of commands in their order: null where a test runs it, else why not. */
export const PRINTED: Readonly<Record<string, readonly (string | null)[]>> = {
  'README.md': [BUILDS, null, null],
  'CONTRIBUTING.md': [BUILDS, BUILDS],
  'docs/guide.md': [
    null,
    null,
    null,
    PROFILES,
    APPROVERS,
    SETS,
    null,
    null,
    null,
    TWO_PEOPLE,
    null,
    null,
    null,
  ],
  'docs/robot-integration.md': [null, null, LEASE, null],
  'docs/modules.md': [MODULES, MODULES],
  'docs/sets.md': [
    'wants an application; test/e2e/sets.slow.test.ts builds one with --requires',
    SETS,
  ],
  'docs/members.md': [MEMBERS, MEMBERS, MEMBERS, MEMBERS],
  'docs/audit.md': [AUDIT, AUDIT],
  'docs/rollouts.md': ['wants three people; test/e2e/approvers.test.ts signs an approval'],
  'docs/system-images.md': [null],
  'docs/tls.md': [null, null, null],
  'docs/enrolment.md': [
    ...[null, null, null, null, null, null, null, null],
    'it needs the user mosquitto, and writes below /etc',
    null,
  ],
  'docs/sites.md': [null, null],
  'docs/engines.md': [null],
  'docs/air-gap.md': [null, null, null, null],
  'docs/operations.md': [BUILDS, PACKAGES, null, SYSTEMD, SYSTEMD, FAILED],
  'examples/hooks/README.md': [null, SYSTEMD, null],
  'examples/ab-grub/README.md': [MACHINE, MACHINE],
  'examples/modules/README.md': [
    'wants images of the reader; test/e2e/module-container.slow.test.ts builds and runs its own',
  ],
  'examples/ros2/README.md': [null, null],
  'examples/nats-cluster/README.md': [
    'is the environment of a node, no commands; test/campaign runs the node.conf beside it',
    'wants three machines; test/campaign runs a cluster of three on one',
  ],
};

const FENCE = /^( *)```(\S*)\n(.*?)^\1```$/gms;
const COMMANDS =
  /^(?:npm|node|bash|drover(?:-broker|-robot)?|dpkg|systemctl|curl|sudo|install)(?= )/;

/** The text of each block of commands of a page, without its indentation. */
export function printedBlocks(page: string): string[] {
  const text = readFileSync(repositoryFile(page), 'utf8');
  return [...text.matchAll(FENCE)].flatMap(([, indent = '', language, body = '']) => {
    const block = body.replaceAll(new RegExp(`^${indent}`, 'gm'), '');
    const isCommands = language === 'sh' || (language === '' && COMMANDS.test(block));
    return isCommands ? [block] : [];
  });
}

/** Those that a test runs. */
export function runnableBlocks(page: string): string[] {
  return printedBlocks(page).filter((_block, at) => PRINTED[page]?.[at] === null);
}
