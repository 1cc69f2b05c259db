/** The commands of `drover`. */

import { TEXT } from '../../shared/io/cli-options.ts';
import type { CommandLine } from '../../shared/io/command-line.ts';
import { profileNames, useProfile } from '../profiles/profile-file.ts';
import { NEEDED_ELSEWHERE } from '../profiles/profiles.ts';
import { announceCommand } from './announce.ts';
import { AUDIT_VERBS, auditCommand } from './audit.ts';
import { buildCommand } from './build.ts';
import { CONFIG_VERBS, configCommand } from './config.ts';
import { doctorCommand } from './doctor.ts';
import { exportCommand } from './export.ts';
import { fleetCommand } from './fleet.ts';
import { importCommand } from './import.ts';
import { inspectCommand } from './inspect.ts';
import { keygenCommand } from './keygen.ts';
import { logCommand } from './log.ts';
import { packCommand } from './pack.ts';
import { publishCommand } from './publish.ts';
import { reportCommand } from './report.ts';
import { rolloutCommand } from './rollout.ts';
import { signCommand } from './sign.ts';
import { trustCommand } from './trust.ts';
import { verifyCommand } from './verify.ts';

export const PUBLISHER_PROGRAM: CommandLine = {
  program: 'drover',
  does: 'build, sign and publish software for robots',
  main: null,
  commands: {
    keygen: keygenCommand,
    trust: trustCommand,
    build: buildCommand,
    sign: signCommand,
    verify: verifyCommand,
    inspect: inspectCommand,
    pack: packCommand,
    log: logCommand,
    publish: publishCommand,
    announce: announceCommand,
    rollout: rolloutCommand,
    fleet: fleetCommand,
    audit: auditCommand,
    export: exportCommand,
    import: importCommand,
    report: reportCommand,
    doctor: doctorCommand,
    config: configCommand,
  },
  groups: {
    config: CONFIG_VERBS,
    audit: AUDIT_VERBS,
    trust: ['init', 'rotate', 'sign', 'publish'],
    report: ['export', 'import'],
    log: ['add', 'verify', 'witness', 'key'],
    rollout: [
      ...['list', 'status', 'watch', 'history', 'robots', 'withdraw'],
      ...['sbom', 'provenance', 'pause', 'resume', 'abort', 'rollback', 'approve', 'force-open'],
    ],
    fleet: [
      'versions',
      'robots',
      'robot',
      'logs',
      'requests',
      'sessions',
      'remove-session',
      'enrolments',
      'accept',
      'refuse',
      'revoke',
      'retire',
    ],
  },
  everywhere: {
    options: (argv, names) =>
      argv.option('profile', {
        ...TEXT,
        ...(names.length > 0 && { choices: names }),
        hidden: names.length === 0,
        describe: 'profile of `drover config`, or DROVER_PROFILE',
      }),
    note: '--profile NAME, or DROVER_PROFILE, fills in --url, --broker, --api, --trust and the login: drover config.',
    fill: useProfile,
    elsewhere: NEEDED_ELSEWHERE,
    neededHint:
      'give it as an option, or keep it in a profile: drover config set NAME --url URL --trust FILE; one --url, or DROVER_URL, is enough for --broker',
    names: profileNames,
  },
  lists: [
    'bundles', // the positionals of export and publish
    ...[
      'compatible',
      'requires',
      'delta-from',
      'gate',
      'identity',
      'key',
      'key-command',
      'min-gate',
      'only',
      'public-key',
    ],
    ...['release', 'rollout', 'root', 'sign-command', 'supersede', 'to'],
  ],
};
