/**
 * Keeps the keys of a controller equal to those of the current trust root: after a rotation it
 * reads the key files again, and repeats that while they do not match. Until they match it can lead
 * nothing.
 */

import { nullIfRefused, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';

interface KeyFilesOptions {
  /** The signing keys; changed in place. */
  readonly signers: Signer[];
  readonly read: ((trust: TrustRoot) => Promise<readonly Signer[]>) | undefined;
  readonly trust: TrustRoot;
  readonly log: Log;
}

/** Reads the keys of a new root from the key files, when ours are not those of the current root. */
export class KeyFiles {
  readonly #options: KeyFilesOptions;
  problem: Problem | null = null;

  constructor(options: KeyFilesOptions) {
    this.#options = options;
  }

  /**
   * Call after a change of the root, and at intervals while the files do not match. Never rejects.
   */
  async renew(): Promise<void> {
    const { signers, read, trust, log } = this.#options;
    const before = this.problem;
    try {
      if (!this.#fits()) {
        const all = (await read?.(trust)) ?? signers;
        // During a rotation the files of both roots may be there.
        const ours = all.filter((one) => trust.roles.rollout.keys.includes(one.publicKey));
        const fresh = ours.length > 0 ? ours : all;
        assertKeysSatisfy(fresh, 'rollout', trust);
        signers.splice(0, signers.length, ...fresh);
        log.info({ version: trust.version }, 'the controller signs with the keys of the new root');
      }
      this.problem = null;
    } catch (error) {
      this.problem = keysProblem(toProblem(error), trust);
      if (before?.message === this.problem.message) return;
      log.error({ problem: this.problem }, 'the controller has no key of the new root');
    }
  }

  async retry(): Promise<void> {
    if (this.problem !== null) await this.renew();
  }

  #fits(): boolean {
    const { signers, trust } = this.#options;
    return nullIfRefused(() => assertKeysSatisfy(signers, 'rollout', trust) ?? true) ?? false;
  }
}

function keysProblem({ code, message }: Problem, { version }: TrustRoot): Problem {
  const everyMin = LIMITS.keyFilesLookMs / 60_000;
  return {
    code,
    message: `lead rollouts under trust.json version ${version}: ${message}`,
    hint: `put the keys of that version into the files of --rollout-key; they are read again every ${everyMin} minutes, without a restart`,
  };
}
