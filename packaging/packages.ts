/**
 * The packages: which program goes into which, what each needs, and where its files go. Each brings
 * its bundle and the part of node_modules that this needs, below /usr/lib/<package>; none needs the
 * network.
 */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BUNDLED, WORKERS } from './bundled.ts';
import { STATE_SCHEMA_WRITTEN } from '../shared/rules/agent-bundle.ts';
import { bundledPackages, closureOf, licencesOf, namesOf, type Arch } from './closure.ts';
import type { Deb, PackedFile } from './deb.ts';
import { launcher, maintainerScripts } from './scripts.ts';

export interface Tree {
  /** The repository, compiled. */
  readonly top: string;
  readonly version: string;
}

interface Program {
  readonly name: string;
  /** The name of the command. */
  readonly command: string;
  readonly folder: keyof typeof BUNDLED;
  /** A shell script with the flags of Node that belong to it. */
  readonly script: string | null;
  /** More scripts that run as they are. */
  readonly scripts?: readonly string[];
  /** More fields of its package.json. */
  readonly manifest?: object;
  readonly units: readonly string[];
  readonly defaults: readonly string[];
  readonly user: string | null;
  readonly data: readonly string[];
  readonly recommends: string | null;
  readonly title: string;
}

const NODE = 'drover-node | nodejs (>= 20.19)';

const PROGRAMS: readonly Program[] = [
  {
    name: 'drover-broker',
    command: 'drover-broker',
    folder: 'broker',
    script: 'broker/drover-broker',
    units: ['drover-broker.service', 'drover-relay.service'],
    defaults: ['drover-broker', 'drover-relay'],
    user: 'drover',
    data: ['/var/lib/drover-broker', '/var/lib/drover-relay'],
    recommends: null,
    title: 'broker and site relay for signed updates of robot fleets',
  },
  {
    name: 'drover-robot',
    command: 'drover-robot',
    folder: 'robot-client',
    script: 'robot-client/drover-robot',
    scripts: ['robot-client/drover-launch'],
    // The folder of the package is a release of the agent.
    manifest: { drover: { stateSchema: STATE_SCHEMA_WRITTEN } },
    units: ['drover-robot.service', 'drover-recover.service', 'drover-enrol.service'],
    defaults: ['drover-robot'],
    user: null,
    data: ['/var/lib/drover'], // what was mounted; roots of robots are never removed
    recommends: 'zstd', // deltas; without it robots take full payloads
    title: 'agent that keeps a robot on signed releases',
  },
  {
    name: 'drover-publisher',
    command: 'drover',
    folder: 'publisher',
    script: null,
    units: [],
    defaults: [],
    user: null,
    data: [],
    recommends: 'zstd',
    title: 'builds, signs and publishes updates of robot fleets',
  },
];

/** @param arch for packages that hold something native; the others fit every machine */
export function programPackages(tree: Tree, arch: Arch): Deb[] {
  return PROGRAMS.map((program) => makePackage(tree, program, arch));
}

/** Below the repository: the threads that a program starts. */
function workersOf(folder: string): string[] {
  const mine = Object.entries(WORKERS).filter(([source]) => source.startsWith(`${folder}/`));
  return mine.map(([, name]) => `dist/${name}.js`);
}

function makePackage({ top, version }: Tree, program: Program, arch: Arch): Deb {
  const { name, folder } = program;
  const [home, doc] = [`usr/lib/${name}`, `usr/share/doc/${name}`];
  const bundle = `dist/${BUNDLED[folder]}.js`;
  const { inside, beside } = bundledPackages(top, folder);
  const closure = closureOf(beside, top, arch);
  const main = program.script ?? bundle;
  const started = program.script === null ? `"$node" /${home}/${main}` : `/${home}/${main}`;
  const manifest = { name, version, type: 'module', private: true, ...program.manifest };
  const { script, scripts: more = [] } = program;
  const scripts = script === null ? more : [script, ...more];
  const files: PackedFile[] = [
    file(`${home}/${bundle}`, join(top, bundle)),
    ...workersOf(folder).map((worker) => file(`${home}/${worker}`, join(top, worker))),
    ...closure.files.map(({ from, to }) => file(`${home}/${to}`, from)),
    ...licencesOf(inside, top).map(({ from, to }) => file(`${doc}/licences/${to}`, from)),
    text(`${home}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`),
    text(`usr/bin/${program.command}`, launcher(program.command, started), 0o755),
    text(`${doc}/copyright`, copyright(top, [...namesOf(inside, top), ...closure.packages])),
    ...scripts.map((one) => ({ ...file(`${home}/${one}`, join(top, one)), mode: 0o755 })),
    ...program.units.map((unit) =>
      file(`usr/lib/systemd/system/${unit}`, join(top, 'packaging/units', unit)),
    ),
    ...program.defaults.map((one) =>
      file(`etc/default/${one}`, join(top, 'packaging/units', `${one}.default`)),
    ),
  ];
  const { units, user, data, recommends } = program;
  return {
    name,
    version,
    arch: closure.hasNative ? arch : 'all',
    fields: {
      Depends: closure.hasNative ? `${NODE}, libc6 (>= 2.28), libstdc++6 (>= 8)` : NODE,
      ...(recommends === null ? {} : { Recommends: recommends }),
    },
    description: [program.title, 'Part of Drover. See docs/operations.md of its sources.'],
    files,
    scripts: units.length === 0 ? {} : maintainerScripts({ units, user, data }),
  };
}

/** Node as it builds this, for machines whose distribution has an older one. */
export function nodePackage({
  node,
  version,
  arch,
}: {
  node: string;
  version: string;
  arch: Arch;
}) {
  const licence = [
    join(dirname(node), '../LICENSE'),
    join(dirname(node), '../share/doc/nodejs/LICENSE'),
  ].find(existsSync);
  if (licence === undefined) {
    throw new Error(`no LICENSE beside ${node}: Node may not be passed on without it`);
  }
  return {
    name: 'drover-node',
    version,
    arch,
    fields: { Depends: 'libc6 (>= 2.28), libstdc++6 (>= 8)' },
    description: ['Node.js for Drover', 'Used by the packages of Drover and by nothing else.'],
    files: [
      { ...file('usr/lib/drover/node', node), mode: 0o755 },
      file('usr/share/doc/drover-node/copyright', licence),
    ],
    scripts: {},
  } satisfies Deb;
}

const file = (to: string, from: string): PackedFile => ({ to, content: { from } });
const text = (to: string, content: string, mode = 0o644): PackedFile => ({
  to,
  content: { text: content },
  mode,
});

function copyright(top: string, packages: readonly string[]): string {
  const list = packages.map((one) => `  ${one}\n`).join('');
  return `Drover is under the Apache License 2.0, which follows. It brings these packages; the licence of
each stands in licences/ beside this file, or in its folder below node_modules:

${list}
${readFileSync(join(top, 'LICENSE'), 'utf8')}`;
}
