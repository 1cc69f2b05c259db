/** Opens the keys that a command line names: seeds, and devices that sign by a command. */

import { DroverError } from '../base/errors.ts';
import { type PublicKeyHex, seedSigner, type Signer } from '../crypto/ed25519.ts';
import { readSeeds, type KeySources } from './key-file.ts';
import { commandSigner } from './sign-command.ts';

export interface SignerSources extends KeySources {
  readonly signCommands: readonly string[];
}

export interface KnownKeys {
  /** Keys that a sign command may sign with. */
  readonly candidates: readonly PublicKeyHex[];
  /** Time-out of one signature by a command, in milliseconds. */
  readonly signMsMax: number;
}

/**
 * The environment is used only when neither a file nor a command is given.
 * @param warn called with one line about a key that other users may read
 * @returns at least one
 * @throws DroverError SIGN_COMMAND_FAILED, USAGE, and as `readSeeds`
 */
export async function readSigners(
  sources: SignerSources,
  { candidates, signMsMax: msMax }: KnownKeys,
  warn: (line: string) => void,
): Promise<Signer[]> {
  const { signCommands, files, commands } = sources;
  const hasSeeds = files.length + commands.length > 0;
  const seeds = hasSeeds || signCommands.length === 0 ? await readSeeds(sources, warn) : [];
  if (signCommands.length > 0 && candidates.length === 0) {
    throw new DroverError('USAGE', 'run sign command: its public key is not known', {
      hint: 'name it with --public-key NAME.pub',
    });
  }
  const signers = seeds.map(seedSigner);
  for (const command of signCommands) {
    signers.push(await commandSigner({ command, candidates, msMax }));
  }
  return signers;
}
