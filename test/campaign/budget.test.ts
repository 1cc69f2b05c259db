/**
 * A budget with real processes: five robots in two halls, one of each hall at once. Robots write
 * down when they stop and when they are healthy again, so the budget is judged from outside.
 */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { it } from 'node:test';
import type { ToldPlace } from '../../shared/rules/budget.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { Site, type Robot } from '../e2e/site.ts';

const HALLS = { a1: 'A', a2: 'A', a3: 'A', b1: 'B', b2: 'B' } as const;
type Name = keyof typeof HALLS;
const NAMES = Object.keys(HALLS) as Name[];
/** For each hall the robots that were out of service together, the killed one left out. */
function together(record: string, killed: Name): string[][] {
  const out = new Set<Name>();
  return record
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [what, name] = line.split(' ') as ['begins' | 'ends', Name];
      if (what === 'ends') out.delete(name);
      else if (name !== killed) out.add(name);
      const halls = ['A', 'B'].map((hall) => [...out].filter((one) => HALLS[one] === hall));
      return halls.filter((robots) => robots.length > 1);
    });
}

it('one robot of each hall is out of service at once, also when one dies in the middle', async (t) => {
  const site = await Site.open(t);
  const keys = ['--trust', site.path('trust.json'), '--rollout-key', site.path('rollout.key')];
  const broker = await startBrokerChild(t, {
    args: [...keys, '--controller-start', '1s', '--lease', '8s'],
  });
  const record = site.path('record');
  const robots = {} as Record<Name, Robot>;
  for (const name of NAMES) {
    robots[name] = site.robot(name, broker.url, ['--tags', `hall=${HALLS[name]}`]);
  }
  await site.publish(broker.url, await site.bundle('1.0.0'), '--id', 'first');
  for (const name of NAMES) await robots[name].runs('1.0.0');

  for (const name of NAMES) {
    const stays = HALLS[name] === 'A' ? `; [ -e ${site.path('go')} ] || sleep 30` : '';
    await robots[name].hook('stop', `echo "begins ${name}" >> ${record}${stays}`);
    await robots[name].hook('health', `sleep 0.2; echo "ends ${name}" >> ${record}`);
  }
  const budget = ['--at-most', '1', '--per', 'tag:hall', '--place-lease', '4s'];
  const more = ['--id', 'second', '--supersede', 'first', ...budget];
  const said = await site.drover(
    ...site.publishArgs(broker.url, await site.bundle('2.0.0'), ...more),
  );
  assert.match(said, /budget: at most 1 robot of each hall out of service at once/);

  const rollout = (...words: string[]): Promise<string> =>
    site.drover('rollout', ...words, '--api', broker.httpUrl);
  const placeOfHallA = async (): Promise<ToldPlace | null> => {
    const answer = await fetch(`${broker.httpUrl}/rollouts/second`);
    const { run } = (await answer.json()) as { run: { places: ToldPlace[] } | null };
    return run?.places.find(({ place }) => place === 'hall=A') ?? null;
  };
  const full = await waitUntil('two robots of hall A wait for the third', async () => {
    const place = await placeOfHallA();
    return place?.waiting.length === 2 && place.held.length === 1 ? place : null;
  });
  const killed = full.held[0]?.robot_id as Name;
  const others = full.waiting as Name[];
  const listed = await rollout('robots', 'second', '--all');
  assert.match(listed, new RegExp(`${killed} .*PLACE_HELD .*is swapping.*; has a place in hall=A`));
  const waits = new RegExp(`PLACE_AWAITED +waits for a place in hall=A \\(1 of 1 taken: ${killed}`);
  assert.match(listed, waits);
  for (const name of ['b1', 'b2'] as const) await robots[name].runs('2.0.0');
  const told = `hall=A (1 of 1 taken: ${killed}); 2 wait: ${others.join(', ')}`;
  assert.ok((await rollout('status', 'second')).includes(told));

  await robots[killed].kill();
  await writeFile(site.path('go'), '');
  for (const name of others) await robots[name].runs('2.0.0');
  const after = { place: 'hall=A', at_most: 1, held: [], stuck: [], waiting: [], away: [killed] };
  assert.deepEqual(await placeOfHallA(), after);
  robots[killed].start();
  await robots[killed].runs('2.0.0');
  const written = await readFile(record, 'utf8');
  for (const name of NAMES) assert.match(written, new RegExp(`begins ${name}\n[^]*ends ${name}\n`));
  assert.deepEqual(together(written, killed), []);
});
