/**
 * One installation for `bench install`, in a process of its own as an agent is: the effects of a
 * robot from the last chunk to the new `active`. The file that the first argument names says what
 * to install; the output is the time of each step.
 */

import { readFileSync } from 'node:fs';
import { layoutOf } from '../robot-client/install/layout.ts';
import type { Effect } from '../robot-client/update/machine.ts';
import { freshState, type Job } from '../robot-client/update/state.ts';
import { runEffect } from '../robot-client/update/effects.ts';
import type { EffectContext } from '../robot-client/update/effect-context.ts';
import { realDisk } from '../robot-client/install/disk.ts';
import { prepareLayout } from '../robot-client/install/make-root.ts';
import { parseTrust } from '../shared/formats/trust.ts';

export interface InstallTask {
  readonly root: string;
  readonly job: Job;
  readonly trust: string;
}

export interface InstallOutcome {
  readonly seconds: Readonly<Record<'verify' | 'stage' | 'swap', number>>;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}

const STEPS = [
  ['verify', 'intact'],
  ['stage', 'staged'],
  ['swap', 'swapped'],
] as const satisfies readonly (readonly [Effect['kind'], string])[];

const { root, job, trust } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as InstallTask;
const layout = layoutOf(root);
const context: EffectContext = {
  component: 'app',
  layout,
  disk: realDisk,
  // Every chunk is there: whoever asks for one ends the run.
  link: null as unknown as EffectContext['link'],
  trust: parseTrust(Buffer.from(trust)),
  hooksFolder: `${root}/no-hooks`,
  bytesPerSecondMax: null,
  signal: new AbortController().signal,
  now: () => Date.now(),
  state: freshState,
  onProgress: () => undefined,
  onWaiting: () => undefined,
  readySaid: () => null,
  confirmed: new Promise(() => undefined),
};

await prepareLayout(realDisk, layout);
const seconds = { verify: 0, stage: 0, swap: 0 };
const before = process.cpuUsage();
for (const [kind, wanted] of STEPS) {
  const startedAt = performance.now();
  const effect = kind === 'swap' ? { kind, job, isAgain: false } : { kind, job };
  const event = await runEffect(effect, context);
  if (event?.kind !== wanted) throw new Error(`${kind}: ${JSON.stringify(event)}`);
  seconds[kind] = (performance.now() - startedAt) / 1000;
}
const { user, system } = process.cpuUsage(before);
const outcome: InstallOutcome = {
  seconds,
  cpuSeconds: (user + system) / 1e6,
  peakMiB: process.resourceUsage().maxRSS / 1024,
};
console.log(JSON.stringify(outcome));
