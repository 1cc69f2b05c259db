/** `npm run simulate -- [seeds] [--from N]`, `-- --seed N`: many worlds, or one of them again. */

import { makeGround, simulate, type SimResult } from './rollout-sim.ts';

const numberAfter = (flag: string): number | null => {
  const at = process.argv.indexOf(flag);
  return at < 0 ? null : Number(process.argv[at + 1]);
};

const only = numberAfter('--seed');
const from = only ?? numberAfter('--from') ?? 1;
const count = only === null ? Number(process.argv[2] ?? 1000) || 1000 : 1;

const ground = await makeGround();
const results: SimResult[] = [];
for (let seed = from; seed < from + count; seed += 1) {
  const result = await simulate(seed, ground);
  results.push(result);
  if (result.broken.length === 0) continue;
  process.stdout.write(`seed ${seed}: ${JSON.stringify(result)}\n`);
  process.stdout.write(`  again: npm run simulate -- --seed ${seed}\n`);
}
const broken = results.filter((one) => one.broken.length > 0).length;
const cuts = results.reduce((sum, one) => sum + one.powerCuts, 0);
const bad = results.filter((one) => one.isBad);
const halted = bad.filter((one) => one.status === 'halted').length;
const falsely = results.filter((one) => !one.isBad && one.status === 'halted').length;
process.stdout.write(
  `${results.length} worlds, ${cuts} power cuts of a controller: ${broken} broke an invariant; ` +
    `${halted} of ${bad.length} bad versions halted, ${falsely} of ${results.length - bad.length} good ones\n`,
);
process.exitCode = broken === 0 ? 0 : 1;
