/**
 * `drover-broker ca init`: makes the authority that signs certificates of robots that enrol. It is
 * one of its own: only robots that the broker has enrolled are let in by its signature.
 */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { Argv } from 'yargs';
import { DAY_MS, instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TEXT, wholeNumber, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { writePair } from '../../shared/io/key-file.ts';

export const CA_VERBS = ['init'];

export const caCommand = (argv: Argv): Argv =>
  argv.command('ca', 'make the authority of certificates for robots that enrol', (group) =>
    group
      .command(
        'init',
        'make its key and its certificate; never writes over one',
        (options) =>
          withJson(options)
            .option('out', {
              ...TEXT,
              demandOption: true,
              describe: 'makes NAME.key and NAME.crt, for --enrol-ca-key and --enrol-ca-cert',
            })
            .option('days', {
              ...wholeNumber('days', { least: 1, most: LIMITS.authorityDaysMax }),
              default: LIMITS.authorityDaysDefault,
              describe: 'the authority is good for this long',
            })
            .example('$0 ca init --out /etc/drover/enrol-ca', ''),
        (args) => runInit(args),
      )
      .demandCommand(1, 'name a command: ca init'),
  );

interface InitArgs {
  readonly out: string;
  readonly days: number;
  readonly json: boolean;
}

/** @throws DroverError FILE_EXISTS, FILE_UNREADABLE, USAGE */
async function runInit({ out, days, json }: InitArgs): Promise<void> {
  const name = out.replace(/\.(?:key|crt)$/, '');
  if (name === '') throw new DroverError('USAGE', 'read --out: want a NAME');
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const [now, serial] = [Date.now(), `4${randomBytes(16).toString('hex').slice(1)}`];
  const notAfter = now + days * DAY_MS;
  const { selfSignedAuthority, spkiOf } = await import('../enrolment/x509.ts');
  const certificate = selfSignedAuthority(privateKey, {
    ...{ publicKey: spkiOf(publicKey), serial, notBefore: now, notAfter },
    // Two authorities of one name would be taken for each other.
    commonName: `drover enrolment ${serial.slice(1, 9)}`,
  });
  const paths = { privatePath: `${name}.key`, publicPath: `${name}.crt` };
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await writePair(paths, { secret, open: certificate });
  const { privatePath: key, publicPath: cert } = paths;
  const expires = instantText(notAfter);
  makeOutput(json).result({ key, certificate: cert, expires_at: expires }, [
    `${key}: whoever reads it can make robots of this fleet; the broker alone should`,
    `${cert}: good until ${expires}`,
    `drover-broker --enrol-ca-cert ${cert} --enrol-ca-key ${key} …`,
  ]);
}
