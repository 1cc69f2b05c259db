/** The name of a set, and the error for an unknown name. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  rolloutsOfSet,
  unknownRollout,
  type Announced,
} from '../../../broker/rollout/set-names.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const members = ['motor', 'app'].map((component) => ({
  ...{ rollout: `third-${component}`, component, version: '2.0.0' },
  payload_sha256: '0'.repeat(64),
}));
const set = { id: 'third', members } as unknown as Announced['set'];
const announced: Announced[] = [
  { id: 'other' },
  { id: 'third-app', set },
  { id: 'third-motor', set },
];

test('a set stands for its rollouts in its order, and an id for itself', () => {
  assert.deepEqual(rolloutsOfSet('third', announced), ['third-motor', 'third-app']);
  assert.deepEqual(rolloutsOfSet('third', [...announced, { id: 'third' }]), []);
  assert.deepEqual(rolloutsOfSet('third', announced.slice(0, 2)), ['third-app'], 'one is gone');
  assert.deepEqual(rolloutsOfSet('thir', announced), []);
});

test('an unknown id is answered with the closest that are announced, and not with all of many', () => {
  const { code, message, hint } = unknownRollout('find rollout third-ap', 'third-ap', announced);
  assert.deepEqual([code, message], ['NOT_FOUND', 'find rollout third-ap: it is not announced']);
  assert.match(hint, /^announced: third-app, third,? /);
  const many = Array.from({ length: 30 }, (_, at) => ({ id: `x-${at}` }));
  const bounded = unknownRollout('find rollout x', 'x', many).hint;
  assert.equal(bounded.match(/x-\d+/g)?.length, LIMITS.examplesMax);
  assert.match(unknownRollout('find rollout x', 'x', []).hint, /no rollout is announced/);
});
