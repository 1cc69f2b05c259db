/** Shows an announcement to a person who is asked to sign it, or has published it. Sans-I/O. */

import { instantText } from '../../shared/base/durations.ts';
import type { Rollout } from '../../shared/formats/announcement.ts';
import { wavesLine } from './plan-report.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { AnnounceWith, ReadAnnouncement } from './pending-announcement.ts';

/** One line for each rollout, and when the announcement expires. */
export function announcementLines({ announcement }: ReadAnnouncement): string[] {
  const { rollouts, expires_at } = announcement;
  const lines = rollouts.map(
    (rollout) =>
      `  rollout ${rollout.id}: ${nameOf(rollout)}, ${wavesLine(rollout)}, ${whoOf(rollout)}${setWord(rollout)}`,
  );
  if (rollouts.length === 0) lines.push('  no rollout');
  return [...lines, `  counts until ${instantText(expires_at)}`];
}

const setWord = ({ set }: Rollout): string => (set ? `, in set ${set.id}` : '');

/** The same for `--json`. */
export function announcementFields({ announcement, signatures }: ReadAnnouncement): object {
  const { fleet, seq, expires_at } = announcement;
  return {
    ...{ fleet, seq, expires_at: instantText(expires_at) },
    rollouts: announcement.rollouts.map((rollout) => ({
      id: rollout.id,
      ...versionOf(rollout),
      waves: rollout.waves.map(({ percent }) => percent),
      emergency: rollout.emergency,
      target: rollout.target,
    })),
    signatures: signatures.got,
    signatures_wanted: signatures.want,
  };
}

/** Counts the signatures of an announcement file and names the next command. */
export function nextLine(
  file: string,
  { signatures: { got, want } }: Pick<ReadAnnouncement, 'signatures'>,
): string {
  const count = `${got} of ${want} signatures`;
  return got < want
    ? `${count}; next: drover sign ${file} --add --trust … --key …`
    : `${count}; next: drover announce ${file} --trust … --broker …`;
}

/** Printed by the command that wrote the file. */
export function writtenLines({ announcementOut, signers, trust }: AnnounceWith): string[] {
  if (announcementOut === undefined) return [];
  const got = new Set(signers.map(({ publicKey }) => publicKey)).size;
  const signatures = { got, want: trust.roles.rollout.threshold };
  return [`wrote ${announcementOut}: ${nextLine(announcementOut, { signatures })}`];
}

const versionOf = ({ manifest }: Rollout): { name: string; version: string } => {
  const { name, version } = parseManifest(manifest);
  return { name, version };
};

const nameOf = (rollout: Rollout): string => {
  const { name, version } = versionOf(rollout);
  return `${name} ${version}`;
};

function whoOf({ target: { robots, tags } }: Rollout): string {
  if (robots.length + tags.length === 0) return 'all robots';
  const parts = [
    ...(robots.length > 0 ? [`robots ${robots.join(', ')}`] : []),
    ...(tags.length > 0 ? [`tags ${tags.join(', ')}`] : []),
  ];
  return parts.join('; ');
}
