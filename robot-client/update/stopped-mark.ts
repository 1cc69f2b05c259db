/**
 * Remembers on the disk that an application is stopped for work that may not go on: a repair by a
 * module, or a swap whose lease was lost. Whatever becomes of that work, and of the agent, the next
 * agent starts the application again.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Disk } from '../install/disk-port.ts';
import { describeHook } from '../install/hooks.ts';
import type { Layout } from '../install/layout.ts';
import { writeWhole } from '../install/small-file.ts';
import type { ApplyTarget } from './apply-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import { hookOf } from './hook-calls.ts';

const markOf = ({ state }: Layout): string => `${state}/stopped`;

/** Durable when this resolves. Call it before the application is stopped. */
export async function noteStopped(disk: Disk, layout: Layout, version: string): Promise<void> {
  await writeWhole(disk, markOf(layout), new TextEncoder().encode(`${version}\n`));
}

/**
 * Starts an application that was stopped.
 * @param target the version that runs
 * @returns why it does not start; it is tried again with the next check
 */
export async function startIfStopped(
  on: EffectContext,
  target: ApplyTarget,
): Promise<Problem | null> {
  const { disk, layout } = on;
  if ((await disk.kind(markOf(layout))) === 'absent') return null;
  const started = await hookOf(target, on, 'start');
  if (started.kind !== 'ok' && started.kind !== 'absent') {
    const message = `start ${target.version} again: ${describeHook(started)}`;
    return toProblem(new DroverError('START_FAILED', message));
  }
  await disk.removeTree(markOf(layout));
  await disk.syncFolder(layout.state);
  return null;
}
