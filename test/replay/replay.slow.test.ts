/** A trace of a real agent or of a real controller is played again, and a changed line is noticed. */

import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { encodeTraceLine } from '../../shared/io/trace.ts';
import { decodeTraceLine } from './read-line.ts';
import { startChild } from '../helpers/child.ts';
import { fileURLToPath } from 'node:url';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { Site } from '../e2e/site.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { replayTrace } from './replay.ts';

const BAD = ['--id', 'bad', '--soak', '1s', '--supersede', 'first'];
const MAIN = fileURLToPath(new URL('main.js', import.meta.url));

describe('a trace', () => {
  it('holds any input and is the same when it is read again', () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        fc.jsonValue(),
        fc.constantFrom(Infinity, -Infinity),
        fc.uint8Array({ maxLength: 20 }),
        fc.array(tie('any'), { maxLength: 4 }),
        fc.array(fc.tuple(fc.string(), tie('any')), { maxLength: 4 }).map((all) => new Map(all)),
      ),
    })).any;
    fc.assert(
      fc.property(value, (input) => {
        const line = { name: 'x', input: [input], output: null };
        const again = encodeTraceLine(decodeTraceLine(encodeTraceLine(line)));
        assert.equal(again, encodeTraceLine(line));
      }),
      { numRuns: 500 },
    );
  });

  it('of an update that goes back and of its rollout comes out as it was recorded', async (t) => {
    const site = await Site.open(t);
    const [robotTrace, brokerTrace] = [site.path('robot.trace'), site.path('broker.trace')];
    const lead = ['--trust', site.path('trust.json'), '--rollout-key', site.path('rollout.key')];
    const args = [...lead, '--controller-start', '1s'];
    const broker = await startBrokerChild(t, { args, env: { DROVER_TRACE: brokerTrace } });
    const robot = site.robot('r1', broker.url, [], { DROVER_TRACE: robotTrace });
    await site.publish(broker.url, await site.bundle('1.0.0'), '--id', 'first', '--soak', '1h');
    await robot.runs('1.0.0');
    const api = ['--api', broker.httpUrl];
    await site.drover('rollout', 'pause', 'first', ...api, '--by', 'kim');
    await robot.hook('health', 'exit 70');
    await site.publish(broker.url, await site.bundle('1.1.0'), ...BAD);
    await robot.until('went back', ({ last_update: last }) => last?.outcome === 'rolled_back');
    const steps = replayTrace(readFileSync(robotTrace, 'utf8'));
    assert.deepEqual([steps.differ, steps.unread], [[], 0], steps.lines.join('\n'));
    assert.ok(
      steps.lines.some((line) => /probation --unhealthy--> rolling_back 1\.1\.0/.test(line)),
    );
    await waitUntil('the word to be recorded', () =>
      /"name":"command"/.test(readFileSync(brokerTrace, 'utf8')),
    );
    const looks = replayTrace(readFileSync(brokerTrace, 'utf8'));
    assert.deepEqual([looks.differ, looks.unread], [[], 0], looks.lines.join('\n'));
    assert.equal(statSync(brokerTrace).mode & 0o777, 0o600);

    const changed = readFileSync(robotTrace, 'utf8').replaceAll(
      '"phase":"probation"',
      '"phase":"idle"',
    );
    writeFileSync(site.path('changed.trace'), `${changed}{"cut sho`);
    const child = startChild(t, process.execPath, [MAIN, site.path('changed.trace')]);
    assert.equal((await child.exit).code, 1, child.describe());
    assert.match(child.stdout, /^\d+ {2}DIFFERS, now: /m);
    assert.match(child.stdout, /decisions differ, 1 lines not understood$/m);
  });
});
