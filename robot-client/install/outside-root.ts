/**
 * Decides where Drover keeps files outside of all roots: a folder for locks, which a boot removes,
 * and one that remembers mounts. The latter shows when the file system of a root is missing: the
 * path then leads to the folder below the mount, which looks like a new robot. Sans-I/O.
 */

export interface OwnFolders {
  /** For locks by path; null where none can be made. */
  readonly runtime: string | null;
  /** Parent of `mounts/`; null when there is none. */
  readonly memory: string | null;
}

export const NO_FOLDERS: OwnFolders = { runtime: null, memory: null };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * systemd names its folders; without it they are those of the machine for root, else of the user.
 * @param environment a path that is not absolute counts as none
 */
export function ownFolders(environment: Environment, isSuperuser: boolean): OwnFolders {
  const given = (name: string, below = ''): string | null => {
    const [first = ''] = (environment[name] ?? '').split(':'); // a unit may have several
    return first.startsWith('/') ? `${first}${below}` : null;
  };
  const runtime = isSuperuser ? '/run/drover' : given('XDG_RUNTIME_DIR', '/drover');
  const ofUser = given('XDG_STATE_HOME', '/drover') ?? given('HOME', '/.local/state/drover');
  return {
    runtime: given('RUNTIME_DIRECTORY') ?? runtime,
    memory: given('STATE_DIRECTORY') ?? (isSuperuser ? '/var/lib/drover' : ofUser),
  };
}

/** The folders from `/` down to one path, each with the device of its file system. */
export type Way = readonly { readonly path: string; readonly device: string | null }[];

/**
 * The highest folder of the file system that holds the end of a way, or what exists of it. A bind
 * mount of the same file system does not count: units have those that other programs do not see.
 */
export function mountPointOn(way: Way): string {
  const found = way.filter(({ device }) => device !== null);
  let at = found.length - 1;
  while (at > 0 && found[at - 1]?.device === found[at]?.device) at -= 1;
  return found[at]?.path ?? '/';
}

/**
 * @param remembered where the file system of the root was mounted
 * @param now where the file system is mounted that the root leads to
 * @param isMounted whether one is mounted at `remembered`
 */
export function isMountMissing(on: {
  readonly remembered: string;
  readonly now: string;
  readonly isMounted: boolean;
}): boolean {
  const { remembered, now, isMounted } = on;
  // A root that leads to another disk, or to one that is mounted deeper, was moved by a person.
  const isBelow = remembered !== now && (now === '/' || remembered.startsWith(`${now}/`));
  return isBelow && !isMounted;
}
