/** Names of the files that `bundle.ts` makes, for the code that starts or packs them. */

/** Of each program's folder: the file below `dist/`, without `.js`. */
export const BUNDLED = {
  publisher: 'drover',
  broker: 'drover-broker',
  'robot-client': 'drover-robot',
} as const;

/** The libraries for other programs: maps each entry file below `dist/` to the bundle of it. */
export const LIBRARIES = {
  'publisher/library.js': 'library',
  'robot-client/local/library.js': 'local',
} as const;

/** Threads that the publisher starts: each lies beside its bundles, under the name of its source. */
export const WORKERS = {
  'publisher/bundle/deltas/add-worker.js': 'add-worker',
} as const;

/** Packages of node_modules that are in a bundle, and those that it needs beside it. */
export interface BundledPackages {
  /** Folders, below the repository. */
  readonly inside: readonly string[];
  /** Names. */
  readonly beside: readonly string[];
}

/** Below `dist/`: `BundledPackages` by the folder of the program. */
export const BUNDLE_LISTS = 'bundled-packages.json';

/** It has machine code, and stays beside the bundle. */
export const NATIVE_PACKAGE = 'classic-level';
