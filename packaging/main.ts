/**
 * `npm run package`: the Debian packages of this tree, in `packages/`. No network, and the same tree
 * gives the same bytes. `--with-node` adds drover-node from the Node that runs this.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import type { Arch } from './closure.ts';
import { buildDeb, type Compression } from './deb.ts';
import { nodePackage, programPackages } from './packages.ts';

const ARCHES: readonly Arch[] = ['amd64', 'arm64'];
/** For a tree without git and without SOURCE_DATE_EPOCH. */
const LONG_AGO_S = Date.UTC(2026, 0, 1) / 1000;

const top = fileURLToPath(new URL('../..', import.meta.url));

function epoch(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined) return Number(given);
  try {
    return Number(execFileSync('git', ['-C', top, 'log', '-1', '--format=%ct'], { stdio: 'pipe' }));
  } catch {
    return LONG_AGO_S; // an unpacked tree, or no git on this machine
  }
}

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(top, 'packages') },
    arch: { type: 'string', multiple: true, default: [...ARCHES] },
    only: { type: 'string', multiple: true },
    'with-node': { type: 'boolean', default: false },
    /** Large and soon made, for tests. */
    fast: { type: 'boolean', default: false },
  },
});
const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as {
  version: string;
};
const compression: Compression = values.fast
  ? { kind: 'gzip', level: 1 }
  : { kind: 'xz', level: 6 };
const build = { out: values.out, epochS: epoch(), compression };
const made = new Set<string>();
for (const arch of ARCHES.filter((one) => values.arch.includes(one))) {
  for (const deb of programPackages({ top, version }, arch)) {
    if (values.only && !values.only.includes(deb.name)) continue;
    const name = `${deb.name} ${deb.arch}`;
    if (!made.has(name)) process.stdout.write(`${buildDeb(deb, build)}\n`);
    made.add(name);
  }
}
if (values['with-node']) {
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const node = process.execPath;
  const nodeVersion = process.versions.node;
  process.stdout.write(`${buildDeb(nodePackage({ node, version: nodeVersion, arch }), build)}\n`);
}
