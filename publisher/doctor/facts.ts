/**
 * The facts that `drover doctor` collects before it judges any of them. A fact that could not be
 * read is one too, with the reason: nothing is taken for good because it was not seen. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { FleetRow } from '../rollout/fleet-report.ts';

/** `unknown`: it was not asked for, or something that failed before was needed for it. */
export type Fact<T> =
  | { readonly kind: 'known'; readonly value: T }
  | { readonly kind: 'failed'; readonly problem: Problem }
  | { readonly kind: 'unknown'; readonly why: string };

export const known = <T>(value: T): Fact<T> => ({ kind: 'known', value });
export const unknown = (why: string): Fact<never> => ({ kind: 'unknown', why });

/** Reads; a refusal becomes a failed fact. A bug of ours is thrown. */
export async function factOf<T>(read: () => T | Promise<T>): Promise<Fact<T>> {
  try {
    return known(await read());
  } catch (error) {
    if (!(error instanceof DroverError)) throw error;
    return { kind: 'failed', problem: toProblem(error) };
  }
}

export interface KeyFact {
  readonly path: string;
  readonly key: Fact<{
    readonly publicKey: PublicKeyHex;
    /** Permission bits of the file when users other than its owner may read it, else null. */
    readonly openMode: number | null;
  }>;
}

export interface CertificateFact {
  readonly expiresMs: EpochMs;
  /** Why a client refuses it; null when it is accepted. */
  readonly refusal: string | null;
}

/** One address of a broker or of its API. */
export interface DoorFact {
  /** `host:port` */
  readonly address: string;
  /** The certificate is null where TLS is not used. */
  readonly reach: Fact<{ readonly certificate: CertificateFact | null }>;
}

/** Retained messages that a fleet is led by, not verified. */
export interface ControlFacts {
  readonly announcement: Uint8Array | null;
  readonly lease: Uint8Array | null;
  /** Versions of trust.json that the broker has updates to. */
  readonly trustVersions: readonly number[];
}

export interface RobotsFacts {
  readonly rows: readonly FleetRow[];
  /** Reports that could not be read. */
  readonly invalid: number;
  /** False when reports were still arriving when the wait ended. */
  readonly isWhole: boolean;
}

export interface BrokerFacts {
  /** The user name that was given; null for none. */
  readonly login: Fact<{ readonly username: string | null }>;
  readonly control: Fact<ControlFacts>;
  readonly robots: Fact<RobotsFacts>;
}

export interface ApiFacts {
  /** Its clock minus ours, in milliseconds; null when the answer had no date. */
  readonly aheadMs: number | null;
  readonly isHealthy: boolean;
  /** As the health check reports them. */
  readonly problems: readonly Problem[];
  /** The user of the token; null from a broker that does not say. */
  readonly user: {
    readonly name: string | null;
    readonly role: string | null;
    /** False on a broker without credentials, where there is no login. */
    readonly needsSignIn: boolean;
  } | null;
  /** The MQTT engine that robots connect to; it failed for a token that is not accepted. */
  readonly engine: Fact<{ readonly isOwn: boolean }>;
}

export interface ExaminedBundle {
  readonly manifest: Manifest;
  readonly hasLogProof: boolean;
}

export interface DoctorFacts {
  readonly now: EpochMs;
  /** Version of Node.js, without the `v`. */
  readonly node: string;
  readonly drover: string;
  readonly disk: Fact<{ readonly folder: string; readonly freeBytes: number }>;
  readonly trust: Fact<TrustRoot>;
  /** The reason why others may change that file, and the command that repairs it; else null. */
  readonly trustUnsafe: { readonly why: string; readonly mend: string } | null;
  readonly keys: readonly KeyFact[];
  readonly brokerDoors: readonly DoorFact[];
  readonly broker: BrokerFacts;
  readonly apiDoor: DoorFact | null;
  readonly api: Fact<ApiFacts>;
  readonly bundle: Fact<ExaminedBundle>;
}
