/**
 * A machine to install on that has a shell, dpkg and glibc, and neither Node nor anything of ours:
 * copies of files of this machine with the libraries that they load, and a status of dpkg that says
 * so. No network. With DROVER_DEBOOTSTRAP=1 it is what debootstrap makes from the mirror of this
 * machine instead (over a minute). Its mounts belong to each command and end with it.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const COMMANDS =
  'sh cat chmod chown cp cut dirname env getent grep head id install ls ldconfig mkdir mv ' +
  'readlink rm rmdir sed tar gzip xz diff find flock start-stop-daemon sort sleep touch useradd ' +
  'groupadd test dpkg dpkg-deb dpkg-query dpkg-split dpkg-maintscript-helper';
const KNOWN_PACKAGES = ['libc6', 'libstdc++6', 'dpkg', 'coreutils', 'passwd'];
const NAME_SERVICE = ['libnss_files.so.2', 'libnss_compat.so.2'];

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export class CleanRoot {
  readonly #scope: Scope;
  readonly folder: string;

  private constructor(scope: Scope, folder: string) {
    this.#scope = scope;
    this.folder = folder;
  }

  static async make(scope: Scope): Promise<CleanRoot> {
    const folder = await tempFolder(scope);
    chmodSync(folder, 0o755);
    if (process.env['DROVER_DEBOOTSTRAP'] === '1') debootstrap(folder);
    else copyMachine(folder);
    for (const name of ['proc', 'dev', 'tmp']) mkdirSync(join(folder, name), { recursive: true });
    return new CleanRoot(scope, folder);
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** A command inside, as this user. */
  start(user: string, command: string, ...args: string[]): Child {
    const script =
      'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && ' +
      'root=$1 user=$2 && shift 2 && exec chroot --userspec="$user:$user" "$root" "$@"';
    const inside = ['-c', script, 'sh', this.folder, user, command, ...args];
    return startChild(this.#scope, 'unshare', ['--mount', 'sh', ...inside], {
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        LC_ALL: 'C',
        NODE_EXTRA_CA_CERTS: undefined,
        DEBIAN_FRONTEND: 'noninteractive',
      },
    });
  }

  async run(command: string, ...args: string[]): Promise<string> {
    const child = this.start('root', command, ...args);
    const { code } = await child.exit;
    if (code !== 0) throw new Error(child.describe());
    return child.stdout;
  }
}

function debootstrap(folder: string): void {
  const policy = run('apt-cache', 'policy');
  const release = readFileSync('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME=(\w+)/m.exec(release)?.[1] ?? '';
  const mirror = new RegExp(`(https?://\\S+) ${suite}/main`).exec(policy)?.[1];
  if (mirror === undefined) throw new Error(`no mirror of ${suite} in apt-cache policy`);
  run('debootstrap', '--variant=minbase', '--include=libstdc++6', suite, folder, mirror);
}

function copyMachine(folder: string): void {
  for (const name of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'etc', 'opt', 'root', 'run']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  for (const name of ['bin', 'sbin', 'lib', 'lib64'])
    symlinkSync(`usr/${name}`, join(folder, name));
  const programs = COMMANDS.split(' ').flatMap((name) => {
    const path = run('sh', '-c', `command -v "$0" || true`, name).trim();
    return path.startsWith('/') ? [path] : [];
  });
  const libraries = run('ldconfig', '-p');
  const named = NAME_SERVICE.flatMap(
    (name) => new RegExp(`${name} .*=> (/\\S+)`).exec(libraries)?.[1] ?? [],
  );
  const runtime = run('dpkg-query', '--listfiles', 'libc6', 'libstdc++6', 'libgcc-s1')
    .split('\n')
    .filter(
      (path) => /\.so(?:\.\d+)*$/.test(path) && !path.includes('/gconv/') && existsSync(path),
    );
  const needed = [
    ...runtime,
    ...[...programs, ...named].flatMap((path) => [path, ...librariesOf(path)]),
  ];
  for (const path of new Set(needed)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    cpSync(path, join(folder, path), { dereference: true });
  }
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\n');
  writeFileSync(join(folder, 'etc/shadow'), 'root:*:1::::::\n', { mode: 0o640 });
  writeFileSync(join(folder, 'etc/gshadow'), 'root:*::\n', { mode: 0o640 });
  writeFileSync(join(folder, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\n');
  for (const name of ['info', 'updates', 'parts', 'triggers']) {
    mkdirSync(join(folder, 'var/lib/dpkg', name), { recursive: true });
  }
  mkdirSync(join(folder, 'var/log'), { recursive: true });
  const known = KNOWN_PACKAGES.map((name) => run('dpkg-query', '--status', name));
  // The packages that are there count as installed; their own dependencies are not needed.
  const status = known.map((text) =>
    text.replace(/^(?:Pre-Depends|Depends|Conffiles):.*\n( .*\n)*/gm, ''),
  );
  writeFileSync(join(folder, 'var/lib/dpkg/status'), status.join('\n'));
  writeFileSync(join(folder, 'var/lib/dpkg/available'), '');
}

function librariesOf(path: string): string[] {
  let text: string;
  try {
    text = run('ldd', path);
  } catch {
    return []; // a script
  }
  return [...text.matchAll(/(\/\S+) \(0x/g)].map(([, library = '']) => library).filter(existsSync);
}
