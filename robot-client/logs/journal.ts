/**
 * Reads the end of the journal: of the units that the integrator named, and of the boot before this
 * one. A machine without a journal, and one that does not answer in time, leaves a line that says
 * so. The robot waits for this before it goes back, so it is short, and it never rejects.
 */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import type { LogSection } from '../../shared/io/packed-log.ts';
import { redact } from '../../shared/base/redact.ts';
import { PATH_DEFAULT } from '../install/search-path.ts';
import { lastLines } from './log-lines.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const PROGRAM = 'journalctl';
/** Lines that are asked for; the section is cut to its bound afterwards. */
const LINES = 2_000;
/** Bytes from journalctl at once: lines of any length. */
const OUTPUT_BYTES_MAX = 16 * LIMITS.failureLogSectionChars;
const UNIT = /^[A-Za-z0-9_@\\][A-Za-z0-9:_.@\\-]{0,254}$/;

export interface JournalWanted {
  readonly units: readonly string[];
  /** The update began in an earlier boot. */
  readonly isOtherBoot: boolean;
}

/** @throws DroverError USAGE */
export function parseUnit(text: string): string {
  if (UNIT.test(text)) return text;
  throw new DroverError('USAGE', `read --log-unit: not a systemd unit (got ${printable(text)})`);
}

/** Sections with what the journal has, in the order in which they were asked for. */
export async function readJournal({
  units,
  isOtherBoot,
}: JournalWanted): Promise<readonly LogSection[]> {
  const asked = units.map((unit) => ({
    title: `journal of ${unit}`,
    args: ['--unit', unit],
  }));
  const before = { title: 'journal of the boot before this one', args: ['--boot', '-1'] };
  const all = isOtherBoot ? [...asked, before] : asked;
  return await Promise.all(
    all.map(async ({ title, args }) => ({ title, text: await lastOf(args) })),
  );
}

/** Null where the kernel has none. */
export async function readBootId(): Promise<string | null> {
  const text = await readFile(BOOT_ID, 'utf8').catch(() => null);
  return text === null ? null : text.trim().slice(0, LIMITS.bootIdCharsMax);
}

async function lastOf(args: readonly string[]): Promise<string> {
  const { PATH } = process.env;
  return await new Promise((resolve) => {
    const given = [...args, '--lines', String(LINES), '--no-pager', '--output', 'short-iso'];
    const how = {
      cwd: '/',
      env: { PATH: PATH ?? PATH_DEFAULT, LC_ALL: 'C' },
      timeout: LIMITS.failureLogJournalMs,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES_MAX,
      encoding: 'utf8',
    } as const;
    try {
      execFile(PROGRAM, given, how, (error, stdout, stderr) => {
        const text = lastLines(redact(stdout).trimEnd(), LIMITS.failureLogSectionChars);
        const why = error === null ? '' : unread(stderr || error.message);
        resolve([text, why].filter((part) => part !== '').join('\n') || 'is empty');
      });
    } catch (error) {
      // Node throws for want of memory, or for a program that is being written.
      resolve(unread(String(error)));
    }
  });
}

const unread = (why: string): string => `could not be read: ${inOneLine(why)}`;

const inOneLine = (text: string): string =>
  printable(redact(text).trim().replaceAll(/\s+/g, ' '), 300);
