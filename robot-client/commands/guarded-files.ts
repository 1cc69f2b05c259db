/**
 * The files of a command line that no other user should be able to write: programs, and those of
 * the link.
 */

import { resolve } from 'node:path';
import type { Log } from '../../shared/base/ports.ts';
import { unsafeLine } from '../../shared/io/owned-file.ts';
import type { BootPlace } from '../boot/open-boot.ts';
import { BOOT_VERBS } from '../boot/own-programs.ts';
import type { GuardedPath } from '../install/safe-paths.ts';
import type { Modules } from '../modules/module-folder.ts';

/**
 * Programs of a robot beside its hooks: the modules that it has now, and those of the boot side.
 */
export function programsOf(of: {
  readonly modules: Modules;
  /** Value of `--modules`. */
  readonly folder: string | undefined;
  readonly boot: BootPlace | undefined;
}): GuardedPath[] {
  const { modules, folder, boot } = of;
  const code = 'PROGRAM_UNSAFE';
  const inModules = modules.names.map((name) => {
    return { path: resolve(folder ?? '', name), label: `module ${name}`, code } as const;
  });
  if (boot?.kind !== 'programs') return inModules;
  const inBoot = BOOT_VERBS.map((verb) => {
    return { path: `${boot.path}/${verb}`, label: `program ${verb} of --boot`, code } as const;
  });
  return [...inModules, ...inBoot];
}

interface LinkFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly 'require-log': string | undefined;
}

/** The agent goes on with such a file, and says who may change it. */
export function warnOfFiles(files: LinkFiles, log: Log): void {
  const warn = (reason: string): void => {
    log.warn({ reason }, 'others may use a file of the command line');
  };
  for (const name of ['ca', 'cert', 'require-log'] as const) {
    const line = files[name] === undefined ? null : unsafeLine(files[name], `--${name}`);
    if (line !== null) warn(line);
  }
}
