/** Another clock for one process. Ask `requirePeer(t, 'faketime')` before. */

import type { ChildOptions } from './child.ts';

/** Not by the program `faketime`: that stays between a signal and the process. */
const PRELOAD = 'LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1) exec "$0" "$@"';

/** @param clock as libfaketime reads it: `+41d`, or `@1970-01-02 00:00:00` */
export const withClock = (clock: string): Required<Pick<ChildOptions, 'under' | 'env'>> => ({
  under: ['sh', '-c', PRELOAD],
  env: { FAKETIME: clock },
});
