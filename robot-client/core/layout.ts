/** Where things are under a component's root. Pure paths; DESIGN §6 is the picture. */

export interface Layout {
  readonly root: string;
  /** One complete tree for each version that is kept. */
  readonly releases: string;
  /** Link to the release that boots. */
  readonly active: string;
  /** Link to the release before it. */
  readonly rollback: string;
  /** What is in progress; may be removed whole when nothing is. */
  readonly staging: string;
  readonly state: string;
  readonly machineFile: string;
  readonly adoptFile: string;
}

export function layoutOf(root: string): Layout {
  const state = `${root}/state`;
  return {
    root,
    releases: `${root}/releases`,
    active: `${root}/active`,
    rollback: `${root}/rollback`,
    staging: `${root}/staging`,
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
export const treeFolder = (folder: string): string => `${folder}/tree`;
export const releaseFolder = (layout: Layout, version: string): string =>
  `${layout.releases}/${version}`;
/** Links are relative, so that a root can be mounted elsewhere. */
export const linkTarget = (version: string): string => `releases/${version}`;

/** The version a link leads to; null for a text that is not one of ours. */
export function versionOfLink(target: string | null): string | null {
  const match = target === null ? null : /^releases\/([0-9A-Za-z.+-]+)$/.exec(target);
  return match?.[1] ?? null;
}
