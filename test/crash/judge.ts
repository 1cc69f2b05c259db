/**
 * Checks what must hold of a disk after any power cut: reads the disk as it was found, runs
 * `recover`, reads it again, and then lets the agent finish the update and take the next one. Each
 * check returns a sentence about the fault, or null when there is none.
 */

import { parseMachineState, type MachineState } from '../../robot-client/update/state.ts';
import { layoutOf, versionOfLink } from '../../robot-client/install/layout.ts';
import { checkRelease } from '../../robot-client/install/seal-check.ts';
import { imageAt, imageKey, type FolderImage } from './disk-image.ts';
import { visibleImage } from './crash-states.ts';
import { BOARD_STRATEGY, flashIn } from './model-board.ts';
import { ModelDisk } from './model-disk.ts';
import { ADOPTED, recover, Robot, ROOT, treeOf, type Release } from './robot.ts';
import { NEXT, type Scenario } from './scenarios.ts';

export const machineText = (image: FolderImage): string | null => {
  const found = imageAt(image, `${ROOT}/state/machine.json`);
  return found?.kind === 'file' ? new TextDecoder().decode(found.bytes) : null;
};

const NO_HOOKS = { hooksFolder: '/no-hooks' };

export interface Judgement {
  readonly wrong: string | null;
  /** `recover` finished, rolled back or adopted something: a cut in that is worth a look too. */
  readonly acted: boolean;
}

export class Judge {
  readonly #release: Release;
  readonly #complete = new Map<string, string>();
  readonly #judged = new Map<string, Judgement>();
  readonly #continued = new Map<string, string | null>();
  readonly #tookNext = new Map<string, string | null>();

  constructor(release: Release) {
    this.#release = release;
  }

  /** States judged so far, each once. */
  get states(): number {
    return this.#judged.size;
  }

  async judge(image: FolderImage, scenario: Scenario): Promise<Judgement> {
    const key = `${scenario.name} ${imageKey(image)}`;
    const known = this.#judged.get(key);
    if (known) return known;
    let judgement: Judgement;
    try {
      judgement = await this.#look(image, scenario);
    } catch (error) {
      judgement = { wrong: `it threw ${String(error)}`, acted: false };
    }
    this.#judged.set(key, judgement);
    return judgement;
  }

  async #look(image: FolderImage, scenario: Scenario): Promise<Judgement> {
    const isAdopting = imageAt(image, `${ROOT}/state/adopting.json`) !== null;
    const isPlain = imageAt(image, `${ROOT}/active`)?.kind === 'folder';
    const isDamaged = this.#isDamaged(image, scenario);
    const found = isAdopting || isPlain || isDamaged ? null : this.#wrongSlots(image, scenario);
    if (found !== null) return { wrong: `as found: ${found}`, acted: false };
    const disk = new ModelDisk(image);
    const { version, actions } = await recover(disk, this.#release);
    const after = visibleImage(disk);
    const acted = actions.length > 0;
    const wrong =
      this.#wrongSlots(after, scenario) ??
      this.#wrongState(after, version) ??
      this.#wrongBoard(after) ??
      (await this.#wrongSeal(disk, version, scenario));
    if (wrong !== null) return { wrong: `after recover: ${wrong}`, acted };
    return { wrong: await this.#continue(after, scenario), acted };
  }

  /** `active` leads to a complete version that may run now, or to nothing where that may be. */
  #wrongSlots(image: FolderImage, { mayRun }: Scenario): string | null {
    const active = this.#slot(image, 'active');
    if (!mayRun.includes(active)) return `active leads to ${active}`;
    return this.#wrongTreeOf(image, 'active');
  }

  /** True when the release that boots is the one that was damaged before the update, unchanged. */
  #isDamaged(image: FolderImage, { start, damaged }: Scenario): boolean {
    if (damaged === undefined || this.#slot(image, 'active') !== damaged) return false;
    const [now, then] = [image, start].map((one) => imageAt(one, `${ROOT}/releases/${damaged}`));
    return now != null && then != null && imageKey(now) === imageKey(then);
  }

  #slot(image: FolderImage, name: 'active' | 'rollback'): string | null {
    const at = imageAt(image, `${ROOT}/${name}`);
    if (at === null) return null;
    if (at.kind === 'link' && at.target === 'rollback') return this.#slot(image, 'rollback');
    return at.kind === 'link' ? versionOfLink(at.target) : `a ${at.kind}`;
  }

  #wrongTree(image: FolderImage, version: string): string | null {
    const known = this.#complete.get(version) ?? imageKey(treeOf(version));
    this.#complete.set(version, known);
    const tree = imageAt(image, `${ROOT}/releases/${version}`);
    const isComplete = tree !== null && imageKey(tree) === known;
    return isComplete ? null : `release ${version} is ${tree ? 'not complete' : 'not there'}`;
  }

  /** A release that was installed here must have its seal: `recover` finds damage only by it. */
  async #wrongSeal(disk: ModelDisk, version: string | null, { start }: Scenario) {
    const isOurs = version !== null && version !== ADOPTED;
    if (!isOurs || imageAt(start, `${ROOT}/releases/${version}`)) return null;
    const tree = `${ROOT}/releases/${version}`;
    const look = { version, tree, mayHash: () => true, known: new Set<string>() };
    const { kind } = await checkRelease(disk, layoutOf(ROOT), look);
    return kind === 'whole' ? null : `${version} runs and is ${kind} by its seal`;
  }

  /** With a module, its device and `active` must have one version, except during a switch. */
  #wrongBoard(image: FolderImage): string | null {
    if (this.#release.strategy !== BOARD_STRATEGY) return null;
    const { phase } = parseMachineState(new TextEncoder().encode(machineText(image) ?? ''));
    if (phase === 'swapping' || phase === 'rolling_back') return null;
    const [active, flash] = [this.#slot(image, 'active'), flashIn(image)];
    return active === flash ? null : `active leads to ${active}, the board runs ${flash}`;
  }

  /** The state file must agree with the disk. */
  #wrongState(image: FolderImage, version: string | null): string | null {
    const active = this.#slot(image, 'active');
    if (version !== active) return `recover says ${version}, active leads to ${active}`;
    if (imageAt(image, `${ROOT}/state/machine.json.corrupt`)) return 'a state file was torn';
    const text = machineText(image);
    const state = parseMachineState(new TextEncoder().encode(text ?? ''));
    if (state.blocked.some((one) => one.version === active)) return `${active} runs and is blocked`;
    return state.job === null ? null : this.#wrongJob(image, state, state.job);
  }

  #wrongJob(image: FolderImage, { phase }: MachineState, job: MachineState['job'] & {}) {
    const active = this.#slot(image, 'active');
    if (phase !== 'probation') {
      return active === job.version ? `${active} runs in phase ${phase}` : null;
    }
    if (active !== job.version) return `${active} runs on probation of ${job.version}`;
    const rollback = this.#slot(image, 'rollback');
    if (rollback !== job.previousVersion) return `rollback leads to ${rollback} on probation`;
    return this.#wrongTreeOf(image, 'rollback');
  }

  /** The agent starts: the update must end well by itself, and the next one as well. */
  async #continue(image: FolderImage, { last, damaged }: Scenario): Promise<string | null> {
    const key = `${last} ${damaged} ${imageKey(image)}`;
    const known = this.#continued.get(key);
    if (known !== undefined) return known;
    const { wrong, after } = await this.#finish(image, last, damaged);
    const later = wrong ?? (await this.#takeNext(after));
    this.#continued.set(key, later);
    return later;
  }

  /** The interrupted update must end by itself, and no power cut may count as its failure. */
  async #finish(image: FolderImage, last: string, damaged?: string) {
    const disk = new ModelDisk(image);
    const problems: string[] = [];
    const onTold = (_phase: string, problem: string | null): void => {
      // A version that was rolled back before the cut is refused when it is offered again.
      const isKnown = problem === 'RELEASE_DAMAGED' && damaged !== undefined;
      if (problem !== null && problem !== 'FAILED_BEFORE' && !isKnown) problems.push(problem);
    };
    const release = this.#release;
    const { component } = await letRun(new Robot({ disk, release, ...NO_HOOKS, onTold }), last);
    const { version, state } = component.view;
    const isBlocked = state.blocked.some((one) => one.version === last);
    const isRight = isBlocked ? version !== last : version === last;
    const after = visibleImage(disk);
    const wrong = isRight
      ? (this.#wrongTreeOf(after, 'active') ?? this.#wrongBoard(after))
      : `it ended on ${version}`;
    const told = problems[0] === undefined ? wrong : `told of ${problems[0]}`;
    return { wrong: told === null ? null : `the interrupted update: ${told}`, after };
  }

  async #takeNext(image: FolderImage): Promise<string | null> {
    const key = imageKey(image);
    const known = this.#tookNext.get(key);
    if (known !== undefined) return known;
    const disk = new ModelDisk(image);
    await letRun(new Robot({ disk, release: this.#release, ...NO_HOOKS }), NEXT);
    const after = visibleImage(disk);
    const [was, now] = [this.#slot(image, 'active'), this.#slot(after, 'active')];
    let wrong = this.#wrongTreeOf(after, 'active') ?? this.#wrongTreeOf(after, 'rollback');
    wrong ??= this.#wrongBoard(after);
    if (now !== NEXT) wrong = `it ended on ${now}`;
    if (this.#slot(after, 'rollback') !== was) wrong = 'nothing to go back to';
    const sentence = wrong === null ? null : `the next update: ${wrong}`;
    this.#tookNext.set(key, sentence);
    return sentence;
  }

  #wrongTreeOf(image: FolderImage, slot: 'active' | 'rollback'): string | null {
    const version = this.#slot(image, slot);
    return version === null ? null : this.#wrongTree(image, version);
  }
}

async function letRun(robot: Robot, version: string): Promise<Robot> {
  try {
    await robot.open(version);
  } finally {
    await robot.component.close();
  }
  return robot;
}
