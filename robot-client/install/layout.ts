/** Paths under the root of a component. Sans-I/O. */

export interface Layout {
  readonly root: string;
  /** Roots of the other components of this robot: releases that their slots lead to are kept. */
  readonly siblings: readonly string[];
  /** One complete tree for each version that is kept. */
  readonly releases: string;
  /** Link to the release that boots. */
  readonly active: string;
  /** Link to the release before it. */
  readonly rollback: string;
  /** Files of updates in progress; may be removed as a whole when there is none. */
  readonly staging: string;
  /** For each release the recipe of the tar that it came from (recipe.ts). */
  readonly bases: string;
  /** The seal of each release. A recipe or a seal marks a release as Drover's. */
  readonly seals: string;
  /** For each release the byte code that came with it, as second names of the same files. */
  readonly kept: string;
  /** For each release that a module applied: which one (strategy-file.ts). */
  readonly strategies: string;
  /** For each module a folder of its own. */
  readonly modules: string;
  /** For each system slot the image that was written into it (slot-records.ts). */
  readonly systemSlots: string;
  readonly state: string;
  readonly machineFile: string;
  readonly adoptFile: string;
}

/** @param siblings roots of the robot; `root` itself may be among them */
export function layoutOf(root: string, siblings: readonly string[] = []): Layout {
  const state = `${root}/state`;
  return {
    root,
    siblings: siblings.filter((one) => one !== root),
    releases: `${root}/releases`,
    active: `${root}/active`,
    rollback: `${root}/rollback`,
    staging: `${root}/staging`,
    bases: `${root}/bases`,
    seals: `${root}/seals`,
    kept: `${root}/kept`,
    strategies: `${root}/strategies`,
    modules: `${root}/modules`,
    systemSlots: `${root}/system-slots`,
    state,
    machineFile: `${state}/machine.json`,
    adoptFile: `${state}/adopting.json`,
  };
}

/** Folder of one job's bytes: by content, so that a re-announced bundle resumes. */
export const stagingFolder = (layout: Layout, payloadSha256: string): string =>
  `${layout.staging}/${payloadSha256.slice(0, 32)}`;
export const payloadFile = (folder: string): string => `${folder}/payload.tar.gz`;
export const indexFile = (folder: string): string => `${folder}/chunk-index`;
/** Holds the room that unpacking will need, and nothing else. */
export const roomFile = (folder: string): string => `${folder}/room`;
/** A delta and its index; the name identifies the delta. */
export const patchFile = (folder: string, sha256: string): string =>
  `${folder}/patch-${sha256.slice(0, 16)}`;
export const patchIndexFile = (folder: string, sha256: string): string =>
  `${patchFile(folder, sha256)}-index`;
/** The output of the delta: the tar inside payload.tar.gz. */
export const tarFile = (folder: string): string => `${folder}/payload.tar`;
/** Names in a staging folder that only a delta needs. */
export const isOfDelta = (name: string): boolean =>
  name.startsWith('patch-') || name === 'payload.tar' || name === 'dictionary';
/** Holds the room that the tar and the dictionary will need. */
export const patchRoomFile = (folder: string): string => `${folder}/patch-room`;
/** Scratch: what zstd may copy from while it unpacks one segment. */
export const dictionaryFile = (folder: string): string => `${folder}/dictionary`;
/** The recipe of the release that is being unpacked. */
export const newRecipeFile = (folder: string): string => `${folder}/recipe`;
/** The byte code of the release that is being unpacked. */
export const newKeptFolder = (folder: string): string => `${folder}/kept`;
export const treeFolder = (folder: string): string => `${folder}/tree`;
export const releaseFolder = (layout: Layout, version: string): string =>
  `${layout.releases}/${version}`;
export const keptFolder = (layout: Layout, version: string): string => `${layout.kept}/${version}`;
export const strategyFile = (layout: Layout, version: string): string =>
  `${layout.strategies}/${version}`;
/** A second copy, in another folder: the first one may be lost. Its name is no version. */
export const strategyCopyFile = (layout: Layout, version: string): string =>
  `${layout.seals}/.strategy-${version}`;
export const moduleFolder = (layout: Layout, module: string): string =>
  `${layout.modules}/${module}`;
export const recipeFile = (layout: Layout, version: string): string => `${layout.bases}/${version}`;
export const sealFile = (layout: Layout, version: string): string => `${layout.seals}/${version}`;
/** Seal of an adopted release. Its name is no version: it does not mark the release as Drover's. */
export const adoptedSealFile = (layout: Layout, version: string): string =>
  `${layout.seals}/${ADOPTED_SEAL}${version}`;
export const ADOPTED_SEAL = '.adopted-';
/** Links are relative, so that a root can be mounted elsewhere. */
export const linkTarget = (version: string): string => `releases/${version}`;

/** The version a link leads to; null for a text that is not one of ours. */
export function versionOfLink(target: string | null): string | null {
  const match = target === null ? null : /^releases\/([0-9A-Za-z.+-]+)$/.exec(target);
  return match?.[1] ?? null;
}
