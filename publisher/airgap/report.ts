/**
 * Carries the reports of a site's robots over an air gap: from the site's broker into one file, and
 * from the file to a broker that cannot receive them. Presence is never carried: it is not known
 * there.
 */

import { stat } from 'node:fs/promises';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { assertNewFile, writeNewFile } from '../../shared/io/new-file.ts';
import { readInput } from '../../shared/io/cli.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseRobotState } from '../../shared/formats/messages.ts';
import type { Log } from '../../shared/base/ports.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { parseNamed } from '../../shared/rules/file-kinds.ts';
import {
  encodeSiteReport,
  openSiteReport,
  planReport,
  type ReportPlan,
  type SiteReport,
} from './site-report.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { readRetainedStates } from '../rollout/robot-states.ts';

export interface ReportExport {
  readonly broker: BrokerLinkOptions;
  readonly trust: TrustRoot;
  readonly site: string;
  readonly signers: readonly Signer[];
  readonly out: string;
  readonly dryRun: boolean;
  readonly log: Log;
}

/**
 * @returns the number of robots in the report
 * @throws DroverError ENVELOPE_KEY_UNKNOWN, BROKER_UNREACHABLE, ACCESS_DENIED, FILE_EXISTS,
 *   FILE_UNREADABLE
 */
export async function exportReport(job: ReportExport): Promise<number> {
  assertKeysSatisfy(job.signers, 'rollout', job.trust);
  const file = { path: job.out, what: 'report', option: '--out' };
  assertNewFile(file);
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const states = [...(await readStates(link)).values()].filter((one) => isState(one, job.log));
    const about = { fleet: job.trust.fleet, site: job.site, nowMs: Date.now() };
    const bytes = await encodeSiteReport(about, states, job.signers);
    if (!job.dryRun) await writeNewFile(file, bytes);
    return states.length;
  } finally {
    await link.close();
  }
}

export interface ReportImport {
  readonly file: string;
  readonly trust: TrustRoot;
  /** Null to read and show the report without publishing it. */
  readonly broker: BrokerLinkOptions | null;
  readonly dryRun: boolean;
  readonly log: Log;
}

/** @throws DroverError REPORT_INVALID, REPORT_OLD, ENVELOPE_*, FLEET_WRONG, BROKER_UNREACHABLE */
export async function importReport(
  job: ReportImport,
): Promise<{ report: SiteReport; plan: ReportPlan | null }> {
  await assertSize(job.file);
  const wanted = {
    ...({ kind: 'report of a site', path: job.file } as const),
    hint: () => 'name the file that drover report export wrote at the site',
  };
  const bytes = readInput(job.file, `report ${job.file}`, LIMITS.siteReportBytesMax);
  const report = parseNamed(wanted, bytes, (read) => openSiteReport(read, job.trust));
  if (job.broker === null) return { report, plan: null };
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const plan = planReport(report, await readStates(link));
    if (plan.newer.length === 0 && plan.older.length > 0) {
      const count = `${plan.older.length} of ${report.states.length} robots`;
      throw new DroverError(
        'REPORT_OLD',
        `take report of ${report.site}: ${count} said more since`,
      );
    }
    for (const { payload, state } of job.dryRun ? [] : plan.newer) {
      const topic = robotTopic(state.robot_id, 'state');
      await link.wire.send(topic, payload, { retain: true, qos: 1 });
    }
    return { report, plan };
  } finally {
    await link.close();
  }
}

async function readStates(link: BrokerLink): Promise<ReadonlyMap<string, Uint8Array>> {
  const { states, isWhole } = await readRetainedStates(link);
  if (isWhole) return states;
  throw new DroverError('BROKER_UNREACHABLE', 'read robots: reports are still coming in');
}

function isState(payload: Uint8Array, log: Log): boolean {
  try {
    parseRobotState(payload);
    return true;
  } catch (error) {
    log.warn({ reason: String(error) }, 'a robot says what cannot be read: left out');
    return false;
  }
}

async function assertSize(file: string): Promise<void> {
  const found = await stat(file).catch(() => null); // readInput reports an absent file better
  if (!found || found.size <= LIMITS.siteReportBytesMax) return;
  const sizes = `(got ${found.size}, want at most ${LIMITS.siteReportBytesMax} bytes)`;
  throw new DroverError('REPORT_INVALID', `read report ${file}: too large ${sizes}`);
}
