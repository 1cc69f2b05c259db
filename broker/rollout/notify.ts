/**
 * Notifies a person: runs the site's executable with one decision as JSON on its standard input.
 * The executable sends mail or a chat message, or switches on a lamp. It has a time-out and delays
 * no rollout.
 */

import { spawn } from 'node:child_process';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { AuditEntry } from './rollout-view.ts';
import type { AuditDraft } from './steps.ts';

export type Notify = (entry: AuditEntry) => Promise<void>;

/** @throws DroverError NOTIFY_FAILED with the last output of the program */
export function makeNotifier(command: string): Notify {
  return (entry) =>
    new Promise((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new DroverError('NOTIFY_FAILED', `run ${command}: ${why}`));
      const child = spawn(command, [], {
        stdio: ['pipe', 'ignore', 'pipe'],
        env: { ...process.env, DROVER_EVENT: entry.kind, DROVER_ROLLOUT: entry.rollout },
      });
      // Not spawn's own `timeout`: for a missing program that would keep us running all that time.
      const timer = setTimeout(() => child.kill('SIGKILL'), LIMITS.notifyMsMax);
      let words = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        words = (words + text).slice(-LIMITS.hookOutputBytesMax);
      });
      child.on('error', (error) => {
        clearTimeout(timer);
        fail(error.message);
      });
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        if (code === 0) return resolve();
        const how = signal === null ? `exit ${code}` : `killed by ${signal}`;
        fail(`${how}${words === '' ? '' : `: ${words.trim()}`}`);
      });
      // A program may ignore its input: that is no error.
      child.stdin.on('error', () => undefined);
      child.stdin.end(`${JSON.stringify(entry)}\n`);
    });
}

/** Decisions that notify a person at once. An operator's own pause is not among them. */
const CALLS: readonly string[] = [
  'halted',
  'awaiting_approval',
  'completed',
  'no_effect',
  'rolling_back',
  'rolled_back',
];

export const callsPerson = ({ kind, by }: Pick<AuditEntry, 'kind' | 'by'>): boolean =>
  CALLS.includes(kind) || (kind === 'paused' && by === 'controller');

export interface Announcing {
  readonly notify: Notify | null;
  /** Called with each entry of the audit log after it was written. */
  readonly onDecision?: (entry: AuditEntry) => void;
  /** Called with those that are for a person: the same ones that `notify` gets. */
  readonly onCall?: (entry: AuditEntry) => void;
  readonly log: Log;
}

/**
 * Passes a recorded decision to the listeners, and notifies a person when it is one for a person.
 * @param onFailed records in the history that the notification failed
 */
export function announceEntry(
  entry: AuditEntry,
  { notify, onDecision, onCall, log }: Announcing,
  onFailed: (draft: AuditDraft) => Promise<void>,
): void {
  onDecision?.(entry);
  log.info({ rollout: entry.rollout, kind: entry.kind, by: entry.by }, entry.text);
  if (!callsPerson(entry)) return;
  onCall?.(entry);
  if (!notify) return;
  notify(entry).catch((error: unknown) => {
    const { message: text } = toProblem(error);
    const draft = { kind: 'notify_failed', by: 'controller', text, evidence: [] } as const;
    inBackground(log, 'note a failed notification', onFailed(draft));
  });
}
