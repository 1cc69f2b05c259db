/**
 * Messages of robots. Reports are not signed: they are evidence for people and gates, never a
 * reason to install anything, so a forged one can mislead a dashboard and nothing else. Sans-I/O.
 */

import { z } from 'zod';
import { tagsSchema } from './announcement.ts';
import { CATALOGUE, type ErrorCode } from '../base/error-catalogue.ts';
import { LIMITS } from '../base/limits.ts';
import { failureHint, failureText } from '../base/redact.ts';
import {
  idSchema,
  instantSchema,
  parseDocument,
  robotIdSchema,
  sha256Schema,
  sizeSchema,
  versionSchema,
} from './schema.ts';

/**
 * The phases of a robot's component. The transitions between them are the robot's own:
 * robot-client/update/machine.ts. [P-8.3]
 */
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

/** An older agent repeats what a hook printed, with the secrets in it. */
const textSchema = z.string().max(LIMITS.failureTextChars).transform(failureText);
const hintSchema = z.string().max(LIMITS.failureTextChars).transform(failureHint).default('');
const phaseSchema = z.enum(PHASES);
/**
 * A newer robot may send a code this program does not know: kept as text, never dropped. [P-8.6]
 */
const codeSchema = z.string().regex(/^[A-Z][A-Z0-9_]{1,63}$/, 'want an error code');

const problemSchema = z.object({
  code: codeSchema,
  message: textSchema,
  hint: hintSchema,
  version: versionSchema.nullish(),
  at: instantSchema.optional(),
});

const relayTextSchema = z.string().max(LIMITS.relayProblemCharsMax).transform(failureText);
const relayProblemSchema = z.object({
  code: codeSchema,
  message: relayTextSchema,
  hint: z.string().max(LIMITS.relayProblemCharsMax).transform(failureHint).default(''),
});

const transferSchema = z.object({
  bytes_done: sizeSchema,
  bytes_total: sizeSchema,
  chunks_fetched: sizeSchema.default(0),
});

/** Rollouts that take no orders, because their progress is refused. [P-8.2] */
const refusedProgressSchema = z
  .array(z.object({ rollout: idSchema, code: codeSchema, seq: sizeSchema.optional() }))
  .max(LIMITS.rolloutsMax);

/** The end of the last update of a component; kept over restarts. [P-8.7] */
const lastUpdateSchema = z.object({
  rollout: idSchema,
  version: versionSchema,
  /** `recalled`: it was installed, and the rollout was taken back. */
  outcome: z.enum(['installed', 'rolled_back', 'refused', 'recalled']),
  code: codeSchema.nullish(),
  started_at: instantSchema,
  ended_at: instantSchema,
  /** Seconds on a clock that does not jump, restarts of the agent not counted. */
  took_s: z.number().min(0),
  /** Bytes that came over the wire for it. */
  bytes: sizeSchema,
  /** Version that it was patched from; absent or null for a full payload. */
  delta_from: versionSchema.nullish(),
  /** Why a delta was given up for the full payload. */
  delta_failed: codeSchema.nullish(),
});

/**
 * Totals of one stint: the time one version of a component has been active without another in
 * between. They only rise, so a reader that takes the highest it has seen neither loses nor doubles
 * anything when messages are lost, doubled or late. [P-8.8]
 */
const usageSchema = z.object({
  /** Rises by one with each change of version on this robot. */
  stint: sizeSchema,
  version: versionSchema.nullable(),
  /** The rollout that installed it; null for a release from before. */
  rollout: idSchema.nullish(),
  /** Seconds that the agent has watched it. */
  run_s: z.number().min(0),
  tasks_completed: sizeSchema.default(0),
  tasks_failed: sizeSchema.default(0),
  /** As the application reports them. */
  crashes: sizeSchema.default(0),
  /** Restarts of the application's process, as the `health` hook sees them. */
  restarts: sizeSchema.default(0),
  health_failures: sizeSchema.default(0),
});

const componentSchema = z.object({
  name: idSchema,
  version: versionSchema.nullable(),
  /** Code of why it is not known that `version` runs; absent or null when it is. [P-8.14] */
  version_doubt: codeSchema.nullish(),
  previous_version: versionSchema.nullish(),
  /** Of the active release; absent when unknown (an older agent, an adopted release). */
  payload_sha256: sha256Schema.nullish(),
  phase: phaseSchema,
  rollout: idSchema.nullish(),
  target_version: versionSchema.nullish(),
  transfer: transferSchema.nullish(),
  /** Of the current update: the version it is patched from, or why a delta was given up. */
  delta: z.object({ from: versionSchema.nullish(), failed: codeSchema.nullish() }).nullish(),
  waiting_for: textSchema.nullish(),
  wake_at: instantSchema.nullish(),
  /** While it waits for a place of a budget: names this question. [P-6.11] */
  place_asked_at: instantSchema.nullish(),
  last_error: problemSchema.nullish(),
  blocked: z.array(versionSchema).max(LIMITS.blockedBundlesMax).default([]),
  /** The highest that was confirmed: lower ones are refused that never ran there. */
  highest_version: versionSchema.nullish(),
  last_update: lastUpdateSchema.nullish(),
  /** How what is under way, or else what runs, is applied; absent where it is not known. */
  strategy: z.string().max(64).nullish(),
  /** The log of the last failed update that the robot keeps and hands over. [P-8.12] */
  failure_log: z
    .object({
      rollout: idSchema,
      version: versionSchema,
      code: codeSchema,
      at: instantSchema,
      bytes: sizeSchema,
    })
    .nullish(),
  /** The computer that it is on; absent for the one that has the link, and on a robot of one. */
  computer: idSchema.nullish(),
  /** Folder on that computer with the log of its last failed update; absent where there is none. */
  log_folder: textSchema.nullish(),
  /** The current stint and those before it, newest first. */
  usage: z.array(usageSchema).max(LIMITS.usageStintsMax).default([]),
});

/** [P-8.2] */
const stateSchema = z.object({
  robot_id: robotIdSchema,
  at: instantSchema,
  agent: z.string().max(64).default(''),
  arch: z.string().max(64).default(''),
  model: z.string().max(LIMITS.modelCharsMax).default(''),
  tags: tagsSchema.default([]),
  /** Optional abilities of this robot: `zstd-patch` for taking deltas. */
  caps: z.array(z.string().max(32)).max(LIMITS.capsMax).default([]),
  /** Names of its machine, and the modules that it has; absent where there are none. [P-8.11] */
  compatible: z.array(z.string().max(64)).max(LIMITS.machineNamesMax).optional(),
  modules: z.array(z.string().max(64)).max(LIMITS.modulesMax).optional(),
  /** Of the current trust root; absent from robots that do not report it. */
  trust_version: sizeSchema.optional(),
  /** When that root ends; only while the robot finds this close, or over. */
  trust_expires_at: instantSchema.optional(),
  /** When its certificate ends; only while this is close, or over, and it was not renewed. */
  certificate_expires_at: instantSchema.optional(),
  /** The highest `seq` of announcements that it accepted under that root and its clock. */
  announcement_seq: sizeSchema.optional(),
  /** Announced rollouts whose progress the robot refuses, so that it takes no orders about them. */
  progress_refused: refusedProgressSchema.optional(),
  components: z.array(componentSchema).min(1).max(16),
  metrics: z.record(z.string().max(64), z.number()).default({}),
  /** Changes when the robot has lost its counters: totals of another epoch start from zero. */
  counter_epoch: z.string().max(32).default(''),
  /** Made by chance at each start of the agent: two that take turns are two robots with one id. */
  instance: z.string().max(32).default(''),
  /** Links in a row that the broker ended soon; absent while they are too few to mean a twin. */
  link_endings: sizeSchema.default(0),
});

/** [P-8.4] */
const eventSchema = z.object({
  robot_id: robotIdSchema,
  /**
   * Rises by one for each event of this robot, across restarts: a gap is a loss, an equal one a
   * copy.
   */
  event_seq: sizeSchema,
  /**
   * Made by chance at the start of the agent that saw it: numbers are compared within one epoch.
   */
  event_epoch: z
    .string()
    .regex(/^[A-Za-z0-9_-]{0,32}$/)
    .default(''),
  at: instantSchema,
  component: idSchema,
  from: phaseSchema,
  to: phaseSchema,
  event: z.string().max(64),
  version: versionSchema.nullish(),
  target_version: versionSchema.nullish(),
  rollout: idSchema.nullish(),
  problem: problemSchema.nullish(),
});

/** `via`: the relay that carries this robot. [P-8.1] [P-8.9] */
const onlineSchema = z.object({
  online: z.boolean(),
  via: idSchema.nullish(),
  /** Of a relay: progress that it does not forward to its robots. */
  progress_refused: refusedProgressSchema.optional(),
  /** Of a relay: why its robots do not get what is announced. Absent while they do. */
  problem: relayProblemSchema.optional(),
});

/** [P-8.5] */
const wantSchema = z.object({
  robot_id: robotIdSchema,
  at: instantSchema,
  chunks: z.array(sha256Schema).max(LIMITS.wantChunksMax).default([]),
  package: z
    .object({
      component: idSchema,
      arch: z.string().max(64),
      current_version: versionSchema.nullable(),
      wanted_version: versionSchema,
      min_current_version: versionSchema,
    })
    .nullish(),
});

export type RobotState = z.output<typeof stateSchema>;
export type ComponentState = RobotState['components'][number];
export type ReportedUpdate = NonNullable<ComponentState['last_update']>;
export type UsageReport = ComponentState['usage'][number];
export type RobotEvent = z.output<typeof eventSchema>;
export type OnlineMessage = z.output<typeof onlineSchema>;
/** A problem as the sender named it: this program may not know its code. */
export type RelayProblem = z.output<typeof relayProblemSchema>;
export type RefusedProgressFields = z.input<typeof refusedProgressSchema>;
export type WantMessage = z.output<typeof wantSchema>;
/** As written: instants are text. */
export type RobotStateFields = z.input<typeof stateSchema>;
export type ComponentStateFields = RobotStateFields['components'][number];
export type RobotEventFields = z.input<typeof eventSchema>;
export type WantFields = z.input<typeof wantSchema>;

const kind = <S extends z.ZodType>(what: string, schema: S) =>
  ({ what, schema, bytesMax: LIMITS.reportBytesMax, code: 'JSON_INVALID' }) as const;

const STATE = kind('robot state', stateSchema);
const EVENT = kind('robot event', eventSchema);
const ONLINE = kind('online message', onlineSchema);
const WANT = kind('want message', wantSchema);

export const parseRobotState = (bytes: Uint8Array): RobotState => parseDocument(STATE, bytes);
/**
 * A report inside an answer of the HTTP API. Fields that the broker adds, such as hints and nulls,
 * do not count against the limit of one report.
 */
export const parseAnsweredState = (bytes: Uint8Array): RobotState =>
  parseDocument({ ...STATE, bytesMax: LIMITS.apiAnswerBytesMax }, bytes);
export const parseRobotEvent = (bytes: Uint8Array): RobotEvent => parseDocument(EVENT, bytes);
export const parseOnline = (bytes: Uint8Array): boolean => parseDocument(ONLINE, bytes).online;
export const parsePresence = (bytes: Uint8Array): OnlineMessage => parseDocument(ONLINE, bytes);
export const parseWant = (bytes: Uint8Array): WantMessage => parseDocument(WANT, bytes);

/** UTF-8 JSON of any message of this file. */
export function encodeMessage(
  message: RobotStateFields | RobotEventFields | WantFields | OnlineMessage,
): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** The broker's answer on `fleet/refusals/<client>` where MQTT 3.1.1 has none. */
export interface BrokerRefusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly topic: string;
}

const refusalSchema = z.object({
  code: z
    .string()
    .refine((code): code is ErrorCode => Object.hasOwn(CATALOGUE, code), 'unknown code'),
  message: textSchema,
  topic: textSchema,
});
const REFUSAL = kind('broker refusal', refusalSchema);

export const parseRefusal = (bytes: Uint8Array): BrokerRefusal => parseDocument(REFUSAL, bytes);
export const encodeRefusal = (refusal: BrokerRefusal): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(refusal));
