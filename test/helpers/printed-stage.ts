/**
 * Runs the commands of a page as they are printed: one bash, a network, processes and system
 * folders of its own, our programs on PATH. It writes nothing outside a temp folder, and leaves no
 * process.
 */

import assert from 'node:assert/strict';
import { chmod, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startChild, type Child } from './child.ts';
import { requirePeer } from './peer.ts';
import { runnableBlocks } from './printed-pages.ts';
import { programFile } from './program-file.ts';
import { repositoryFile } from './repository.ts';
import type { Scope } from './scope.ts';
import { tempFolder } from './temp-folder.ts';

const TIMEOUT_MS = 400_000;
/** A controller looks for a minute before the first wave of a new rollout; here for a second. */
const HURRY =
  'case " $* " in *" --rollout-key "*) set -- "$@" --controller-start 1s --lease 8s;; esac';
const PROGRAMS = [
  ['drover', 'publisher', ''],
  ['drover-broker', 'broker', HURRY],
  ['drover-robot', 'robot-client', ''],
] as const;

/** The system of a reader: an upper layer for each folder that the pages write into. */
const GROUND = `
ip link set lo up
for n in 1 2 3 5; do ip addr add 10.0.0.$n/32 dev lo; done
mount -t tmpfs tmpfs /mnt
for dir in etc opt media backup var/lib; do
  mkdir -p /mnt/up/$dir /mnt/work/$dir /$dir
  mount -t overlay overlay -o lowerdir=/$dir,upperdir=/mnt/up/$dir,workdir=/mnt/work/$dir /$dir
done
echo '127.0.0.1 cloud site cloud.example broker.plant.local' >> /etc/hosts
`;

const AFTER_README = `
mkdir -p app/bin && echo 'echo hello from 1.0.0' > app/bin/run
drover keygen --out keys/release
drover keygen --out keys/rollout
drover trust init --release keys/release.pub --rollout keys/rollout.pub --fleet acme --out trust.json
drover build ./app --version 1.0.0 --arch any --out bundles/1.0.0
drover sign bundles/1.0.0 --key keys/release.key
`;

export const WAIT_FOR_HTTP = 'until curl -sf http://127.0.0.1:8080/healthz; do sleep 0.5; done\n';

/** @returns a folder as the README leaves it: keys, trust.json, ./app and its bundle */
export async function folderAfterReadme(scope: Scope): Promise<string> {
  const folder = await tempFolder(scope);
  const env = { PATH: `${await putPrograms(folder)}:${process.env['PATH'] ?? ''}` };
  const cwd = join(folder, 'site');
  await mkdir(cwd);
  const child = startChild(scope, 'bash', ['-ec', AFTER_README], { cwd, env });
  await child.exit;
  assert.equal(child.ended?.code, 0, child.describe());
  return cwd;
}

export interface Around {
  /** A folder to copy; an empty one by default. */
  readonly from?: string;
  /** Shell before the first block. */
  readonly before?: string;
  /** Shell after each block, by its number among those that are run. */
  readonly after?: readonly string[];
}

/**
 * @returns the shell at its end and its folder; null when the test was skipped
 * @throws AssertionError with its output when a command failed
 */
export async function runPrinted(
  t: TestContext,
  page: string,
  { from, before = '', after = [] }: Around,
): Promise<{ child: Child; folder: string } | null> {
  for (const peer of ['unshare', 'ip', 'curl', 'jq', 'zstd', 'openssl', 'mosquitto']) {
    if (requirePeer(t, peer) === null) return null;
  }
  const folder = await tempFolder(t);
  const bin = await putPrograms(folder);
  const site = join(folder, 'site');
  await (from === undefined ? mkdir(site) : cp(from, site, { recursive: true }));
  for (const name of ['examples', 'mosquitto.conf']) {
    await symlink(repositoryFile(name), join(site, name));
  }
  const blocks = runnableBlocks(page).flatMap((block, at) => [block, after[at] ?? '']);
  await writeFile(join(folder, 'ground.sh'), `set -e\n${GROUND}`);
  await writeFile(join(folder, 'page.sh'), [before, ...blocks, 'echo ALL-DONE'].join('\n'));
  const asRoot = process.getuid?.() === 0 ? [] : ['-r'];
  const space = [...asRoot, '-n', '-m', '--pid', '--fork', '--kill-child'];
  const inside = 'bash ../ground.sh && exec bash -ex ../page.sh';
  const path = `${bin}:${process.env['PATH'] ?? ''}:/usr/sbin`;
  const env = { PATH: path, DROVER_PASSWORD: undefined, DROVER_USERNAME: undefined };
  const child = startChild(t, 'unshare', [...space, 'bash', '-c', inside], { cwd: site, env });
  const late = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
  const { code } = await child.exit;
  clearTimeout(late);
  assert.ok(code === 0 && child.stdout.includes('ALL-DONE'), child.describe());
  return { child, folder: site };
}

/** `sudo` is for a user; whoever runs this is root in there. */
export async function putPrograms(folder: string): Promise<string> {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(bin, name), 0o755);
  };
  await put('sudo', 'exec env "$@"');
  for (const [name, program, first] of PROGRAMS) {
    await put(name, `${first}\nexec "${process.execPath}" "${programFile(program)}" "$@"`);
  }
  return bin;
}
