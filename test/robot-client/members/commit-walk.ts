/** Walks through all worlds of the model, checks each move and each world, and looks for ends. */

import assert from 'node:assert/strict';
import { keyOf, movesOf, startOf, type Move, type Rules, type World } from './commit-model.ts';

interface Found {
  readonly all: number;
  /** Worlds in which all are confirmed by one decision. */
  readonly confirmed: number;
  /** Worlds in which all have gone back. */
  readonly undone: number;
  /** Worlds in which a replaced computer is confirmed beside the others. */
  readonly caughtUp: number;
}

export function checkHistories(count: number, rules: Rules): Found {
  const worlds = [startOf(count)];
  const leads = rules.leads === true;
  const known = new Map([[keyOf(startOf(count), leads), 0]]);
  /** Worlds before each one, by moves that are no faults. */
  const before: number[][] = [[]];
  for (let at = 0; at < worlds.length; at += 1) {
    const world = worlds[at] as World;
    assertWhole(world);
    for (const move of movesOf(world, rules)) {
      assertDecided(world, move);
      const key = keyOf(move.to, leads);
      let to = known.get(key);
      if (to === undefined) {
        to = worlds.push(move.to) - 1;
        known.set(key, to);
        before.push([]);
      }
      if (!move.isFault && to !== at) before[to]?.push(at);
    }
  }
  const ending = new Set([...worlds.keys()].filter((at) => isEnd(worlds[at] as World)));
  for (const at of ending) for (const from of before[at] ?? []) ending.add(from);
  const stuck = worlds.find((_, at) => !ending.has(at));
  assert.equal(stuck, undefined, `no end from ${JSON.stringify(stuck)}`);
  const number = (holds: (world: World) => boolean): number => worlds.filter(holds).length;
  const areAll = (step: string) => (world: World) =>
    world.computers.every(({ part }) => part.step === step);
  return {
    all: worlds.length,
    confirmed: number(areAll('done')),
    undone: number(areAll('undone')),
    caughtUp: number((one) => areAll('done')(one) && one.computers.some(({ isNew }) => isNew)),
  };
}

/** All are at rest, and no decision is open. */
function isEnd({ computers, open }: World): boolean {
  const isAtRest = ({ part }: World['computers'][number]): boolean =>
    part.id === 0 && (part.step === 'staged' || part.step === 'done');
  return open === null && computers.every(isAtRest);
}

/** While one is confirmed, each other one of its decision is confirmed, or is going to be. */
function assertWhole({ computers }: World): void {
  for (const { part } of computers) {
    if (part.step !== 'done') continue;
    const others = computers.filter(({ isNew }) => !isNew);
    const follow = others.every(
      (one) => one.part.step === 'done' || (one.part.step === 'sure' && one.part.id === part.by),
    );
    assert.ok(follow, `mixed: ${JSON.stringify(computers)}`);
  }
}

/** A decision holds when it is taken, and what was decided is what is done. */
function assertDecided(world: World, { what, to }: Move): void {
  const { open } = to;
  if (open === null || open.decision === world.open?.decision) return;
  const bound = world.computers.filter(({ isBound, isNew }) => isBound && !isNew);
  for (const { part } of bound) {
    const isBound = part.id === open.id;
    const isAgain = open.id <= to.lostTo && world.open === null;
    const isConfirmed = part.step === 'done' && part.by === open.id;
    const isSure = (isBound && part.step === 'sure') || (isAgain && isConfirmed);
    if (open.decision === 'switch') assert.ok(isBound && (isAgain || part.step === 'staged'), what);
    if (open.decision === 'confirm') assert.ok(isSure, what);
    if (open.decision === 'back') assert.ok(part.step !== 'done' || part.by !== open.id, what);
  }
}
