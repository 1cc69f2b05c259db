/**
 * Conditions that a rollout has to meet before it may widen: the `gates` of an announcement. Only
 * the numbers live here; the judge is broker/rollout/gate.ts. Every field has a default, so that
 * `{}` is a gate. Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';

const shareSchema = z.number().min(0).max(1);
const secondsSchema = z.number().int().min(1).max(LIMITS.gateSecondsMax);

export const gatesSchema = z.object({
  /** Fixed bound: of the robots that began the update, the share that must end on it. */
  apply_success_min: shareSchema.default(0.9),
  /** Fixed bound: crashes per robot-hour; null compares only with the control group. */
  crashes_per_hour_max: z.number().min(0).max(1_000_000).nullable().default(null),
  /** Fixed bound: completed tasks of all tasks; null compares only with the control group. */
  task_success_min: shareSchema.nullable().default(null),
  /** Null hypothesis of both comparisons: a rate up to this many times the control's is no harm. */
  ratio_tolerated: z.number().min(1).max(10).default(1.1),
  /** The harm that a wave should be able to see before it passes. */
  ratio_detected: z.number().min(1.2).max(100).default(2),
  /** Probability that a rollout as good as its control group is halted, over all of its checks. */
  false_halt_max: z.number().min(0.0001).max(0.5).default(0.05),
  /** Probability that a wave passes although its rate is `ratio_detected` times the control's. */
  miss_max: z.number().min(0.001).max(0.5).default(0.1),
  /** The share of the wave's reachable robots that must have ended their update. */
  report_share_min: shareSchema.default(0.8),
  /** A wave that passes its soak but not `miss_max` waits for evidence until this; null: 8 soaks. */
  evidence_wait_s: secondsSchema.nullable().default(null),
  /** Reports are pooled over this span, so that a report sent because of a crash weighs no more. */
  batch_s: secondsSchema.default(120),
  /** A robot that is offline this long in the middle of its update counts as failed. */
  vanish_s: secondsSchema.default(600),
  /** A halt by the gate also takes the robots that took the version back. */
  auto_rollback: z.boolean().default(true),
});

export type Gates = z.output<typeof gatesSchema>;
export type GatesFields = z.input<typeof gatesSchema>;

/** Gates that a signed manifest may ask for: as strict as this at least. */
export const gateBoundsSchema = z
  .object({
    apply_success_min: shareSchema,
    task_success_min: shareSchema,
    report_share_min: shareSchema,
    crashes_per_hour_max: z.number().min(0).max(1_000_000),
    ratio_tolerated: z.number().min(1).max(10),
    auto_rollback: z.boolean(),
  })
  .partial();

export type GateBounds = z.output<typeof gateBoundsSchema>;
