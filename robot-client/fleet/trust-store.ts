/**
 * Stores the newest trust root that this robot has accepted, beside the one of its image. It is
 * written before it is used, so that no power cut takes a robot back to revoked keys. The higher
 * version of the two counts.
 * The file is as trustworthy as the link `active`: whoever can write it can run anything already.
 */

import { failureOf, type Problem } from '../../shared/base/errors.ts';
import { openTrustUpdate, type LiveTrust } from '../../shared/formats/trust-chain.ts';
import { peekEnvelope } from '../../shared/formats/envelope.ts';
import { parseTrust, type TrustRoot } from '../../shared/formats/trust.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';
import { keepIn, onlyIn, type Copies } from './state-copies.ts';

export class TrustFile {
  readonly #disk: Disk;
  readonly #name: string;
  readonly #trust: LiveTrust;
  readonly #copies: Copies;
  /** Bytes of the current root, when it came from a file. */
  #bytes: Uint8Array | null = null;

  /**
   * @param path in the first root
   * @param trust holds the root of the image until `load`
   * @param copies the places of the file; only `path` by default
   */
  constructor(disk: Disk, path: string, trust: LiveTrust, copies: Copies | null = null) {
    const at = path.lastIndexOf('/');
    this.#disk = disk;
    this.#name = path.slice(at + 1);
    this.#trust = trust;
    this.#copies = copies ?? onlyIn(path.slice(0, at));
  }

  /**
   * May be called again when the first root becomes readable. The component of a disk that refuses
   * reports it; the inbox decides whether enough is known.
   * @returns what was wrong with the first file; null when nothing
   */
  async load(): Promise<Problem | null> {
    let problem: Problem | null = null;
    await failureOf(
      this.#copies.first(async (folder) => void (problem = await this.#read(this.#in(folder)))),
    );
    await this.#copies.others(async (folder) => void (await this.#read(this.#in(folder))));
    await this.settle();
    return problem;
  }

  /** Updates each root that has an older one; a disk that refuses is skipped. */
  async settle(): Promise<void> {
    await failureOf(keepIn(this.#copies, (folder) => this.#copyTo(this.#in(folder))));
  }

  #in(folder: string): string {
    return `${folder}/${this.#name}`;
  }

  async #read(path: string): Promise<Problem | null> {
    let bytes: Uint8Array | null = null;
    const parse = (read: Uint8Array): TrustRoot => parseTrust((bytes = read));
    const { value, problem } = await readOrSetAside(this.#disk, path, parse);
    // An image of another fleet, or a newer one, replaced the former one.
    const isNewer = value?.fleet === this.#trust.fleet && value.version > this.#trust.version;
    if (value && isNewer) {
      this.#trust.moveTo(value);
      this.#bytes = bytes;
    }
    return problem;
  }

  /** Never replaces a newer one of this fleet. */
  async #copyTo(path: string, bytes = this.#bytes, version = this.#trust.version): Promise<void> {
    if (!bytes) return;
    const parse = (read: Uint8Array): TrustRoot => parseTrust(read);
    const { value } = await readOrSetAside(this.#disk, path, parse);
    if (value?.fleet !== this.#trust.fleet || value.version < version) {
      await writeWhole(this.#disk, path, bytes);
    }
  }

  /**
   * Accepts the next root, durably. [P-4.8]
   * @returns false for the current root, which comes with each subscription
   * @throws DroverError ENVELOPE_*, TRUST_INVALID, TRUST_VERSION_WRONG, FLEET_WRONG,
   *   DISK_WRITE_FAILED, DISK_FULL
   */
  async take(version: number, bytes: Uint8Array): Promise<boolean> {
    if (version <= this.#trust.version || bytes.byteLength === 0) return false;
    const next = openTrustUpdate(bytes, this.#trust);
    const root = peekEnvelope(bytes);
    await keepIn(this.#copies, (folder) => this.#copyTo(this.#in(folder), root, next.version));
    this.#bytes = root;
    this.#trust.moveTo(next);
    return true;
  }
}
