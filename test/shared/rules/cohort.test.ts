import fc from 'fast-check';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';

const ROBOTS = 100_000;
const robots = Array.from({ length: ROBOTS }, (_, at) => parseRobotId(`robot-${at}`));
const fractions = robots.map((robot) => cohortFraction('fleet', robot));

test('a fraction is the first 53 bits of the hash of salt and robot, computed another way', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), fc.nat(), (salt, at) => {
      const robot = parseRobotId(`r${at}`);
      const digest = createHash('sha256').update(`${salt}\0${robot}`, 'utf8').digest('hex');
      const expected = Number(BigInt(`0x${digest.slice(0, 14)}`) >> 3n) / 2 ** 53;
      assert.equal(cohortFraction(salt, robot), expected);
    }),
  );
});

test('a hundred thousand robots spread evenly over a hundred bins', () => {
  const bins = new Array<number>(100).fill(0);
  for (const fraction of fractions) {
    assert.ok(fraction >= 0 && fraction < 1);
    const bin = Math.floor(fraction * 100);
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  const want = ROBOTS / 100;
  const chiSquare = bins.reduce((sum, got) => sum + (got - want) ** 2 / want, 0);
  // 99 degrees of freedom: below 148.2 with probability 0.999. The ids and the salt are fixed.
  assert.ok(chiSquare < 148.2, `chi-square ${chiSquare}`);
});

test('a wave that widens only ever adds robots', () => {
  const part = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(part, part, (a, b) => {
      const [narrow, wide] = a < b ? [a, b] : [b, a];
      const inNarrow = fractions.slice(0, 1_000).filter((fraction) => fraction < narrow);
      assert.ok(inNarrow.every((fraction) => fraction < wide));
    }),
  );
  assert.ok(
    fractions.every((fraction) => fraction < 1),
    'a threshold of 1 takes everybody',
  );
  assert.equal(fractions.filter((fraction) => fraction < 0).length, 0);
});

test('another salt makes another order', () => {
  const canaries = (salt: string) =>
    new Set(robots.slice(0, 10_000).filter((robot) => cohortFraction(salt, robot) < 0.1));
  const first = canaries('a');
  const both = [...canaries('b')].filter((robot) => first.has(robot));
  assert.ok(both.length > 50 && both.length < 160, `${both.length} of 1000 are canaries twice`);
});
