/** Describes the waves of a rollout, for a person who is asked to confirm it. Sans-I/O. */

import { formatDurationMs, instantText } from '../../shared/base/durations.ts';
import { budgetSchema, type RolloutFields } from '../../shared/formats/announcement.ts';
import { gatesSchema } from '../../shared/formats/gates.ts';
import { budgetLine } from '../../shared/rules/budget.ts';
import { startLine } from '../../shared/rules/start-time.ts';
import { canarySoakS, needsController } from '../../shared/rules/rollout-rules.ts';
import type { LeaseHolder } from './active-rollouts.ts';

/** One line about the waves. */
export function wavesLine({
  emergency,
  waves,
}: Pick<RolloutFields, 'emergency' | 'waves'>): string {
  if (emergency) return 'emergency, everybody now';
  const percents = waves.map(({ percent }) => percent).join(', ');
  const soaks = [...new Set(waves.map(({ soak_s }) => formatDurationMs((soak_s ?? 0) * 1000)))];
  const each = waves.map(({ soak_s }) => formatDurationMs((soak_s ?? 0) * 1000));
  return `waves ${percents} percent, soak ${soaks.length === 1 ? soaks[0] : each.join(', ')}`;
}

/** One line for each option beyond the waves. */
export function stepLines(rollout: RolloutFields): string[] {
  const { canaries, approve_after: approve = [], approvers = 1, late_spread_s: spread } = rollout;
  const lines: string[] = [];
  const last = rollout.waves.at(-1)?.percent ?? 100;
  if (!rollout.emergency && last < 100) {
    lines.push(
      `note: the last wave is ${last} percent of the fleet: the other robots never get it; end with 100 for all`,
    );
  }
  const robots = canaries?.robots ?? [];
  const tags = canaries?.tags ?? [];
  const who = [
    ...(robots.length > 0 ? [robots.join(', ')] : []),
    ...(tags.length > 0 ? [`robots tagged ${tags.join(' and ')}`] : []),
  ];
  if (who.length > 0) lines.push(`canaries first: ${who.join('; ')}, soak ${canarySoak(rollout)}`);
  if (approve.length > 0) {
    const waves = `after wave ${approve.join(', ')}: drover rollout approve`;
    const others = rollout.published_by ?? 'the publisher';
    const who = approvers > 1 ? `${approvers} users other than ${others}` : 'a person';
    lines.push(`waits for ${who} ${waves}`);
  }
  const changed = changedGates(rollout);
  if (changed.length > 0) lines.push(`gates: ${changed.join(', ')}`);
  const start = startLine(rollout);
  if (start !== null) lines.push(start);
  if (rollout.budget) lines.push(`budget: ${budgetLine(budgetSchema.parse(rollout.budget))}`);
  if (spread !== undefined) {
    lines.push(`later robots start within ${formatDurationMs(spread * 1000)}`);
  }
  return lines;
}

function canarySoak(rollout: RolloutFields): string {
  const soak = formatDurationMs(canarySoakS(rollout) * 1000);
  return rollout.canaries?.soak_s === undefined ? `${soak} as the first wave` : soak;
}

/** A note when robots would wait for a controller that does not exist. */
export function leaderLines(leader: LeaseHolder, rollout: RolloutFields): string[] {
  if (leader.kind === 'leads' || !needsController(rollout)) return [];
  const seen =
    leader.kind === 'none'
      ? 'no rollout controller has been seen'
      : `no rollout controller leads; the last one was heard at ${instantText(leader.sinceMs)}`;
  return [
    `note: ${seen}; without one, robots take part only in --waves 100 without canaries, approvals and budget, or an --emergency without one`,
  ];
}

/** The gates that differ from the defaults. */
function changedGates({ gates = {} }: RolloutFields): string[] {
  const usual = gatesSchema.parse({});
  return Object.entries(gatesSchema.parse(gates))
    .filter(([name, value]) => usual[name as keyof typeof usual] !== value)
    .map(([name, value]) => `${name}=${String(value)}`);
}

/** The same for `--json`, with every default in its place. */
export function stepFields(rollout: RolloutFields): object {
  return {
    waves: rollout.waves.map(({ percent }) => percent),
    soak_s: rollout.waves.map(({ soak_s }) => soak_s ?? 0),
    emergency: rollout.emergency ?? false,
    canaries: {
      robots: rollout.canaries?.robots ?? [],
      tags: rollout.canaries?.tags ?? [],
      soak_s: canarySoakS(rollout),
    },
    approve_after: rollout.approve_after ?? [],
    approvers: rollout.approvers ?? 1,
    published_by: rollout.published_by ?? null,
    gates: gatesSchema.parse(rollout.gates ?? {}),
    ...(rollout.start_at !== undefined && { start_at: rollout.start_at }),
    ...(rollout.start_local !== undefined && { start_local: rollout.start_local }),
    ...(rollout.budget && { budget: budgetSchema.parse(rollout.budget) }),
    ...(rollout.late_spread_s !== undefined && { late_spread_s: rollout.late_spread_s }),
  };
}
