/**
 * Makes a whole file system durable with one syncfs(2), by `sync -f`: Node has no call for it.
 * It is used only where a failed write is reported: by the program of GNU coreutils (busybox
 * ignores the answer of the kernel), on Linux 5.8 or later, and on file systems that are known to
 * note such failures (an overlay does not pass on those of the layer below).
 * docs/decisions/0035-syncfs.md says where this is weaker than fsync of each file, and why Drover
 * accepts that.
 */

import { execFile, type ChildProcess, type ExecFileException } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { release } from 'node:os';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** Linux from which on syncfs(2) reports errors of write-back. */
const KERNEL_MIN = [5, 8] as const;

/** Magic numbers of statfs(2): ext4 and its elders, XFS, btrfs, F2FS. */
const FILE_SYSTEMS: readonly number[] = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010];

const PROGRAM = 'sync';

interface Answer {
  /** Exit code; null when it was not started, or was killed. */
  readonly code: number | null;
  readonly out: string;
  readonly said: string;
}

let isProgramKnown = false;

export function isKernelFit(version: string): boolean {
  const [, major = 0, minor = 0] = (/^(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  return major > KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor >= KERNEL_MIN[1]);
}

/** True where `syncAll` reports a failed write of what lies in that folder. */
export async function canSyncAll(folder: string): Promise<boolean> {
  if (!isKernelFit(release())) return false;
  if (!FILE_SYSTEMS.includes((await statfs(folder)).type)) return false;
  if (isProgramKnown) return true;
  const { out } = await ask(['--version'], LIMITS.syncProbeMs);
  isProgramKnown = /\(GNU coreutils\)/.test(out);
  return isProgramKnown;
}

/**
 * @returns false when it is not known to be durable: the program is gone, was killed, or took
 *   longer than `syncAllMs`
 * @throws DroverError DISK_FULL, DISK_READ_ONLY, DISK_WRITE_FAILED; or the signal's reason
 */
export async function syncAll(folder: string, signal?: AbortSignal): Promise<boolean> {
  signal?.throwIfAborted();
  const answer = await ask(['-f', '--', folder], LIMITS.syncAllMs, signal);
  signal?.throwIfAborted();
  return isDurable(folder, answer);
}

/** How coreutils ends the line about a disk that did not take it, with glibc and with musl. */
const REFUSALS: readonly (readonly [text: RegExp, code: ErrorCode])[] = [
  [/: (?:No space left on device|(?:Disk q|Q)uota exceeded)$/m, 'DISK_FULL'],
  [/: Read-only file system$/m, 'DISK_READ_ONLY'],
  [/: (?:(?:Input\/output|I\/O) error|Structure needs cleaning)$/m, 'DISK_WRITE_FAILED'],
];

/**
 * A program that knows no `-f` syncs everything, and says so: that is no promise. Nor is one that
 * could not do its work (no file handle, no library, not allowed): each file is asked then.
 */
export function isDurable(folder: string, { code, said }: Omit<Answer, 'out'>): boolean {
  const text = said.trim();
  if (code === null || code === 0) return code === 0 && text === '';
  const refusal = REFUSALS.find(([words]) => words.test(text));
  if (refusal === undefined) return false;
  throw new DroverError(refusal[1], `sync ${folder}: ${text}`);
}

const NO_ANSWER: Answer = { code: null, out: '', said: '' };

function ask(args: readonly string[], timeoutMs: number, signal?: AbortSignal): Promise<Answer> {
  return new Promise((resolve) => {
    const child = start(args, (error, out, said) => {
      end(error === null ? { code: 0, out, said } : { ...NO_ANSWER, ...codeOf(error.code), said });
    });
    if (child === null) return resolve(NO_ANSWER);
    // One that waits for a dead disk does not end when it is killed.
    const giveUp = (): void => {
      child.kill('SIGKILL');
      child.unref();
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      end(NO_ANSWER);
    };
    const timer = setTimeout(giveUp, timeoutMs);
    signal?.addEventListener('abort', giveUp);
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      resolve(answer);
    };
  });
}

type OnEnd = (error: ExecFileException | null, out: string, said: string) => void;

/** Null when the system could not start it: Node throws for want of memory, or a sick program. */
function start(args: readonly string[], onEnd: OnEnd): ChildProcess | null {
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
  try {
    return execFile(PROGRAM, [...args], { env, windowsHide: true }, onEnd);
  } catch {
    return null;
  }
}

/** A text instead of a number is why the program was not started. */
const codeOf = (code: unknown): Pick<Answer, 'code'> => ({
  code: typeof code === 'number' ? code : null,
});
