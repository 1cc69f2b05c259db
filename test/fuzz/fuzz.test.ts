/**
 * Fuzzes each door for a short time, as `npm run fuzz` does for hours, and finds planted faults.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seedOfRun } from '../helpers/run-seed.ts';
import { readCorpus } from './corpus.ts';
import { DOORS } from './doors.ts';
import { watchHunt } from './watch-hunt.ts';

const MINUTE_S = 60;
const PLANTED_S = 60;
const PLANTED_HANG_MS = 3_000;

describe('bytes of a stranger', () => {
  const seconds = MINUTE_S / Object.keys(DOORS).length;
  for (const door of Object.keys(DOORS)) {
    it(`do no harm at the door ${door}`, async () => {
      const [corpus, seed] = [await readCorpus(door), seedOfRun()];
      const { finding, executions } = await watchHunt({ door, corpus, seconds, seed });
      const inputs = finding?.inputs.map((one) => Buffer.from(one).toString('base64')).join(' ');
      assert.equal(finding, null, `seed ${seed}, inputs ${inputs}: ${finding?.why ?? ''}`);
      assert.ok(executions > corpus.length, `${executions} inputs say nothing`);
    });
  }
});

describe('a hunt', () => {
  // A busy machine holds a thread up for seconds: only the planted hang may count as one so soon.
  const hunt = (door: string, patience = 1) =>
    watchHunt({
      ...{ door, corpus: [], seconds: PLANTED_S, seed: 7 },
      ...(door === 'planted-hang' && { hangMs: PLANTED_HANG_MS * patience }),
    });

  it('follows the code to a word that chance alone would not find', async () => {
    const { finding } = await hunt('planted-word');
    assert.match(finding?.why ?? '', /TypeError: planted/);
    assert.equal(Buffer.from(finding?.inputs[0] ?? []).toString('latin1', 0, 4), 'drov');
  });

  for (const [door, words] of [
    ['planted-hang', /no answer for/],
    ['planted-memory', /memory/],
    ['planted-silence', /planted/],
  ] as const) {
    it(`names the input of a fault that its thread cannot tell: ${door}`, async () => {
      const isPlanted = ({ finding }: Awaited<ReturnType<typeof hunt>>): boolean =>
        words.test(finding?.why ?? '') &&
        (finding?.inputs.some(({ byteLength }) => byteLength > 300) ?? false);
      const first = await hunt(door);
      // A machine that stood still looks like a hang: twice for longer is no chance.
      const second = isPlanted(first) ? first : await hunt(door, 4);
      assert.ok(isPlanted(second), second.finding?.why);
    });
  }
});
