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
import { parseTrust, type TrustRoot } from '../../shared/formats/trust.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../update/state-file.ts';
import type { StateCopies } from './state-copies.ts';

export class TrustFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #trust: LiveTrust;
  readonly #copies: StateCopies | null;
  /** Of the root in force, when it came from a file. */
  #bytes: Uint8Array | null = null;

  /**
   * @param trust holds the root of the image until `load`
   * @param copies where the file stands as well
   */
  constructor(disk: Disk, path: string, trust: LiveTrust, copies: StateCopies | null = null) {
    this.#disk = disk;
    this.#path = path;
    this.#trust = trust;
    this.#copies = copies;
  }

  /** @returns what was wrong with the first file; null when nothing */
  async load(): Promise<Problem | null> {
    const problem = await this.#read(this.#path);
    await this.#copies?.each(async (folder) => void (await this.#read(`${folder}/trust.json`)));
    await this.#copies?.each((folder) => this.#copyTo(`${folder}/trust.json`));
    // A disk that refuses is told by its component; the copy is there.
    await this.#copyTo(this.#path).catch(() => {});
    return problem;
  }

  async #read(path: string): Promise<Problem | null> {
    let bytes: Uint8Array | null = null;
    const parse = (read: Uint8Array): TrustRoot => parseTrust((bytes = read));
    const { value, problem } = await readOrSetAside(this.#disk, path, parse);
    // An image of another fleet, or a newer one, was installed over what stood here.
    const isNewer = value?.fleet === this.#trust.fleet && value.version > this.#trust.version;
    if (value && isNewer) {
      this.#trust.moveTo(value);
      this.#bytes = bytes;
    }
    return problem;
  }

  /** Never over a newer one of this fleet. */
  async #copyTo(path: string): Promise<void> {
    if (!this.#bytes) return;
    const parse = (read: Uint8Array): TrustRoot => parseTrust(read);
    const { value } = await readOrSetAside(this.#disk, path, parse);
    if (value?.fleet !== this.#trust.fleet || value.version < this.#trust.version) {
      await writeWhole(this.#disk, path, this.#bytes);
    }
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
    this.#bytes = peekEnvelope(bytes);
    await writeWhole(this.#disk, this.#path, this.#bytes);
    this.#trust.moveTo(next);
    await this.#copies?.each((folder) => this.#copyTo(`${folder}/trust.json`));
    return true;
  }
}
