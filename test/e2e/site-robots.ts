/**
 * Many robots of one site in one process: real agents with links, folders and disks of their own.
 * Arguments: prefix of their ids, how many, broker URL, trust file, folder of their roots.
 */

import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { Agent } from '../../robot-client/agent.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { parseTrust } from '../../shared/formats/trust.ts';

const [prefix = '', count = '', url = '', trustFile = '', folder = ''] = process.argv.slice(2);
const trust = parseTrust(await readFile(trustFile));

const agents: Agent[] = [];
for (let at = 1; at <= Number(count); at += 1) {
  const id = `${prefix}${at}`;
  const agent = new Agent({
    ...{ robot: parseRobotId(id), trust, arch: 'x86_64', model: 'simulated', tags: [] },
    ...{ bytesPerSecondMax: null, bootsMax: 3, adoptVersion: '0.0.0', disk: realDisk },
    roots: [{ component: 'app', root: join(folder, id) }],
    hooksFolder: join(folder, 'no-hooks'),
    link: { url },
    log: makeLog(id, 'silent'),
  });
  await agent.open();
  agents.push(agent);
}
process.stdout.write('ready\n');
process.once('SIGTERM', () => {
  Promise.all(agents.map((agent) => agent.close())).then(
    () => process.removeAllListeners(),
    () => (process.exitCode = 1),
  );
});
