/** The thread of a hunt: it opens the door, goes at it, and tells what it found. */

import { parentPort, workerData } from 'node:worker_threads';
import { DOORS } from './doors.ts';
import { HandOver } from './hand-over.ts';
import { hunt } from './hunt.ts';
import { PLANTED } from './planted.ts';
import type { FromWorker, ToWorker } from './watch-hunt.ts';

const { door: name, corpus, seconds, seed, memory } = workerData as ToWorker;
const afterwards: (() => unknown)[] = [];
const openDoor = DOORS[name] ?? PLANTED[name];
if (!openDoor || !parentPort) throw new Error(`fuzz: no door ${name}`);

const handOver = new HandOver(memory);
const door = await openDoor({ after: (work) => void afterwards.push(work) });
const onInput = (input: Uint8Array): void => handOver.note(input);
const { finding, ...counts } = await hunt({ door, corpus, seconds, seed, onInput });
const told: FromWorker = {
  ...counts,
  finding: finding && { inputs: finding.inputs, why: finding.error.stack ?? String(finding.error) },
};
for (const work of afterwards.reverse()) await work();
parentPort.postMessage(told);
