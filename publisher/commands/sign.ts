/** `drover sign`: adds signatures to a bundle folder, or to an announcement that waits for them. */

import { statSync } from 'node:fs';
import type { Argv } from 'yargs';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { keyIdOf, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { keysOf, type TrustRoot } from '../../shared/formats/trust.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { signBundleFolder } from '../bundle/sign.ts';
import { signAnnouncementFile } from '../rollout/announce.ts';
import { announcementFields, announcementLines, nextLine } from '../rollout/announcement-report.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { TEXT, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import { trustInUse } from '../profiles/profile-file.ts';
import { openSigners, warn, withKeys } from './options.ts';

const withOptions = (argv: Argv) =>
  withKeys(withDryRun(withJson(argv)))
    .positional('bundle', { type: 'string', demandOption: true })
    .option('add', {
      type: 'boolean',
      default: false,
      describe: 'keep the signatures of others that are there (thresholds above 1)',
    })
    .option('trust', { ...TEXT, describe: 'trust.json of the fleet; needed for an announcement' })
    .option('drop-xattrs', {
      type: 'boolean',
      default: false,
      describe: 'sign a tar of another tool whose capabilities, ACLs and xattrs robots leave out',
    })
    .example('$0 sign bundles/1.4.2 --key keys/release.key', '')
    .example('$0 sign bundles/1.4.2 --key-command "pass show drover/release"', 'no disk')
    .example('$0 sign bundles/1.4.2 --sign-command ./hsm --public-key r.pub', 'a device')
    .example('$0 sign bundles/1.4.2 --key keys/second.key --add', 'co-sign')
    .example('$0 sign 1.4.2.announcement --add --trust t --key k', 'co-sign what is announced');

type SignArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

export function signCommand(yargs: Argv): Argv {
  return yargs.command(
    'sign <bundle>',
    'sign a bundle with a release key, or a waiting announcement with a rollout key',
    withOptions,
    async (argv) => {
      const isFile = statSync(argv.bundle, { throwIfNoEntry: false })?.isFile() === true;
      if (isFile) await runSignAnnouncement(argv);
      else await runSignBundle(argv);
    },
  );
}

async function runSignBundle(argv: SignArgs): Promise<void> {
  const { bundle, dryRun } = argv;
  const known = argv.trust === undefined ? [] : keysOf(readTrust(argv.trust));
  const signed = await signBundleFolder({
    folder: bundle,
    signers: await openSigners(argv, known),
    add: argv.add,
    dropXattrs: argv.dropXattrs,
    dryRun,
  });
  const { version, keys, signatures } = signed;
  const trust = trustAt(argv.trust ?? trustInUse());
  warnOfRole(keys, trust);
  const ids = keys.map(keyIdOf).join(', ');
  makeOutput(argv.json).result({ dry_run: dryRun, bundle, version, keys, signatures }, [
    `${dryRun ? 'would sign' : 'signed'} ${version} with key ${ids} (${signatures} in all)`,
    ...wantedLines(bundle, signatures, trust),
  ]);
}

/** Null where none is known, or where it cannot be read: it is for advice only. */
const trustAt = (path: string | null): TrustRoot | null =>
  path === null ? null : nullIfRefused(() => readTrust(path));

/** The command of the person who signs next, while too few have signed. */
function wantedLines(bundle: string, signatures: number, trust: TrustRoot | null): string[] {
  const want = trust?.roles.release.threshold ?? 0;
  if (signatures >= want) return [];
  const next = `drover sign ${shellWord(bundle)} --add --key OTHER`;
  return [`trust.json ${trust?.version} wants ${want} release signatures; next: ${next}`];
}

/** Robots would refuse it, and `publish` refuses it before: here the right key is available. */
function warnOfRole(keys: readonly PublicKeyHex[], trust: TrustRoot | null): void {
  if (trust === null) return;
  const others = keys.filter((key) => !trust.roles.release.keys.includes(key)).map(keyIdOf);
  if (others.length === 0) return;
  warn(
    `${others.join(', ')} has no release role in trust.json ${trust.version}: no robot counts it`,
  );
}

async function runSignAnnouncement(argv: SignArgs): Promise<void> {
  const { bundle: file, dryRun } = argv;
  if (argv.trust === undefined || !argv.add) {
    throw new DroverError('USAGE', `sign ${file}: not a folder`, {
      hint: 'sign the bundle folder, then drover pack it; an announcement file wants --add and --trust',
    });
  }
  const trust = readTrust(argv.trust);
  const signers = await openSigners(argv, keysOf(trust));
  const found = await signAnnouncementFile({ file, trust, signers, dryRun });
  const fields = { dry_run: dryRun, file, ...announcementFields(found) };
  makeOutput(argv.json).result(fields, [
    `${dryRun ? 'would sign' : 'signed'} the announcement with seq ${found.announcement.seq}:`,
    ...announcementLines(found),
    ...(dryRun ? [] : [nextLine(file, found)]),
  ]);
}
