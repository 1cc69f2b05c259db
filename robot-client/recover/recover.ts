/**
 * `drover-robot recover`: runs at boot before the application, without network and without waiting.
 * It finishes what a power cut interrupted, counts unconfirmed boots, and leaves `active` leading
 * to a complete release. A disk that fails is reported and does not end it: everything that can be
 * done without it is done. It may run any number of times.
 */

import { DroverError, nullIfFailed, toProblem, type Problem } from '../../shared/base/errors.ts';
import { traced } from '../../shared/io/trace.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { bootMoment } from '../boot/system-side.ts';
import { AGENT_COMPONENT } from '../../shared/rules/agent-bundle.ts';
import { layoutOf, releaseFolder, type Layout } from '../install/layout.ts';
import { step, type MachineEvent } from '../update/machine.ts';
import { isForbidden } from '../install/disk-error.ts';
import type { Disk } from '../install/disk-port.ts';
import {
  bootsOf,
  confirmedBefore,
  decideBoot,
  isSwapUnderWay,
  notCounted,
  rolledBack,
  startEvent,
  uncounted,
  unreadWayBack,
  withDamage,
  type BootDecision,
} from './recovery.ts';
import { followImage } from './follow-image.ts';
import type { RecoverInput, Recovery } from './recover-input.ts';
import { leadByLinks } from './links-alone.ts';
import { RecoveryWords } from './recovery-words.ts';
import { undoUnheld } from '../update/lease-guard.ts';
import { withStrayOrder } from '../update/lost-state.ts';
import { linkBeside, mendRollback } from './relink.ts';
import { relinkAtBoot } from './relink-boot.ts';
import { besideProblems } from '../install/slot-links.ts';
import { outsideProblems, slotProblem, versionOf } from '../install/slots.ts';
import { slotsWith } from '../update/unlinked.ts';
import { failedOf, freshState, isLostJob, type Job, type MachineState } from '../update/state.ts';
import { hookEnvironment } from '../update/hook-calls.ts';
import { adoptActiveFolder } from './adopt.ts';
import { checkSlots, DEEP, ONLY_LOST, type CheckDepth } from './boot-checks.ts';
import { takeCleanMark, wasConfirmedHere } from '../install/marks.ts';
import { runHookToEnd } from '../modules/hook-run.ts';
import { clearStaging } from '../install/prune.ts';
import { readSlots } from '../install/read-slots.ts';
import { foreignRoot } from '../install/root-name.ts';
import { checkRelease } from '../install/seal-check.ts';
import {
  closedState,
  lostState,
  readMachineState,
  writeMachineState,
} from '../update/state-file.ts';
import { goBack, swapBack, swapTo } from '../update/swap.ts';
import { prepareLayout } from '../install/make-root.ts';
import { strategyOf } from '../update/slot-strategy.ts';
import { returnFrom } from '../update/way-back.ts';

export async function recoverComponent(input: RecoverInput): Promise<Recovery> {
  return await new Recoverer(input).run();
}

class Recoverer {
  readonly #input: RecoverInput;
  readonly #disk: Disk;
  readonly #layout: Layout;
  readonly #words = new RecoveryWords();
  readonly #damaged: BootDecision[] = [];
  #state: MachineState = freshState();
  #known: MachineState['damages'] = [];

  constructor(input: RecoverInput) {
    this.#input = input;
    this.#disk = input.disk;
    this.#layout = layoutOf(input.root, input.siblings);
  }

  async run(): Promise<Recovery> {
    const [disk, layout] = [this.#disk, this.#layout];
    const { component, adoptVersion } = this.#input;
    const other = await foreignRoot(disk, layout, component);
    if (other) return await this.#leave(toProblem(other));
    const closed = await closedState(disk, layout);
    if (closed) return await this.#byLinks(closed);
    await this.#prepare();
    const adoption = await this.#words.tried(() => adoptActiveFolder(disk, layout, adoptVersion));
    if (adoption?.problem) this.#words.adoption(adoption.problem);
    if (adoption && adoption.adopted !== null) {
      this.#words.actions.push(`adopted the plain active folder as release ${adoption.adopted}`);
    }
    const read = await this.#words.tried(() => readMachineState(disk, layout, Date.now()));
    if (read === null && this.#words.has('PERMISSION_DENIED')) return await this.#byLinks();
    // A file that can neither be read nor set aside counts as lost: the active release is on
    // probation.
    this.#state = read ?? (await lostState(disk, layout, null, Date.now()));
    this.#known = this.#state.damages;
    const { lastProblem } = this.#state;
    if (lastProblem && TELLS_LOSS.includes(lastProblem.code)) this.#words.say(lastProblem);
    // A release that was just adopted was read for its seal.
    const isRead = typeof adoption?.adopted === 'string';
    const wasClean = (await this.#words.tried(() => takeCleanMark(disk, layout))) ?? false;
    await this.#relink();
    await this.#withdrawOrder();
    const followed = await this.#follow();
    await this.#lookAtReleases({ ...DEEP, isDeep: !wasClean && !isRead });
    if (followed !== 'swapped') await this.#begin(followed !== null);
    const wasSwapUnderWay = isSwapUnderWay(this.#state);
    if (followed === null) await this.#finishSwap();
    if (followed === null) await this.#finishRollback();
    // A swap or a rollback may have led to a release that lost files.
    if (wasSwapUnderWay && this.#state.phase === 'idle') await this.#lookAtReleases(ONLY_LOST);
    await this.#remember();
    if (this.#state.phase === 'idle') {
      const mended = await this.#words.tried(() => mendRollback(disk, layout, this.#state));
      if (mended !== null) this.#words.actions.push(mended);
    }
    const slots = slotsWith(await readSlots(disk, layout), this.#state);
    const problem = slotProblem(slots);
    const { version, bootsForeign } = bootsOf(slots.active);
    // With nothing to boot there is work left; otherwise the exit code does not change.
    if (problem && version === null && !bootsForeign) this.#words.note(problem);
    else if (problem) this.#words.say(problem);
    for (const outside of outsideProblems(slots)) this.#words.say(outside);
    for (const stranger of await besideProblems(disk, layout)) this.#words.say(toProblem(stranger));
    const { phase } = this.#state;
    const { actions, problems } = this.#words;
    return { component, version, bootsForeign, phase, actions, problems };
  }

  /**
   * The state is not ours to change: only the links are repaired, because a robot without software
   * helps nobody.
   */
  async #byLinks(problem?: Problem): Promise<Recovery> {
    const { component, release } = this.#input;
    await leadByLinks(this.#disk, this.#layout, { component, release, words: this.#words });
    return await this.#leave(problem);
  }

  /** Leaves a state of a later version, of another component, or without the right to read it. */
  async #leave(problem?: Problem): Promise<Recovery> {
    if (problem) this.#words.note(problem);
    const { active } = await readSlots(this.#disk, this.#layout);
    const [{ actions, problems }, { phase }] = [this.#words, this.#state];
    return { component: this.#input.component, ...bootsOf(active), phase, actions, problems };
  }

  /** Makes room on a full disk before giving up. */
  async #prepare(): Promise<void> {
    const prepare = (): Promise<void> => prepareLayout(this.#disk, this.#layout);
    try {
      return await prepare();
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      if (!isForbidden(thrown)) await this.#makeRoom();
    }
    await this.#words.tried(prepare);
  }

  async #makeRoom(): Promise<void> {
    await this.#words.tried(() => clearStaging(this.#disk, this.#layout));
  }

  async #relink(): Promise<void> {
    const [disk, layout, words] = [this.#disk, this.#layout, this.#words];
    const { component, release, siblings = [] } = this.#input;
    const stateFolders = siblings.map((root) => layoutOf(root).state);
    const keep = async (state: MachineState): Promise<boolean> => {
      this.#state = state;
      return await this.#write();
    };
    const on = { component, release, stateFolders, state: this.#state };
    await relinkAtBoot(disk, layout, { ...on, words, keep });
  }

  /** The state is written with the next event; the agent asks a boot loader that fails once more. */
  async #withdrawOrder(): Promise<void> {
    const { image, component } = this.#input;
    if (image?.component !== component) return;
    const problem = await nullIfFailed(image.withdraw(this.#state.phase));
    if (problem === null) return;
    this.#state = withStrayOrder(this.#state, problem, Date.now());
    this.#words.say(problem);
  }

  /** The links of a set with a system image follow the slot that runs; null for any other. */
  async #follow(): ReturnType<typeof followImage> {
    const { component, image, isBoot = true } = this.#input;
    return await followImage({
      ...{ component, image, isBoot, words: this.#words },
      ...{ disk: this.#disk, layout: this.#layout, state: this.#state },
      keep: (event) => this.#keep(event),
    });
  }

  /** Goes back when the release that boots is not whole and a better one exists. */
  async #lookAtReleases(depth: CheckDepth): Promise<void> {
    const slots = await readSlots(this.#disk, this.#layout);
    // Damage that this boot itself found is not a file that the application writes.
    const on = { state: { ...this.#state, damages: this.#known }, slots, ...depth };
    const { said, ...checks } = await checkSlots(this.#disk, this.#layout, on);
    this.#words.actions.push(...said.sentences);
    if (said.unread) this.#words.say(said.unread);
    const { bootsMax } = this.#input;
    const decision = decideBoot({ state: this.#state, slots, ...checks, bootsMax });
    const { problem, goesBackTo } = decision;
    if (problem === null) return;
    this.#words.actions.push(`${problem.message} (${problem.code})`);
    this.#damaged.push(decision);
    const unread = unreadWayBack({ slots, rollback: checks.rollback }, goesBackTo);
    if (unread?.isAllThereIs) this.#words.note(unread.problem);
    else if (unread) this.#words.say(unread.problem);
    const { phase } = this.#state;
    if (phase === 'probation') {
      if (goesBackTo === null) return this.#words.note(problem);
      this.#state = withDamage(this.#state, { ...decision, goesBackTo: null }, Date.now());
      await this.#keep({ kind: 'boots_exhausted', problem });
      return;
    }
    const isBack =
      goesBackTo !== null &&
      (await this.#words.tried(async () => {
        const kept = await goBack(this.#disk, this.#layout, goesBackTo);
        if (kept) this.#words.say(kept);
        return true;
      })) === true;
    const done =
      goesBackTo === versionOf(slots.rollback) ? 'went back to' : 'linked active again to';
    if (isBack) this.#words.actions.push(`${done} ${goesBackTo}`);
    else this.#words.note(problem);
    if (isBack && slots.active.kind !== 'release') {
      await this.#words.tried(() => linkBeside(this.#disk, this.#layout, this.#state, goesBackTo));
    }
    this.#state = withDamage(
      this.#state,
      isBack ? decision : { ...decision, damage: null, goesBackTo: null },
      Date.now(),
    );
  }

  /** A damaged release that still boots is checked and reported again the next time. */
  async #remember(): Promise<void> {
    const version = versionOf((await readSlots(this.#disk, this.#layout)).active);
    const poor = this.#damaged.filter(({ goesBackTo, isPoor }) => isPoor && goesBackTo === version);
    const stayed = this.#damaged.filter(({ damage }) => damage && damage.version === version);
    for (const { problem } of [...poor, ...stayed]) if (problem) this.#words.note(problem);
    if (stayed.length === 0) return;
    const damages = this.#state.damages.filter(
      (one) => !stayed.some(({ damage }) => damage?.path === one.path && one.version === version),
    );
    this.#state = { ...this.#state, damages };
    await this.#write();
  }

  /** Counts the boot. A version on probation whose boot cannot be counted is left. */
  async #begin(isFollowing: boolean): Promise<void> {
    const slots = await readSlots(this.#disk, this.#layout);
    if (this.#state.phase !== 'rolling_back') {
      const [at, { bootsMax }] = [bootMoment(), this.#input];
      const facts = { state: this.#state, slots, bootsMax, at };
      const why = uncounted(facts, this.#input.isBoot !== false);
      if (why !== null) return void this.#words.actions.push(why);
      const event = startEvent(facts, 'recover');
      const isKept = await this.#keep(event);
      const { phase, job } = this.#state;
      if (phase !== 'probation' || !job) return;
      if (isKept) {
        this.#words.actions.push(`boot ${job.boots} of ${job.version} without a confirmation`);
      } else if (job.previousVersion !== null) {
        // The boot loader counts the boots of the image, and the link follows it.
        if (isFollowing || (await this.#staysUncounted(job)) || (await this.#isForAgent(job)))
          return;
        this.#words.note(notCounted(job.version));
        const back = await this.#swapBack(job);
        if (back) this.#words.actions.push(`went back from ${job.version} to ${back.to}`);
      }
    }
  }

  /**
   * A version that was confirmed before its state was lost is not put on probation by a full disk.
   */
  async #staysUncounted(job: Job): Promise<boolean> {
    const look = () => wasConfirmedHere(this.#disk, this.#layout, job.version);
    const stays = isLostJob(job) && ((await this.#words.tried(look)) ?? false);
    if (stays) this.#words.actions.push(confirmedBefore(job.version));
    return stays;
  }

  /** Steps and persists; false when the state could not be written, even after making room. */
  async #keep(event: MachineEvent): Promise<boolean> {
    const given = [this.#state, event, Date.now()] as const;
    this.#state = traced(`step ${this.#input.component}`, step, given).state;
    return await this.#write();
  }

  async #write(): Promise<boolean> {
    const write = async (): Promise<boolean> => {
      await writeMachineState(this.#disk, this.#layout, this.#state);
      return true;
    };
    try {
      return await write();
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      if (!isForbidden(thrown)) await this.#makeRoom();
    }
    return (await this.#words.tried(write)) ?? false;
  }

  async #finishSwap(): Promise<void> {
    const { phase, job } = this.#state;
    // A swap that cannot be stored is not made: the boots after it could not be counted.
    if (phase !== 'swapping' || !job || this.#words.problems.length > 0) return;
    if (await this.#isForAgent(job)) return;
    const outcome = await this.#swapOutcome(job);
    if (outcome === null) return; // the agent goes on with it, when more of the machine is there
    await this.#keep(outcome);
    if (outcome.kind === 'lease_lost') this.#words.actions.push(outcome.problem.message);
    if (outcome.kind === 'swapped') this.#words.actions.push(`finished the swap to ${job.version}`);
  }

  async #isForAgent(job: Job): Promise<boolean> {
    return this.#words.leavesToAgent(await this.#strategyOf(job), job.version);
  }

  /** Null when a module did not do it: noted. */
  async #swapOutcome(job: Job): Promise<MachineEvent | null> {
    const [disk, layout, { version }] = [this.#disk, this.#layout, job];
    try {
      const tree = releaseFolder(layout, version);
      const check = { version, tree, mayHash: () => true, known: new Set<string>() };
      const found = await checkRelease(disk, layout, check);
      if (found.kind === 'damaged') {
        throw new DroverError('SWAP_FAILED', `swap to ${version}: ${found.path}: ${found.why}`);
      }
      const strategy = await this.#strategyOf(job);
      const lost = await undoUnheld(this.#state, strategy, { disk, layout });
      if (lost) return lost;
      await strategy.switchTo(job);
      await swapTo(disk, layout, job);
      return { kind: 'swapped' };
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      if (/^(?:MODULE_|COMPATIBLE_WRONG)/.test(thrown.code)) {
        this.#words.note(toProblem(thrown));
        return null;
      }
      return { kind: 'swap_failed', problem: toProblem(thrown) };
    }
  }

  /**
   * @returns the version that runs again, or null for none, in an object; null when that failed:
   *   also RELEASE_DAMAGED, when it would leave a whole version for a damaged one
   */
  async #swapBack(job: Job): Promise<{ readonly to: string | null } | null> {
    const [disk, layout, failed] = [this.#disk, this.#layout, failedOf(this.#state)];
    return await this.#words.tried(async () => {
      const active = versionOf((await readSlots(disk, layout)).active);
      const to = await returnFrom(disk, layout, { job, active, failed });
      const strategy = await this.#strategyOf(job);
      await strategy.prepare(job, to);
      await strategy.revert(job, to);
      const kept = await swapBack(disk, layout, { ...job, previous: to });
      if (kept) this.#words.say(kept);
      return { to };
    });
  }

  #strategyOf(job: Job): ReturnType<typeof strategyOf> {
    const moduleTimeoutMs = Math.min(this.#input.moduleTimeoutMs ?? Infinity, LIMITS.moduleBootMs);
    return strategyOf(job, { ...this.#input, layout: this.#layout, moduleTimeoutMs });
  }

  async #finishRollback(): Promise<void> {
    const { phase, job } = this.#state;
    if (phase !== 'rolling_back' || !job || (await this.#isForAgent(job))) return;
    const back = await this.#swapBack(job);
    if (!back) return;
    const env = hookEnvironment({
      ...{ component: this.#input.component, layout: this.#layout, version: back.to ?? '' },
      ...{ previousVersion: job.previousVersion, targetVersion: job.version },
    });
    const timeoutMs = this.#input.hookTimeoutMs ?? LIMITS.hookTimeoutMsDefault;
    // The hooks of an integrator are about applications.
    if (this.#input.component !== AGENT_COMPONENT)
      await runHookToEnd({ folder: this.#input.hooksFolder, name: 'rolled-back', timeoutMs, env });
    await this.#keep({ kind: 'rolled_back', to: back.to });
    this.#words.actions.push(rolledBack(job.version, back.to));
  }
}

/** Codes for which a boot counts against a version that was confirmed once. */
const TELLS_LOSS: readonly string[] = ['STATE_LOST', 'STATE_CORRUPT'];
