/**
 * `drover rollout pause|resume|abort|rollback|approve|force-open`: sends one command to the
 * controller. A command that cannot be undone requires the typed id, or --yes.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { oneLine, printable } from '../../shared/base/printable.ts';
import { brokenLines } from '../rollout/consequences.ts';
import { parseCommanded, type RolloutAnswer, type RunAnswer } from '../rollout/rollout-answer.ts';
import { stateWord, statusWord } from '../../shared/rules/rollout-words.ts';
import { approverWords } from '../../shared/rules/approvers.ts';
import { statusLines } from '../rollout/rollout-report.ts';
import { isUnled, noController } from '../../shared/rules/presence.ts';
import { assertTerminal, confirmTyped } from './confirm.ts';
import { type ApiClient, sayUntilLed } from '../rollout/api-client.ts';
import { readTogether } from './rollout-named.ts';
import type { KeyWords } from './options.ts';
import { openApi, rawObject, rolloutPath, type ApiArgs } from './rollout-options.ts';
import { isSigned, openOwnKey, sayAgain, signedBy, signFor } from './rollout-sign.ts';

export const STEERING = {
  pause: 'let no more robots join',
  resume: 'let it go on after a pause',
  abort: 'stop it for good; robots that took it keep it',
  rollback: 'stop it for good; robots that took it go back',
  approve: 'say yes to a wave whose gate has passed',
  'force-open': 'open the next wave without a verdict of the gate; --reason is required',
} as const;
export type SteerCommand = keyof typeof STEERING;

interface SteerArgs extends ApiArgs, KeyWords {
  readonly id: string;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly reason: string;
  readonly by: string;
  readonly wave?: number | undefined;
}

/** The effect that a person has to confirm; null for a command that another one undoes. */
const FINAL: Readonly<Record<SteerCommand, string | null>> = {
  pause: null,
  resume: null,
  abort: 'stops for good; robots that took it keep it',
  rollback: 'stops for good, and every robot that took it goes back',
  approve: null,
  'force-open': 'opens its next wave although the gate has not passed',
};

export async function runSteer(verb: SteerCommand, args: SteerArgs): Promise<void> {
  const { id, dryRun, yes, reason, json } = args;
  const api = openApi(args);
  const final = FINAL[verb];
  // A profile or a variable may say which fleet that is.
  const where = final === null ? '' : ` at ${api.address}`;
  const what = `Rollout ${id}${where} ${final ?? ''}`;
  const isForced = verb === 'force-open';
  if (final !== null && !dryRun && !isForced)
    assertTerminal({ verb: `rollout ${verb}`, what }, yes);
  const output = makeOutput(json);
  const together = await readTogether(api, id);
  const before = meantOf(verb, together.rollouts);
  if (isForced) assertForceWhole(args, before.run, process.stdin.isTTY);
  const meant = waveOf(verb, args, before);
  const broken = verb === 'rollback' ? await brokenBy(api, before.id) : [];
  if (dryRun) {
    await assertLed(api, verb, before);
    if (verb === 'approve') assertDue(before, meant);
    const now = together.rollouts.flatMap((one) => statusLines(one, Date.now()));
    const lines = [
      `would ${verb} rollout ${id}${aboutSet(together)}; now:`,
      ...[...now, ...broken.map((one) => `after it  ${one}`)],
    ];
    return output.result({ dry_run: true, rollout: id, command: verb }, lines);
  }
  if (final !== null) {
    const counted = `${what}${aboutSet(together)} (${countsOf(together.rollouts)})${broken.map((one) => `; ${one}`).join('')}`;
    await confirmTyped({ verb: `rollout ${verb}`, what: counted, word: id, wordIs: 'id' }, yes);
  }
  const by = args.by.slice(0, LIMITS.speakerCharsMax);
  const own = isSigned(verb) ? await openOwnKey(args, api) : null;
  const signed: string[] = [];
  const said = { reason, by, ...(meant !== null && { wave: meant }) };
  const say = async (one: string): Promise<Uint8Array> =>
    await sayUntilLed(api, `${rolloutPath(one)}/${verb}`, async () => {
      if (own === null || !isSigned(verb)) return said;
      const { rollouts } = await readTogether(api, one);
      const now = await signFor(own, verb, { rollouts, wave: meant });
      signed.push(...now);
      return { ...said, signed: now };
    });
  const { answer, refused } = await sayAgain(say, id, own !== null);
  const { run: after } = parseCommanded(answer);
  const left = refused.length > 0 && { refused };
  output.result({ dry_run: false, ...rawObject(answer), refused: undefined, ...left }, [
    `${verb}: rollout ${id} ${outcomeOf(verb, { before, after, meant })}${signedBy(own, signed)}${where}${aboutSet(together)}`,
    ...refused.map((one) => `not for rollout ${one.rollout}: ${oneLine(one.message, 300)}`),
    ...(yes ? broken : []),
  ]);
}

/** Empty also where the broker cannot tell. */
async function brokenBy(api: ApiClient, id: string): Promise<string[]> {
  try {
    return brokenLines(await api.get(`${rolloutPath(id)}/commands`), 'rollback');
  } catch (error) {
    // The command itself finds out whether the broker answers.
    if (error instanceof DroverError) return [];
    throw error;
  }
}

interface Together {
  readonly set: string | null;
  readonly rollouts: readonly RolloutAnswer[];
}

/** Of a set, the rollout that waits for the command, else the first. */
function meantOf(verb: SteerCommand, rollouts: Together['rollouts']): RolloutAnswer {
  const asked = rollouts.find(({ run }) => run?.waits_for === 'approval');
  const found = (verb === 'approve' ? asked : undefined) ?? rollouts[0];
  if (!found) throw new TypeError('meantOf: an id stands for a rollout');
  return found;
}

/** Empty for a rollout by itself. */
function aboutSet({ set, rollouts }: Together): string {
  if (set === null) return '';
  const ids = rollouts.map(({ id }) => printable(id, 64)).join(', ');
  return `; the command is about all of set ${printable(set, 64)}: ${ids}`;
}

/** Describes the effect of the command, as far as the answer names it. */
function outcomeOf(
  verb: SteerCommand,
  {
    before,
    after,
    meant,
  }: { before: RolloutAnswer; after: RunAnswer | null; meant: number | null },
): string {
  const [was, is] = [statusWord(before), after ? stateWord(after) : 'unknown'];
  if (verb !== 'approve' && verb !== 'force-open') return `was ${was}, is ${is}`;
  const wave = meant ?? before.run?.wave;
  const which = wave === undefined ? 'its open wave' : `wave ${wave}`;
  const isGiven = verb === 'approve' && before.run?.approved.includes(wave ?? -1) === true;
  if (isGiven) return `${which} was approved before, nothing changed`;
  const left = verb === 'approve' ? leftWords(before, after, wave) : null;
  if (left !== null) return `${which}: ${left}`;
  return verb === 'approve'
    ? `${which} is approved: its gate is asked once more, then the next one opens`
    : `${which} ends without a verdict: the next one opens`;
}

/** For a wave that still needs further users; null when it is approved. */
function leftWords(
  before: RolloutAnswer,
  after: RunAnswer | null,
  wave: number | undefined,
): string | null {
  const approval = after?.approval;
  if (!after || !approval || approval.needed < 2 || after.approved.includes(wave ?? -1))
    return null;
  const isAgain = before.run?.approval?.by.length === approval.by.length;
  const rules = { approvers: approval.needed, published_by: approval.publisher ?? undefined };
  return `${isAgain ? 'this user approved it before, nothing changed; ' : ''}${approverWords(rules, approval.by)}`;
}

/**
 * Names everything that is missing in one message, with the command to type. Without a prompt the
 * wave must be given, so that a repeated command ends one wave.
 * @throws DroverError USAGE
 */
function assertForceWhole(
  { id, reason, wave, yes, dryRun }: SteerArgs,
  run: RunAnswer | null,
  isTerminal: boolean,
): void {
  const isAsked = !dryRun && isTerminal && !yes;
  const lacks = [
    ...(reason.trim() === '' ? ['--reason'] : []),
    ...(isAsked || dryRun || yes ? [] : ['--yes']),
    ...(isAsked || dryRun || wave !== undefined ? [] : ['--wave']),
  ];
  if (lacks.length === 0) return;
  const open = wave ?? run?.wave ?? 'N';
  const words = isAsked || dryRun ? '--reason WHY' : `--wave ${open} --reason WHY --yes`;
  throw new DroverError(
    'USAGE',
    `rollout force-open: nothing was done, it wants ${lacks.join(', ')} as well`,
    {
      hint: `if it is meant that the gate is passed over: drover rollout force-open ${printable(id, 64)} ${words}`,
    },
  );
}

/**
 * The wave of the command: the one that was open when it was given, so that a retry never means the
 * next one. Null for other commands, and for a broker that does not know the field.
 * @throws DroverError USAGE, APPROVAL_TOO_EARLY
 */
function waveOf(verb: SteerCommand, { wave }: SteerArgs, before: RolloutAnswer): number | null {
  const { run } = before;
  if (verb !== 'approve' && verb !== 'force-open') {
    if (wave === undefined) return null;
    throw new DroverError('USAGE', `rollout ${verb}: --wave is for approve and force-open`);
  }
  if (run === null || run.approval !== null) return wave ?? run?.wave ?? null;
  // An older broker would take an approval at any time, and for whichever wave is open then.
  assertDue(before, wave ?? run.wave);
  return null;
}

/** @throws DroverError APPROVAL_TOO_EARLY */
function assertDue({ id, run }: RolloutAnswer, wave: number | null): void {
  if (!run || (run.waits_for === 'approval' && wave === run.wave)) return;
  if (run.approval?.state === 'given' && wave === run.approval.wave) return;
  const why = run.approval?.text ?? `wave ${run.wave} waits for ${run.waits_for ?? 'nothing'}`;
  const said = oneLine(why, 300);
  throw new DroverError('APPROVAL_TOO_EARLY', `approve rollout ${id.slice(0, 64)}: ${said}`);
}

function countsOf(rollouts: Together['rollouts']): string {
  const counts = rollouts.map(({ robots, component, version }) => {
    const name = `${printable(component ?? 'unknown', 64)} ${printable(version ?? '?', 64)}`;
    const of = rollouts.length > 1 ? `${name}: ` : '';
    return `${of}${robots.running} run it, ${robots.in_progress} are taking it`;
  });
  return counts.join('; ');
}

/**
 * The refusal of the API, as far as its answer shows it. @throws DroverError NO_CONTROLLER,
 * NOT_LEADING
 */
async function assertLed(
  api: ApiClient,
  verb: SteerCommand,
  { id, run, led }: RolloutAnswer,
): Promise<void> {
  const what = `${verb} rollout ${id.slice(0, 64)}`;
  if (run === null && isUnled(led)) throw noController(what, led);
  // A rollout that the controller has not begun yet has an empty history.
  if (run === null) return void (await api.get(`${rolloutPath(id)}/history?limit=1`));
  if (run.leading) return;
  throw new DroverError(
    'NOT_LEADING',
    `${what}: the controller of this broker does not lead it now`,
  );
}
