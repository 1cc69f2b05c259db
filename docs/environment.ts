/** Environment variables of the programs. docs/environment.md is generated from this table. */

export interface EnvironmentVariable {
  /** Programs that read it, or that pass it on. */
  readonly programs: readonly ('drover' | 'drover-broker' | 'drover-robot')[];
  /** `read` by a program, or `given` by it to a program of yours. */
  readonly way: 'read' | 'given';
  readonly meaning: string;
}

export const ENVIRONMENT: Readonly<Record<string, EnvironmentVariable>> = {
  DROVER_LOG: {
    programs: ['drover', 'drover-broker', 'drover-robot'],
    way: 'read',
    meaning: 'level of the log on standard error: trace, debug, info, warn, error, fatal or silent',
  },
  DROVER_DEBUG: {
    programs: ['drover', 'drover-broker', 'drover-robot'],
    way: 'read',
    meaning: 'when set, a bug of ours prints its stack trace; the same as --debug',
  },
  DROVER_TRACE: {
    programs: ['drover-broker', 'drover-robot'],
    way: 'read',
    meaning: 'file to which decisions are added, for npm run replay; at most 64 MiB',
  },
  DROVER_NODE: {
    programs: ['drover-broker', 'drover-robot'],
    way: 'read',
    meaning: 'Node.js to run with (default: node of the PATH)',
  },
  DROVER_KEY: {
    programs: ['drover'],
    way: 'read',
    meaning:
      'private key as 64 hex digits, where neither --key, --key-command nor --sign-command is given',
  },
  DROVER_USERNAME: {
    programs: ['drover', 'drover-robot'],
    way: 'read',
    meaning: 'user at the broker, where --username is not given',
  },
  DROVER_PASSWORD: {
    programs: ['drover', 'drover-robot'],
    way: 'read',
    meaning: 'password at the broker, where --password-file is not given',
  },
  DROVER_ROBOT_ID: {
    programs: ['drover-robot'],
    way: 'read',
    meaning: 'robot id, where --id is not given; drover-robot enrol writes it',
  },
  DROVER_IDENTITY: {
    programs: ['drover-robot'],
    way: 'read',
    meaning:
      'folder of the key and certificate, where --identity is not given; drover-robot enrol writes it',
  },
  DROVER_CLAIM: {
    programs: ['drover-robot'],
    way: 'read',
    meaning: 'claim of enrol, where neither --claim nor --claim-file is given',
  },
  DROVER_PROFILE: {
    programs: ['drover'],
    way: 'read',
    meaning: 'profile of `drover config`, where --profile is not given',
  },
  DROVER_URL: {
    programs: ['drover'],
    way: 'read',
    meaning:
      'URL of the HTTP API of a broker, which names its MQTT address, where --url is not given',
  },
  DROVER_API: {
    programs: ['drover'],
    way: 'read',
    meaning: 'URL of the HTTP API, where --api is not given',
  },
  DROVER_TOKEN: {
    programs: ['drover'],
    way: 'read',
    meaning: 'bearer token for the HTTP API, where --token-file is not given',
  },
  DROVER_ROLLOUT_KEY: {
    programs: ['drover-broker'],
    way: 'read',
    meaning: 'private key as 64 hex digits that this broker leads rollouts with; or --rollout-key',
  },
  DROVER_ENGINE_USERNAME: {
    programs: ['drover-broker'],
    way: 'read',
    meaning: 'user at the engine, where --engine-username is not given',
  },
  DROVER_ENGINE_PASSWORD: {
    programs: ['drover-broker'],
    way: 'read',
    meaning: 'password at the engine, where --engine-password-file is not given',
  },
  DROVER_UPSTREAM_USERNAME: {
    programs: ['drover-broker'],
    way: 'read',
    meaning: 'user at the upstream broker, where --upstream-username is not given',
  },
  DROVER_UPSTREAM_PASSWORD: {
    programs: ['drover-broker'],
    way: 'read',
    meaning: 'password at the upstream broker, where --upstream-password-file is not given',
  },
  DROVER_LAUNCH_GUARD_S: {
    programs: ['drover-robot'],
    way: 'read',
    meaning:
      'by drover-launch: seconds after which a start of a new agent that hangs is ended (900)',
  },
  DROVER_LAUNCH_PAUSE_S: {
    programs: ['drover-robot'],
    way: 'read',
    meaning: 'by drover-launch stay: seconds between two starts of the agent (5)',
  },
  DROVER_AGENT_LAUNCHED: {
    programs: ['drover-robot'],
    way: 'read',
    meaning: 'set by drover-launch: 1, as it can start another release of the agent',
  },
  DROVER_AGENT_INSTEAD: {
    programs: ['drover-robot'],
    way: 'read',
    meaning:
      'set by drover-launch: version of the agent that this one runs in place of, and why; else empty',
  },
  DROVER_COMPONENT: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each hook: name of the component',
  },
  DROVER_ROOT: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each hook: root folder of the component',
  },
  DROVER_ACTIVE_DIR: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each hook: path of the link to the active release',
  },
  DROVER_VERSION: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each hook: version that the hook is about',
  },
  DROVER_PREVIOUS_VERSION: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each hook: version to go back to, empty when there is none',
  },
  DROVER_TARGET_VERSION: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each hook: version that is being installed',
  },
  DROVER_VERB: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each module: what it is asked to do, as its first argument',
  },
  DROVER_RUN: {
    programs: ['drover-robot'],
    way: 'given',
    meaning:
      'to each module, and to each hook but start: name of the run, by which its processes are found',
  },
  DROVER_PAYLOAD_DIR: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each module: the unpacked release of `DROVER_VERSION`',
  },
  DROVER_PREVIOUS_DIR: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each module: the unpacked release of `DROVER_PREVIOUS_VERSION`; empty for none',
  },
  DROVER_MODULE_DIR: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each module: a folder of its own, kept over updates',
  },
  DROVER_TIMEOUT_S: {
    programs: ['drover-robot'],
    way: 'given',
    meaning: 'to each module: after so many seconds it is killed',
  },
  DROVER_EVENT: {
    programs: ['drover-broker'],
    way: 'given',
    meaning: 'to the program of --notify: kind of the decision',
  },
  DROVER_ROLLOUT: {
    programs: ['drover-broker'],
    way: 'given',
    meaning: 'to the program of --notify: id of the rollout',
  },
};
