/** Keys as people keep them: in a file of OpenSSL, in a PKCS#11 token, in an ssh-agent. */

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';

export interface DeviceKey {
  /** In the spelling of the tool that holds it. */
  readonly publicKey: string;
  readonly signCommand: string;
}

const example = (name: string): string => repositoryFile(`examples/signing/${name}`);

/** False when a program is missing and the test was skipped. */
export function hasSigningPeers(t: TestContext): boolean {
  const peers = ['openssl', 'softhsm2-util', 'pkcs11-tool', 'ssh-agent'];
  return peers.every((peer) => requirePeer(t, peer) !== null);
}

export function opensslKey(folder: string, name: string): DeviceKey {
  const [pem, publicKey] = [join(folder, `${name}.pem`), join(folder, `${name}-public.pem`)];
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', pem]);
  execFileSync('openssl', ['pkey', '-in', pem, '-pubout', '-out', publicKey]);
  return { publicKey, signCommand: `sh ${example('openssl.sh')} ${pem}` };
}

/** In a token of SoftHSM2, which never gives it out. */
export function tokenKey(folder: string, label: string): DeviceKey {
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens, { recursive: true });
  const config = join(folder, 'softhsm2.conf');
  writeFileSync(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  const pinFile = join(folder, 'pin');
  writeFileSync(pinFile, '4321\n', { mode: 0o600 });
  const env = { ...process.env, SOFTHSM2_CONF: config };
  const pins = ['--so-pin', '1234', '--pin', '4321'];
  execFileSync('softhsm2-util', ['--init-token', '--free', '--label', 'drover', ...pins], { env });
  const module = softhsmModule();
  const tool = (...args: string[]) =>
    execFileSync('pkcs11-tool', ['--module', module, '--login', '--pin', '4321', ...args], { env });
  tool('--keypairgen', '--key-type', 'EC:edwards25519', '--label', label);
  const publicKey = join(folder, `${label}-token.pem`);
  tool('--read-object', '--type', 'pubkey', '--label', label, '-o', publicKey);
  const command = `sh ${example('pkcs11.sh')} ${module} ${label} ${pinFile}`;
  return { publicKey, signCommand: `SOFTHSM2_CONF=${config} ${command}` };
}

/** Debian has a folder for each architecture. */
function softhsmModule(): string {
  const folders = readdirSync('/usr/lib', { withFileTypes: true })
    .filter((one) => one.isDirectory())
    .map(({ name }) => `/usr/lib/${name}/softhsm`);
  const found = ['/usr/lib/softhsm', ...folders].find((folder) => {
    try {
      return readdirSync(folder).includes('libsofthsm2.so');
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error('softhsmModule: libsofthsm2.so is not there');
  return `${found}/libsofthsm2.so`;
}

/** The private half is in the memory of the agent only. */
export async function agentKey(t: TestContext, folder: string, name: string): Promise<DeviceKey> {
  const socket = join(folder, 'agent.sock');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  t.after(() => agent.kill());
  const env = { ...process.env, SSH_AUTH_SOCK: socket };
  const file = join(folder, name);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'drover test', '-f', file]);
  await waitUntil('the ssh-agent takes the key', () => {
    try {
      execFileSync('ssh-add', ['-q', file], { env, stdio: 'ignore' });
      return true;
    } catch {
      return null;
    }
  });
  execFileSync('rm', [file]);
  const command = `${process.execPath} ${example('ssh-agent.mjs')} ${file}.pub`;
  return { publicKey: `${file}.pub`, signCommand: `SSH_AUTH_SOCK=${socket} ${command}` };
}
