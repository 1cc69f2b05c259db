/**
 * The record of the leader's decisions on a disk that is full or read-only, or whose power is cut,
 * at each operation of a set; and what is kept for a computer that is gone.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ComponentFact } from '../../../robot-client/members/commit.ts';
import { CommitBook } from '../../../robot-client/members/commit-book.ts';
import { decisionIn, openIn } from '../../../robot-client/members/told-commits.ts';
import { factsOfSet } from '../../../robot-client/members/set-facts.ts';
import type { CommitDecision } from '../../../robot-client/update/joint-set.ts';
import { memberViewOf } from '../../../robot-client/update/set-verdict.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { rolloutSetSchema, type RolloutSet } from '../../../shared/formats/announcement.ts';
import { crashStates } from '../../crash/crash-states.ts';
import { folder } from '../../crash/disk-image.ts';
import { ModelDisk } from '../../crash/model-disk.ts';
import { faultyDisk, isChange, type Gate } from '../faulty-disk.ts';
import { ID, sureState } from './link-stage.ts';

const FOLDER = '/members';
const PARTS = ['app', 'vision', 'arm'];
const EMPTY = folder({ members: folder({}) });

const setOf = (id: string, parts: readonly string[]): RolloutSet => {
  const release = { version: '1.0.0', payload_sha256: 'a'.repeat(64) };
  const members = parts.map((component) => ({
    ...release,
    component,
    rollout: `${id}-${component}`,
  }));
  return rolloutSetSchema.parse({ id, members });
};
const SET = setOf('s', PARTS);

type Part = Pick<ComponentFact, 'step' | 'commitId' | 'confirmedBy'> & { readonly awayMs?: number };
const STAGED: Part = { step: 'staged', commitId: null, confirmedBy: null };

const factsFrom = (parts: ReadonlyMap<string, Part>, names: readonly string[]) => ({
  ...{ isRecalled: false, stopped: null },
  components: names.map((component): ComponentFact => ({
    ...{ component, awayMs: 0, isCurrent: true, canGoBack: true, code: null },
    ...(parts.get(component) ?? STAGED),
  })),
});

/** The next state of a component that follows its news; the same when it waits. */
function follow(part: Part, name: string, { told }: CommitBook): Part {
  const { step, commitId } = part;
  if (commitId === null)
    return step === 'staged' ? { ...part, commitId: openIn(told, SET, name) } : part;
  const decision = decisionIn(told, commitId);
  if (decision === 'switch' && step === 'staged') return { ...part, step: 'trial' };
  if (decision === 'switch' && step === 'trial') return { ...part, step: 'sure' };
  if (decision === 'confirm') return { step: 'done', commitId: null, confirmedBy: commitId };
  return decision === 'back' ? { ...part, step: 'undone', commitId: null } : part;
}

/** Each decision that a power cut can leave of one: all of them have to be the one in the news. */
async function leftOf(disk: ModelDisk, id: string): Promise<Set<CommitDecision>> {
  const found = new Set<CommitDecision>();
  for (const image of crashStates(disk)) {
    const book = new CommitBook(new ModelDisk(image), FOLDER);
    await book.load();
    found.add(decisionIn(book.told, id));
  }
  return found;
}

interface Played {
  readonly parts: ReadonlyMap<string, Part>;
  readonly problems: ReadonlySet<string>;
}

/** A set from its first question to its end. @param isBad the last component fails on trial */
async function play(disk: ModelDisk, gate: Gate, isBad: boolean): Promise<Played> {
  const book = new CommitBook(faultyDisk(gate, disk), FOLDER);
  await book.load();
  const parts = new Map<string, Part>(PARTS.map((name) => [name, STAGED]));
  const problems = new Set<string>();
  for (let round = 0; round < 60; round += 1) {
    const { problem } = await book.step([SET], () => factsFrom(parts, PARTS), 0);
    if (problem) problems.add(problem.code);
    for (const name of PARTS) {
      const before = parts.get(name) ?? STAGED;
      const fails = isBad && name === 'arm' && before.step === 'trial';
      const after = fails
        ? ({ ...before, step: 'undone', commitId: null } as const)
        : follow(before, name, book);
      const acts = !fails && after.step !== before.step && before.commitId !== null;
      if (acts) {
        const decision = decisionIn(book.told, before.commitId);
        const left = await leftOf(disk, before.commitId);
        assert.deepEqual([...left], [decision], `${name} acts before the record is durable`);
      }
      parts.set(name, after);
    }
  }
  return { parts, problems };
}

describe('the record of decisions on a disk that refuses', () => {
  for (const isBad of [false, true]) {
    const end = isBad ? 'undone' : 'done';
    it(`is durable before a computer acts on it, and a set ends (${end}) when there is room again`, async () => {
      let changes = 0;
      await play(
        new ModelDisk(EMPTY),
        (operation) => void (changes += Number(isChange(operation))),
        isBad,
      );
      assert.ok(changes > 20, `${changes} operations`);
      for (const [code, first] of [
        ['DISK_FULL', 0],
        ['DISK_READ_ONLY', 1],
      ] as const) {
        for (let from = first; from < changes; from += 2) {
          let nth = -1;
          const gate: Gate = (operation) => {
            if (!isChange(operation)) return;
            nth += 1;
            if (nth >= from && nth < from + 5) throw new DroverError(code, 'refused');
          };
          const { parts, problems } = await play(new ModelDisk(EMPTY), gate, isBad);
          const steps = [...parts.values()].map(({ step }) => step);
          assert.deepEqual(new Set(steps), new Set([end]), `${code} from operation ${from}`);
          // A refusal at the start is not shown: the record is stored again there in silence.
          if (from > 12) assert.deepEqual([...problems], [code], `from operation ${from}`);
        }
      }
    });
  }
});

describe('a decision that is kept for a computer that is gone', () => {
  it('stops no other set of the rest, is kept over a restart, and ends when that computer is there', async () => {
    const disk = new ModelDisk(EMPTY);
    const book = new CommitBook(disk, FOLDER);
    await book.load();
    const parts = new Map<string, Part>(PARTS.map((name) => [name, STAGED]));
    const step = async (on: CommitBook, ...sets: RolloutSet[]): Promise<void> => {
      await on.step(
        sets,
        ({ members }) =>
          factsFrom(
            parts,
            members.map((one) => one.component),
          ),
        0,
      );
      for (const name of PARTS) {
        const part = parts.get(name) ?? STAGED;
        if (part.awayMs === undefined) parts.set(name, follow(part, name, on));
      }
    };
    while (book.told?.commits[0]?.decision !== 'confirm') await step(book, SET);
    const id = book.told.commits[0].id;
    parts.set('arm', { ...STAGED, step: 'sure', commitId: id, awayMs: 1 });
    await step(book, SET);
    const next = setOf('next', ['app', 'vision']);
    for (const name of ['app', 'vision']) parts.set(name, STAGED);
    await step(book, next);
    assert.deepEqual(
      book.told?.commits.map((one) => one.decision),
      ['confirm'],
      'it waits for arm',
    );

    const on = { sets: [], factsOf: () => factsFrom(parts, PARTS) };
    const shown = await book.declareGone(['arm'], { ...on, isSaid: false });
    assert.deepEqual(
      shown.map((one) => one.decision),
      ['confirm'],
    );
    assert.equal(book.told?.commits[0]?.gone, undefined, 'it was only shown');
    await book.declareGone(['arm'], { ...on, isSaid: true });
    const again = new CommitBook(new ModelDisk([...crashStates(disk)][0] ?? EMPTY), FOLDER);
    await again.load();
    assert.deepEqual(again.told?.commits[0]?.gone, ['arm']);
    await step(again, next);
    const open = again.told?.commits.map((one) => `${one.set.id} ${one.decision}`);
    assert.deepEqual(open, ['s confirm', 'next prepare']);

    const { awayMs: _there, ...back } = parts.get('arm') ?? STAGED;
    parts.set('arm', follow(back, 'arm', again));
    assert.equal(parts.get('arm')?.step, 'done', 'it follows what was decided');
    await step(again, next);
    assert.ok(again.told?.commits.every((one) => one.set.id === 'next'));
  });
});

describe('the facts of the leader', () => {
  it('count a component as bound that has confirmed, and whose disk refused to know it', () => {
    const { state, set } = sureState();
    const done = { ...state, phase: 'idle', job: null, installed: state.job } as const;
    const stepWith = (more: object) => {
      const view = { ...memberViewOf(done, { active: '1.1.0', rollback: '1.0.0' }), ...more };
      const { components } = factsOfSet(set, {
        ...{ views: new Map([['app', view]]), local: new Set(['app']), desks: [] },
        ...{ epoch: '', startedMs: 0, progress: new Map(), now: 0, clock: 0 },
      });
      return [components[0]?.step, components[0]?.isUnkept, components[0]?.confirmedBy];
    };
    assert.deepEqual(stepWith({}), ['done', false, ID]);
    assert.deepEqual(stepWith({ isUnkept: true }), ['done', true, ID]);
  });
});
