/**
 * Puts the rollout controller of a broker together: its keys, its store, its link to the engine.
 */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { BUDGET_CAPABILITY } from '../../shared/formats/announcement.ts';
import { assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
import type { Problem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import {
  APPROVAL_KEYS_CAPABILITY,
  APPROVERS_CAPABILITY,
  USERS_CAPABILITY,
} from '../../shared/formats/lease.ts';
import {
  LEASE_TOPIC,
  parseTopic,
  PROGRESS_FILTER,
  UPDATES_TOPIC,
} from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { Controller } from './controller.ts';
import { DEFAULT_TIMES, type ControllerTimes } from './controller-options.ts';
import type { Fleet } from '../control/fleet.ts';
import type { ControlStore } from '../control/control-store.ts';
import { KeyFiles } from './key-files.ts';
import { makeNotifier } from './notify.ts';
import { LevelRolloutStore } from './store.ts';
import type { AuditEntry } from './rollout-view.ts';

export interface LeadOptions {
  readonly signers: readonly Signer[];
  /** Reads the key files again, for a new root. */
  readonly readSigners?: (trust: TrustRoot) => Promise<readonly Signer[]>;
  /** Program that notifies a person; null for none. */
  readonly notify: string | null;
  readonly times: Partial<ControllerTimes>;
}

export interface LeadParts {
  readonly dataFolder: string;
  readonly trust: TrustRoot | null;
  readonly fleet: Fleet;
  readonly control: ControlStore;
  /** False on an external engine: another controller may already lead there. */
  readonly isAlone: boolean;
  /** True for a user who may approve now; undefined where the HTTP API knows no users. */
  readonly mayApprove: ((user: string) => boolean) | undefined;
  /** True while a user of ours has an approval key. */
  readonly hasApprovalKeys?: () => boolean;
  readonly log: Log;
  /** Called with each entry of the history after it was written. */
  onDecision(entry: AuditEntry): void;
  /** Called with those that are for a person. */
  onCall(entry: AuditEntry): void;
  publish(topic: string, payload: Uint8Array): Promise<void>;
}

export interface OpenedController {
  readonly controller: Controller;
  readonly store: Pick<LevelRolloutStore, 'snapshot' | 'lastEntries' | 'history'>;
  /** Why it can lead nothing: its key files hold no keys of the current root. Null when they do. */
  problem(): Problem | null;
  close(): Promise<void>;
}

/**
 * Reads what the carrier retains; `run` starts the controller.
 * @throws DroverError ENVELOPE_KEY_UNKNOWN, ENVELOPE_SIGNATURES_TOO_FEW, DATA_LOCKED
 */
export async function openController(
  { signers: first, readSigners, notify, times }: LeadOptions,
  parts: LeadParts,
): Promise<OpenedController> {
  const { dataFolder, trust, fleet, control, log } = parts;
  if (!trust) throw new TypeError('openController: no trust root'); // serve-settings.ts
  // Refused at the start, not when the first wave should open.
  assertKeysSatisfy(first, 'rollout', trust);
  const signers = [...first]; // one list for all users of it: the keys in it may change
  const keys = new KeyFiles({ signers, read: readSigners, trust, log });
  const store = await LevelRolloutStore.open(join(dataFolder, 'rollouts'), log);
  const controller = await Controller.open({
    self: `controller-${randomBytes(6).toString('hex')}`,
    trust,
    signers,
    fleet,
    store,
    termFloor: await store.termFloor(),
    isAlone: parts.isAlone,
    ...(parts.mayApprove && { mayApprove: parts.mayApprove }),
    ...(parts.hasApprovalKeys && { hasApprovalKeys: parts.hasApprovalKeys }),
    caps: [
      APPROVERS_CAPABILITY,
      BUDGET_CAPABILITY,
      ...(parts.mayApprove ? [USERS_CAPABILITY, APPROVAL_KEYS_CAPABILITY] : []),
    ],
    times: { ...DEFAULT_TIMES, ...times },
    notify: notify === null ? null : makeNotifier(notify),
    onNewKeys: async () => {
      hearRetained();
      await keys.renew();
    },
    keysProblem: () => keys.problem,
    onDecision: (entry) => parts.onDecision(entry),
    onCall: (entry) => parts.onCall(entry),
    log,
    now: Date.now,
    mono: () => performance.now(),
    publish: (topic, payload) => parts.publish(topic, payload),
  });
  const hearRetained = (): void => {
    for (const filter of [LEASE_TOPIC, UPDATES_TOPIC, PROGRESS_FILTER]) {
      for (const { topic, payload } of control.match(filter)) {
        const parsed = parseTopic(topic);
        if (parsed) controller.hear(parsed, payload);
      }
    }
  };
  hearRetained();
  const rereadKeys = (): void => inBackground(log, 'read the key files again', keys.retry());
  const looking = setInterval(rereadKeys, LIMITS.keyFilesLookMs);
  looking.unref();
  const close = async (): Promise<void> => {
    clearInterval(looking);
    await controller.close();
    await store.close();
  };
  return { controller, store, problem: () => keys.problem, close };
}
