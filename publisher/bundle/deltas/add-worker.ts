/** A thread that encodes one segment and posts its frame: the builder stays able to be stopped. */

import { parentPort, workerData } from 'node:worker_threads';
import { encodeAdds } from './encode-adds.ts';

export interface AddWork {
  readonly dictionary: Uint8Array;
  readonly fresh: Uint8Array;
}

const { dictionary, fresh } = workerData as AddWork;
const frame = Uint8Array.from(encodeAdds(dictionary, fresh));
parentPort?.postMessage(frame, [frame.buffer]);
