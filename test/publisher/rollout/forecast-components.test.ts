/** The forecast of publish counts robots whose components or slots are not those of the bundle. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { forecastFields } from '../../../publisher/rollout/forecast-fields.ts';
import {
  forecastLines,
  forecastOf,
  forecastText,
  type Forecast,
} from '../../../publisher/rollout/forecast.ts';
import { hasSlotsFor, slotsOf } from '../../../shared/formats/apply-strategy.ts';
import { makeState } from '../../broker/reports.ts';
import { makeFleet } from '../../helpers/fleet.ts';

const fleet = makeFleet();
const NOW = Date.now();

describe('the forecast of a rollout', () => {
  it('tells a robot that was named and lacks the component from one that is not targeted', async () => {
    const offer = fleet.makeRollout('new', await fleet.makeBundle({ version: '2.0.0' }));
    const named = { ...offer, target: { robots: ['r4'] } };
    const states = [
      makeState('r4', { name: 'nav', version: '1.0.0' }),
      makeState('r1', { version: '1.5.0' }),
    ];
    const found = forecastOf({ rollouts: [named] }, 'new', states, NOW);
    assert.ok(found);
    assert.match(forecastText(found), /1 named here has no component app: r4; 1 not targeted/);
    assert.match(forecastLines(found).join('\n'), /robots: 1 named here has no component app: r4/);
    assert.deepEqual((forecastFields(found) as { lack_component?: string[] }).lack_component, [
      'r4',
    ]);
  });

  it('knows for which component a robot has slots', () => {
    assert.equal(hasSlotsFor('app', ['slot_image', 'slots:system']), false);
    assert.equal(hasSlotsFor('app', ['slot_image', 'slots:app']), true);
    assert.equal(hasSlotsFor('app', ['slot_image']), true, 'an agent of before does not say');
    assert.equal(hasSlotsFor('app', ['slots:app']), false, 'an agent that takes none');
    assert.deepEqual(slotsOf('n'.repeat(40)), [], 'a report has no room for it');
  });

  it('counts a robot that refuses a set with an image once', async () => {
    const offer = fleet.makeRollout('new', await fleet.makeBundle({ version: '2.0.0' }));
    const states = ['r1', 'r2'].map((id) => makeState(id, { version: '1.5.0' }));
    const found = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.ok(found);
    const of = (more: Partial<Forecast>): string => forecastLines({ ...found, ...more }).join('\n');
    assert.match(
      of({ imageUnasked: ['r2'] }),
      /1 will take it\n.*1 take no set with a system image now: r2/,
    );
    assert.doesNotMatch(of({ imageUnasked: ['r1', 'r2'] }), /will take it/);
    assert.match(of({ imageUnasked: ['r1'], setUnasked: ['r1'] }), /2 will take it/, 'one by one');
  });
});
