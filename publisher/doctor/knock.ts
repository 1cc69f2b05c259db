/**
 * Connects to an address to see whether it answers, and with which certificate. It sends nothing
 * behind the TLS handshake, so nothing changes there.
 */

import { readFileSync } from 'node:fs';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { factOf, type CertificateFact, type DoorFact } from './facts.ts';

const PORTS: Readonly<Record<string, number>> = {
  ...{ 'mqtt:': 1883, 'mqtts:': 8883 },
  ...{ 'ws:': 80, 'wss:': 443, 'http:': 80, 'https:': 443 },
};
const TLS: readonly string[] = ['mqtts:', 'wss:', 'https:'];

/** @param caFile PEM file of an authority that is accepted instead of the public ones */
export async function knock(url: URL, caFile: string | undefined): Promise<DoorFact> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? (PORTS[url.protocol] ?? 0) : Number(url.port);
  const address = `${url.hostname}:${port}`;
  const reach = await factOf(async () => {
    const isTls = TLS.includes(url.protocol);
    const socket = isTls ? openTls(host, port, caFile) : connect({ host, port });
    try {
      await answered(socket, isTls ? 'secureConnect' : 'connect', address);
      return { certificate: isTls ? certificateOf(socket as TLSSocket) : null };
    } finally {
      socket.destroy();
    }
  });
  return { address, reach };
}

/** A certificate that is refused is still read: its refusal is a finding, not a lost connection. */
function openTls(host: string, port: number, caFile: string | undefined): TLSSocket {
  return connectTls({
    ...{ host, port, rejectUnauthorized: false },
    ...(isIP(host) === 0 && { servername: host }),
    ...(caFile !== undefined && { ca: readCa(caFile) }),
  });
}

function readCa(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read CA ${path}: ${why}`, { cause });
  }
}

async function answered(socket: Socket, event: string, address: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const refuse = (why: string): void =>
      reject(new DroverError('BROKER_UNREACHABLE', `connect to ${address}: ${why}`));
    const seconds = LIMITS.doctorKnockMsMax / 1000;
    socket.setTimeout(LIMITS.doctorKnockMsMax, () => refuse(`no answer within ${seconds} s`));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      refuse(printable(error.message || (error.code ?? 'it failed'), 200));
    });
    socket.on(event, resolve);
  });
}

function certificateOf(socket: TLSSocket): CertificateFact {
  const { valid_to: end } = socket.getPeerCertificate();
  return { expiresMs: Date.parse(end), refusal: refusalOf(socket) };
}

/** Node gives a code as text for some refusals, and an error for others. */
function refusalOf({ authorized, authorizationError }: TLSSocket): string | null {
  if (authorized) return null;
  const why: unknown = authorizationError;
  if (typeof why === 'string') return printable(why);
  return why instanceof Error ? printable(why.message) : 'it is not trusted';
}
