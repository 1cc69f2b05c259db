/** `npm run bench -- <name>`: each name is one file that measures one thing and appends a table. */

import { DroverError } from '../shared/base/errors.ts';
import { runProgram } from '../shared/io/cli.ts';
import { benchDelta } from './delta.ts';
import { benchFanout, benchIdle } from './fanout.ts';
import { benchGate } from './gate.ts';
import { benchGuest } from './guest.ts';
import { benchHard } from './hard.ts';
import { benchImage } from './image.ts';
import { benchInstall } from './install.ts';
import { benchKills } from './kills.ts';
import { benchLinks } from './links.ts';
import { benchPayload } from './payload.ts';
import { benchTrees } from './trees.ts';
import { benchPower } from './power.ts';
import { benchPull } from './pull.ts';
import { benchRecover } from './recover.ts';
import { benchScale } from './scale.ts';
import { benchSoak } from './soak.ts';
import { benchUplink } from './uplink.ts';
import { benchUpload } from './upload.ts';
import { benchWeight } from './weight.ts';

const BENCHES: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  delta: benchDelta,
  fanout: benchFanout,
  gate: benchGate,
  guest: benchGuest,
  hard: benchHard,
  idle: benchIdle,
  image: benchImage,
  install: benchInstall,
  kills: benchKills,
  links: benchLinks,
  payload: benchPayload,
  peers: benchTrees,
  power: benchPower,
  pull: benchPull,
  recover: benchRecover,
  scale: benchScale,
  soak: benchSoak,
  upload: benchUpload,
  uplink: benchUplink,
  weight: benchWeight,
};

await runProgram('bench', async () => {
  const [name = '', ...args] = process.argv.slice(2);
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (!bench) {
    const names = Object.keys(BENCHES).join(', ');
    throw new DroverError(
      'USAGE',
      `run bench: no such name (got ${name || 'none'}, want ${names})`,
    );
  }
  await bench(args);
});
