/**
 * The newest trust root that this robot has accepted, beside the one of its image: written before
 * anything is believed on its account, so that no power cut takes a robot back to keys that were
 * revoked. The higher version of the two counts.
 *
 * The file is as trustworthy as the link `active`: who can write it can run anything already.
 */

import type { Problem } from '../../shared/base/errors.ts';
import { openTrustUpdate, type LiveTrust } from '../../shared/formats/trust-chain.ts';
import { peekEnvelope } from '../../shared/formats/envelope.ts';
import { parseTrust } from '../../shared/formats/trust.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../update/state-file.ts';

export class TrustFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #trust: LiveTrust;

  /** @param trust holds the root of the image until `load` */
  constructor(disk: Disk, path: string, trust: LiveTrust) {
    this.#disk = disk;
    this.#path = path;
    this.#trust = trust;
  }

  /** @returns what was wrong with the file; null when nothing */
  async load(): Promise<Problem | null> {
    const { value, problem } = await readOrSetAside(this.#disk, this.#path, parseTrust);
    // An image of another fleet, or a newer one, was installed over what stood here.
    const isNewer = value?.fleet === this.#trust.fleet && value.version > this.#trust.version;
    if (value && isNewer) this.#trust.moveTo(value);
    return problem;
  }

  /**
   * Believes the next root, for good.
   * @returns false for a root that is in force already, which comes with each subscription
   * @throws DroverError ENVELOPE_*, TRUST_INVALID, TRUST_VERSION_WRONG, FLEET_WRONG,
   *   DISK_WRITE_FAILED, DISK_FULL
   */
  async take(version: number, bytes: Uint8Array): Promise<boolean> {
    if (version <= this.#trust.version || bytes.byteLength === 0) return false;
    const next = openTrustUpdate(bytes, this.#trust);
    await writeWhole(this.#disk, this.#path, peekEnvelope(bytes));
    this.#trust.moveTo(next);
    return true;
  }
}
