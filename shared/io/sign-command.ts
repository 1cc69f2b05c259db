/**
 * A private key that never leaves its device: a command of the operator signs. It reads the message
 * from standard input and prints the Ed25519 signature, 64 raw bytes or 128 hex digits.
 *
 * Nothing that it prints is believed: each signature is verified before it is used, and its key is
 * found by that as well.
 */

import { randomBytes } from 'node:crypto';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { hexToBytes, utf8 } from '../crypto/bytes.ts';
import {
  keyIdOf,
  signatureIsValid,
  SIGNATURE_BYTES,
  type PublicKeyHex,
  type Signer,
} from '../crypto/ed25519.ts';
import { runCommand } from './run-command.ts';

export interface SignCommand {
  readonly command: string;
  /**
   * One of them is its key. With more than one it first signs a random text, which shows which one.
   */
  readonly candidates: readonly PublicKeyHex[];
  /** For one signature. */
  readonly msMax: number;
}

/** @throws DroverError SIGN_COMMAND_FAILED */
export async function commandSigner(job: SignCommand): Promise<Signer> {
  const publicKey = job.candidates.length === 1 ? job.candidates[0] : await findKey(job);
  if (publicKey === undefined) {
    throw failed('it signed with none of the keys that are known here', {
      hint: 'name its public key with --public-key, or a trust.json that has it with --trust',
    });
  }
  return {
    publicKey,
    sign: async (message) => {
      const signature = await signWith(job, message);
      if (signatureIsValid(signature, message, publicKey)) return signature;
      throw failed(`it made no signature of key ${keyIdOf(publicKey)} over the message`);
    },
  };
}

/** The text is neither an envelope nor a bundle: its signature is of no use to a thief. */
async function findKey(job: SignCommand): Promise<PublicKeyHex | undefined> {
  const text = utf8(
    `drover asks with which key this command signs: ${randomBytes(16).toString('hex')}`,
  );
  const signature = await signWith(job, text);
  return job.candidates.find((key) => signatureIsValid(signature, text, key));
}

async function signWith({ command, msMax }: SignCommand, message: Uint8Array): Promise<Uint8Array> {
  const bytesMax = LIMITS.keyCommandBytesMax;
  const { output, failure } = await runCommand(command, message, { msMax, bytesMax });
  if (failure !== null) throw failed(failure);
  if (output.byteLength === SIGNATURE_BYTES) return new Uint8Array(output);
  const bytes = hexToBytes(output.toString('latin1').trim().toLowerCase());
  if (bytes?.byteLength === SIGNATURE_BYTES) return bytes;
  const want = `want ${SIGNATURE_BYTES} raw bytes or ${2 * SIGNATURE_BYTES} hex digits`;
  throw failed(`wrong output (got ${output.byteLength} bytes, ${want})`);
}

function failed(why: string, more: { hint?: string } = {}): DroverError {
  return new DroverError('SIGN_COMMAND_FAILED', `run sign command: ${why}`, more);
}
