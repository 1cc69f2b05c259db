/**
 * Shows the state of a robot whose agent does not run, from the state files and the links,
 * read-only.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { explainComponent } from '../local/explain.ts';
import { ADOPTED_VERSION_DEFAULT, planFirstStart } from '../recover/adoption.ts';
import { isForbidden } from '../install/disk-error.ts';
import { layoutOf, type Layout } from '../install/layout.ts';
import { foreignRoot } from '../install/root-name.ts';
import type { Disk } from '../install/disk-port.ts';
import { reportComponent } from '../fleet/report.ts';
import { knownDamages } from '../update/state.ts';
import { damageProblem, type Damage } from '../install/seal.ts';
import { checkRelease } from '../install/seal-check.ts';
import { versionOf, type Slots } from '../install/slots.ts';
import { slotsWith } from '../update/unlinked.ts';
import { isHeldElsewhere } from '../install/kernel-locks.ts';
import { describeHolder } from '../install/lock-holder.ts';
import { notMounted } from '../install/mount-memory.ts';
import { NO_FOLDERS, type OwnFolders } from '../install/outside-root.ts';
import { lockFilesOf } from '../install/path-lock.ts';
import { versionsInSlots } from '../boot/slot-records.ts';
import { listLeft } from '../install/prune.ts';
import { readSlots } from '../install/read-slots.ts';
import { failedOf, type MachineState } from '../update/state.ts';
import { peekMachineState } from '../update/state-file.ts';
import type { ComponentRoot } from './given-roots.ts';
import { rootAbsent } from './options.ts';

export interface AtRest {
  /** `not answering`: the lock of a root is held, and no agent answers on the socket. */
  readonly agent: 'not running' | 'not answering';
  /** False when a state was lost or cannot be read, or a root is missing. */
  readonly isWhole: boolean;
  readonly components: object[];
  readonly lines: string[];
}

const RUNS_ELSEWHERE = 'this root is held, and not the folder at its path now';
const NOT_ANSWERING = 'this root is held, and no agent answers on its socket';
const HELD =
  'an agent whose disk is read-only, full or not mounted keeps its socket closed, and its reports say why; a recover at boot ends by itself, after some minutes at most; this is the state on the disk';
const NOT_RUNNING = 'the agent is not running; this is what the disk remembers';

interface ComponentAtRest {
  readonly isWhole: boolean;
  readonly component: object;
  readonly lines: readonly string[];
}

interface RootsAtRest {
  readonly roots: readonly ComponentRoot[];
  readonly own: OwnFolders;
}

/** Shows the state from which the agent would continue; changes nothing. */
export async function explainAtRest(
  disk: Disk,
  roots: readonly ComponentRoot[],
  own: OwnFolders = NO_FOLDERS,
): Promise<AtRest> {
  const found: ComponentAtRest[] = [];
  for (const one of roots) found.push(await readable(disk, one, { roots, own }));
  const locks = roots.flatMap(({ root }) => [root, ...lockFilesOf(root, own)]);
  const holder = describeHolder(locks);
  const isHeld = holder !== null;
  const isElsewhere = roots.some(({ root }) => isHeldElsewhere(root, lockFilesOf(root, own)));
  const what = isElsewhere ? RUNS_ELSEWHERE : NOT_ANSWERING;
  const first = isHeld ? `${what}: ${holder}; ${HELD}` : NOT_RUNNING;
  const agent = isHeld ? 'not answering' : 'not running';
  const isWhole = found.every((one) => one.isWhole);
  const components = found.map(({ component }) => component);
  return { agent, isWhole, components, lines: [first, ...found.flatMap(({ lines }) => lines)] };
}

/** A root that this user may not read counts as closed, and not as one that lost something. */
async function readable(disk: Disk, one: ComponentRoot, on: RootsAtRest): Promise<ComponentAtRest> {
  try {
    return await explainRoot(disk, one, on);
  } catch (thrown) {
    if (!isForbidden(thrown)) throw thrown;
    return untold(one.component, toProblem(thrown));
  }
}

/** Only the reason is shown, nothing of the content of the root. */
function untold(component: string, problem: Problem): ComponentAtRest {
  const line = `${component}: ${problem.message} (${problem.code}): ${problem.hint}`;
  return { component: { name: component, last_error: problem }, lines: [line], isWhole: false };
}

async function explainRoot(
  disk: Disk,
  { component, root }: ComponentRoot,
  { roots, own }: RootsAtRest,
): Promise<ComponentAtRest> {
  const layout = layoutOf(
    root,
    roots.map((one) => one.root),
  );
  const away =
    notMounted(root, own) ??
    replacedRoot(root, own) ??
    (await noRoot(disk, layout)) ??
    (await foreignRoot(disk, layout, component));
  if (away) return untold(component, toProblem(away));
  const untouched = await notTakenOver(disk, layout);
  if (untouched !== null) {
    const told = { name: component, version: null, last_error: null, adopts: untouched };
    return { component: told, lines: untakenLines(component, untouched), isWhole: true };
  }
  const { state, problem } = await peekMachineState(disk, layout, Date.now());
  if (problem?.code === 'PERMISSION_DENIED') return untold(component, problem);
  const slots = slotsWith(await readSlots(disk, layout), state);
  const damage = await damageOf(disk, layout, { slots, state });
  const held = await versionsInSlots(disk, layout);
  const isWhole =
    damage === null &&
    problem === null &&
    state.unlinked.length === 0 &&
    state.lastProblem?.code !== 'STATE_LOST';
  const view = {
    name: component,
    version: versionOf(slots.active),
    previousVersion: versionOf(slots.rollback),
    slots,
    slotsSinceMs: Date.now(),
    damage,
    left: await listLeft(disk, layout, state.job?.version ?? null, failedOf(state), held),
    state,
    live: { transfer: null, waitingFor: null, wakeAtMs: null, refusal: null },
    held: problem?.code === 'STATE_NEWER' ? { problem, atMs: Date.now() } : null,
  };
  return { component: reportComponent(view), lines: explainComponent(view, Date.now()), isWhole };
}

/** A running agent opened another folder than the one that is at the path now. */
function replacedRoot(root: string, own: OwnFolders): DroverError | null {
  if (!isHeldElsewhere(root, lockFilesOf(root, own))) return null;
  const why = 'a process that works on it opened another folder there, or could open none yet';
  return new DroverError('ROOT_REPLACED', `look at ${root}: ${why}`);
}

/** A folder without anything of Drover's is not a robot without an installation. */
async function noRoot(disk: Disk, layout: Layout): Promise<DroverError | null> {
  const { root, state, releases, active, rollback } = layout;
  if ((await disk.kind(root)) === 'absent') return rootAbsent('look at', root);
  for (const path of [state, releases, active, rollback]) {
    if ((await disk.kind(path)) !== 'absent') return null;
  }
  const why = 'no root of a robot: it has no state/, no releases/ and no active';
  return new DroverError('ROOT_ABSENT', `look at ${root}: ${why}`);
}

/** Finds lost files as the next boot will; without hashes, so that it is quick. */
async function damageOf(
  disk: Disk,
  layout: Layout,
  { slots: { active }, state }: { readonly slots: Slots; readonly state: MachineState },
): Promise<Damage | null> {
  if (active.kind !== 'release') return null;
  const { version } = active;
  const known = knownDamages(state, version);
  const input = { version, tree: active.end.path, mayHash: () => false, known };
  const found = await checkRelease(disk, layout, input);
  return found.kind === 'damaged' ? { ...damageProblem(version, found), version } : null;
}

/**
 * The version that the first start will give a plain active/ in a root without a state; else null.
 */
async function notTakenOver(disk: Disk, layout: Layout): Promise<string | null> {
  if ((await disk.kind(layout.machineFile)) !== 'absent') return null;
  const slots = await readSlots(disk, layout);
  const releases = await disk.list(layout.releases);
  return planFirstStart(slots, releases, ADOPTED_VERSION_DEFAULT)?.version ?? null;
}

function untakenLines(component: string, version: string): string[] {
  return [
    `${component}: runs what Drover did not install`,
    `  a plain active/ that was not taken over yet: the first start of the agent makes it release ${version} (--adopt-version names it)`,
    '  hint: start the agent; or take it over now: drover-robot adopt',
  ];
}
