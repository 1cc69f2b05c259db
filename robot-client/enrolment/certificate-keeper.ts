/**
 * Keeps the certificate of a robot good: asks the broker for the next one in time, over HTTPS, with
 * a signature by the key in use. So a certificate that has expired can still be renewed, and what
 * the robot reaches the broker by need not have a door for it. Each renewal has a new key.
 */

import { sign } from 'node:crypto';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import type { Log } from '../../shared/base/ports.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { renewalText } from '../../shared/formats/http-api.ts';
import { REFUSED_CERTIFICATE } from '../../shared/io/link-failure.ts';
import { openMqttWire } from '../../shared/io/mqtt-wire.ts';
import { askToRenew, readDoor } from './ask-broker.ts';
import {
  checkCertificate,
  identityPath,
  lifeOf,
  nextKey,
  readIdentity,
  replaceIdentity,
  type RobotIdentity,
} from './identity-files.ts';
import {
  afterFailure,
  isAsked,
  NO_TRIES,
  SAID_OF_IT,
  showCertificate,
  tickMs,
  type OwnCertificate,
  type Tries,
} from './renewal-plan.ts';
import { makeRequest } from './signing-request.ts';

export interface CertificateKeeperOptions {
  readonly folder: string;
  /** PEM file of the authority of the broker's certificate; undefined: those of the system. */
  readonly caFile: string | undefined;
  readonly log: Log;
}

const SAYS_NOTHING: readonly ErrorCode[] = ['CLAIM_TRIES', 'BROKER_UNREACHABLE'];

const isSaidOfIt = (failure: Problem | null): boolean =>
  failure !== null && SAID_OF_IT.includes(failure.code);

export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #identity: RobotIdentity;
  #tries: Tries = NO_TRIES;
  #failure: Problem | null = null;
  /** The broker refused the last link because of the certificate. */
  #refusal: Problem | null = null;
  /** Of the last try that failed: each code is logged once. */
  #lastCode: ErrorCode | null = null;
  #timer: NodeJS.Timeout | null = null;
  #work: Promise<void> | null = null;

  private constructor(options: CertificateKeeperOptions, identity: RobotIdentity) {
    this.#options = options;
    this.#identity = identity;
  }

  /** @throws DroverError FILE_UNREADABLE */
  static open(options: CertificateKeeperOptions): CertificateKeeper {
    return new CertificateKeeper(options, readIdentity(options.folder));
  }

  get robot(): RobotId {
    return this.#identity.robot;
  }

  /** The private key and the certificate: one file, which is replaced at each renewal. */
  get pemFile(): string {
    return identityPath(this.#options.folder);
  }

  view(): OwnCertificate {
    const { certificate } = this.#identity;
    const facts = {
      ...{ life: lifeOf(certificate), renews: true },
      ...{ failure: this.#failure, refusal: this.#refusal },
    };
    return showCertificate(facts, Date.now());
  }

  /** @param onRenewed called when a new certificate is durable: the link should use it */
  start(onRenewed: () => void): void {
    const tick = (): void => {
      this.#work ??= this.#look(onRenewed).finally(() => (this.#work = null));
      inBackground(this.#options.log, 'renew the certificate', this.#work);
      this.#timer = setTimeout(tick, tickMs(lifeOf(this.#identity.certificate)));
      this.#timer.unref();
    };
    tick();
  }

  /** A link with this certificate. One that the broker refuses is a reason to ask it why. */
  readonly openWire: typeof openMqttWire = (link, handlers, log) =>
    openMqttWire(
      link,
      {
        ...handlers,
        onUp: () => {
          this.#refusal = null;
          // The broker takes the certificate: an earlier answer about it does not hold any more.
          if (isSaidOfIt(this.#failure)) this.#failure = null;
          handlers.onUp?.();
        },
        onFailed: (problem) => {
          this.#refusal = REFUSED_CERTIFICATE.has(problem.code)
            ? toProblem(problem)
            : this.#refusal;
          handlers.onFailed?.(problem);
        },
      },
      log,
    );

  /** Finishes a file that is being written first. */
  async close(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    await this.#work;
  }

  async #look(onRenewed: () => void): Promise<void> {
    const life = lifeOf(this.#identity.certificate);
    const times = { now: Date.now(), monoMs: performance.now() };
    if (!isAsked(life, { ...times, tries: this.#tries, refusal: this.#refusal })) return;
    const { log } = this.#options;
    try {
      await this.#renew();
    } catch (error) {
      const problem = toProblem(error);
      const isNews = problem.code !== this.#lastCode;
      this.#lastCode = problem.code;
      // A broker that was asked too often, or is away, says no more: the first answer holds.
      const saysNothing = SAYS_NOTHING.includes(problem.code);
      if (!saysNothing || !isSaidOfIt(this.#failure)) this.#failure = problem;
      const failure = { code: problem.code, now: Date.now(), monoMs: performance.now() };
      const { failed } = this.#tries;
      this.#tries = afterFailure(life, failure, { failed, random: Math.random() });
      log[isNews ? 'warn' : 'debug']({ problem }, 'certificate not renewed, tried again later');
      return;
    }
    this.#tries = NO_TRIES;
    this.#failure = null;
    this.#refusal = null;
    this.#lastCode = null;
    log.info({ until: this.#identity.certificate.validTo }, 'certificate renewed');
    onRenewed();
  }

  async #renew(): Promise<void> {
    const { folder, caFile } = this.#options;
    const { robot, key: old, certificate, renewAt } = this.#identity;
    const key = await nextKey(folder, old);
    const { pem: csr, sha256 } = makeRequest(key);
    const signature = sign('sha256', utf8(renewalText(sha256)), old).toString('base64');
    const asked = { certificate: certificate.toString(), csr, signature };
    const answer = await askToRenew(readDoor(renewAt, caFile), asked);
    const renewed = checkCertificate(answer.certificate, { robot, key });
    await replaceIdentity(folder, { key, certificate: answer.certificate });
    this.#identity = { robot, key, certificate: renewed, renewAt };
  }
}
