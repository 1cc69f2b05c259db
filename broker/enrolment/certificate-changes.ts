/**
 * Names the certificates of a robot that were issued or ended from one record to the next: for the
 * audit chain, and because the connections of one that ended have to be closed. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { keyNameOf } from '../../shared/formats/http-api.ts';
import type { CertificateChange } from '../audit/decision.ts';
import { goodOf, type Certified, type Issued } from './certificate-record.ts';

export interface Changed extends CertificateChange {
  /** True when a certificate is no longer good. */
  readonly isEnd: boolean;
}

/** @param before null for a robot without certificates; the same for `after` */
export function changesOf(before: Certified | null, after: Certified | null): Changed[] {
  const [old, now] = [before ? goodOf(before) : [], after ? goodOf(after) : []];
  const has = (list: readonly Issued[], { serial }: Issued): boolean =>
    list.some((one) => one.serial === serial);
  const came = now.filter((one) => !has(old, one));
  const ended = old.filter((one) => !has(now, one));
  return [
    ...came.map((one) => describe(cameAs(one, before, after), one, false)),
    ...ended.map((one) => describe(after === null ? 'revoked' : 'replaced', one, true)),
  ];
}

function cameAs(
  one: Issued,
  before: Certified | null,
  after: Certified | null,
): CertificateChange['change'] {
  if (after?.next?.serial === one.serial) return 'renewed';
  return before?.restored === true && after?.restored === false ? 'adopted' : 'issued';
}

const describe = (
  change: CertificateChange['change'],
  { serial, not_after: until, key_sha256: key }: Issued,
  isEnd: boolean,
): Changed => ({ change, serial, until: instantText(until), key: keyNameOf(key), isEnd });
