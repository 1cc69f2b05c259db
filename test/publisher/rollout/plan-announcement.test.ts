/** The rollouts that the next announcement keeps, replaces and refuses. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { releaseOf } from '../../../shared/rules/release-identity.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { test } from 'node:test';
import { openActiveRollouts } from '../../../publisher/rollout/active-rollouts.ts';
import {
  planAnnouncement,
  planWithdrawal,
  type AnnouncementPlan,
  type AnnouncementPlanInput,
} from '../../../publisher/rollout/plan-announcement.ts';
import type { LedStatus } from '../../../publisher/rollout/overlap.ts';
import { parseWaves, rolloutIdFor } from '../../../publisher/rollout/plan-rollout.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { bytesToBase64 } from '../../../shared/crypto/bytes.ts';
import { PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { isId } from '../../../shared/base/ids.ts';
import { parseManifest, type ManifestFields } from '../../../shared/formats/manifest.ts';
import { makeFleet, type SignedBundle } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { envelopeNow } from '../../helpers/sign-now.ts';

const fleet = makeFleet();
const NOW = Date.parse('2026-05-01T00:00:00Z');
const STAGED = { waves: [{ percent: 1 }, { percent: 100 }] };

const bundleOf = (version: string, manifest: Partial<ManifestFields> = {}) =>
  fleet.makeBundle({ version, manifest });

function plan(
  old: readonly RolloutFields[],
  bundle: SignedBundle,
  more: Partial<AnnouncementPlanInput> & { fields?: Partial<RolloutFields> } = {},
): AnnouncementPlan {
  const { fields = {}, ...rest } = more;
  const previous =
    old.length === 0 ? null : openActiveRollouts(fleet.announce(7, old), fleet.trust);
  return planAnnouncement({
    now: NOW,
    fleet: 'test',
    lifeMs: 86_400_000,
    previous,
    rollout: fleet.makeRollout('new', bundle, fields),
    manifest: parseManifest(bundle.manifestBytes),
    statuses: new Map(),
    supersede: [],
    alongside: false,
    robots: null,
    ...rest,
  });
}

test('a first announcement has the seconds of now as its seq', async () => {
  const { fields } = plan([], await bundleOf('1.0.0'));
  assert.equal(fields.seq, NOW / 1000);
  assert.equal(fields.expires_at, '2026-05-02T00:00:00.000Z');
  assert.deepEqual(
    fields.rollouts.map((one) => one.id),
    ['new'],
  );
});

test('under the id of one that is announced it goes on, and supersedes nothing', async () => {
  const statuses = new Map<string, LedStatus>([['new', { status: 'complete', settled: false }]]);
  const bundle = await bundleOf('1.0.0');
  const old = [fleet.makeRollout('new', bundle)];
  const { superseded, kept, isAgain, fields } = plan(old, bundle, { statuses, supersede: ['new'] });
  assert.deepEqual([superseded, kept, isAgain], [[], [], true]);
  assert.deepEqual(
    fields.rollouts.map(({ id, supersedes }) => [id, supersedes]),
    [['new', undefined]],
  );
  const fresh = plan([], await bundleOf('1.0.0'));
  assert.equal(fresh.isAgain, false);
});

test('an id that stays announced is for no second rollout, and the refusal says so', async () => {
  const old = [fleet.makeRollout('new', await bundleOf('1.0.0'))];
  const again = await bundleOf('1.0.0');
  const words = /rollout new is announced already, and stays so/;
  assertRefused('ROLLOUT_OVERLAP', () => plan(old, again, { alongside: true }), words);
});

test('another release wants another id: one that is complete is open to everybody', async () => {
  const statuses = new Map<string, LedStatus>([['new', { status: 'complete', settled: true }]]);
  const old = [fleet.makeRollout('new', await bundleOf('1.0.0'))];
  const others = [await bundleOf('1.1.0'), await bundleOf('1.0.0', { name: 'nav' })];
  for (const next of others) {
    for (const more of [{}, { supersede: ['new'] }, { fields: { emergency: true } }]) {
      assertRefused(
        'ROLLOUT_OVERLAP',
        () => plan(old, next, { statuses, ...more }),
        /goes by the id new/,
      );
    }
  }
});

test('an id that was used before is for the same release, unless that was stopped', async () => {
  const bundle = await bundleOf('1.1.0');
  const mine = releaseOf(bundle.manifestBytes);
  const led = (status: LedStatus['status'], release?: string): Map<string, LedStatus> =>
    new Map([
      ['new', { status, settled: false, ...(release && { release: release as Sha256Hex }) }],
    ]);
  const other = 'a'.repeat(64);
  for (const status of ['complete', 'rolling', 'halted', 'rolling_back'] as const) {
    for (const release of [other, undefined]) {
      assertRefused(
        'ROLLOUT_OVERLAP',
        () => plan([], bundle, { statuses: led(status, release) }),
        /the id new was that of another release, which is/,
      );
    }
  }
  for (const status of ['halted', 'rolling_back'] as const) {
    const again = () => plan([], bundle, { statuses: led(status, mine) });
    assertRefused('ROLLOUT_OVERLAP', again, /was stopped, and stays so/);
  }
  assert.equal(plan([], bundle, { statuses: led('complete', mine) }).isAgain, false);
});

test('seq rises even when the clock of an earlier publisher was ahead', async () => {
  const seq = 9_000_000_000;
  const { fields } = plan([], await bundleOf('1.0.0'), { previous: { seq, rollouts: [] } });
  assert.equal(fields.seq, seq + 1);
});

test('rollouts of other components, arches and robots are kept', async () => {
  const old = [
    fleet.makeRollout('nav', await bundleOf('5.0.0', { name: 'nav' })),
    fleet.makeRollout('arm', await bundleOf('1.5.0', { target_arch: 'armhf' })),
    fleet.makeRollout('r1', await bundleOf('1.6.0', { target_arch: 'arm64' }), {
      target: { robots: ['r1'] },
    }),
  ];
  const { kept, superseded } = plan(old, await bundleOf('1.0.0', { target_arch: 'aarch64' }), {
    fields: { target: { robots: ['r2'] } },
  });
  assert.deepEqual([kept, superseded], [['nav', 'arm', 'r1'], []]);
});

test('a lower version that went to everybody at once, or as an emergency, is superseded', async () => {
  const old = [
    fleet.makeRollout('whole', await bundleOf('1.0.0')),
    fleet.makeRollout('sos', await bundleOf('1.0.1'), { ...STAGED, emergency: true }),
  ];
  const { superseded, fields } = plan(old, await bundleOf('1.1.0'));
  assert.deepEqual(superseded, ['whole', 'sos']);
  assert.deepEqual(
    fields.rollouts.map((one) => one.id),
    ['new'],
  );
});

test('a staged rollout is in the way until its controller says complete or halted', async () => {
  const old = [fleet.makeRollout('staged', await bundleOf('1.0.0'), STAGED)];
  const bundle = await bundleOf('1.1.0');
  const withStatus = (
    status: 'rolling' | 'paused' | 'halted' | 'rolling_back' | 'complete',
    settled = false,
  ) => verdictOf(() => plan(old, bundle, { statuses: new Map([['staged', { status, settled }]]) }));
  assertRefused('ROLLOUT_OVERLAP', () => plan(old, bundle), /announce new.*rollout staged/);
  assert.equal(withStatus('rolling'), 'ROLLOUT_OVERLAP');
  assert.equal(withStatus('paused'), 'ROLLOUT_OVERLAP');
  // Its robots get the order to go back as long as it takes, announced or not.
  assert.equal(withStatus('rolling_back'), 'taken');
  // Every robot that is on runs it: only the soak of the last wave is left.
  assert.equal(withStatus('rolling', true), 'taken');
  assert.equal(withStatus('complete'), 'taken');
  assert.equal(withStatus('halted'), 'taken');
});

test('a version that is not above is refused, unless --supersede or --alongside says so', async () => {
  const old = [fleet.makeRollout('old', await bundleOf('2.0.0'))];
  for (const version of ['1.0.0', '2.0.0', '2.0.0-rc.1']) {
    const bundle = await bundleOf(version);
    assertRefused(
      'ROLLOUT_OVERLAP',
      () => plan(old, bundle),
      /has announced 2\.0\.0 already|is older than .*announced 2\.0\.0/,
    );
    assert.deepEqual(plan(old, bundle, { supersede: ['old'] }).superseded, ['old']);
    assert.deepEqual(plan(old, bundle, { alongside: true }).kept, ['old']);
  }
});

test('the same release once more is answered by what became of the rollout before it', async () => {
  const bundle = await bundleOf('2.0.0');
  const old = [fleet.makeRollout('old', bundle)];
  const answer = (led: LedStatus | null): string => {
    const statuses = new Map(led ? [['old', led]] : []);
    try {
      plan(old, bundle, { statuses });
    } catch (error) {
      assert.ok(error instanceof DroverError);
      return `${error.message} | ${error.hint}`;
    }
    return 'taken';
  };
  const of = (status: LedStatus['status'], more: Partial<LedStatus> = {}): string =>
    answer({ status, settled: false, ...more });
  const isDone = /announced 2\.0\.0 already[^|]*\| nothing is to be done/;
  for (const done of [answer(null), of('rolling'), of('complete')]) assert.match(done, isDone);
  assert.match(of('paused'), /is paused \| to go on: drover rollout resume old/);
  assert.match(of('complete', { no_effect: true }), /no robot runs it \| drover rollout status/);
  const stopped = [of('halted'), of('rolling_back'), of('halted', { recall: true })];
  for (const one of stopped) {
    assert.doesNotMatch(one, /nothing is to be done|already/);
    assert.match(one, /\| build .*higher version.*--supersede old.*drover-robot unblock 2\.0\.0/);
  }
  assert.match(stopped[0] ?? '', /is halted: nobody takes it/);
  assert.match(stopped[1] ?? '', /is being called back: who took it has that version blocked/);
  assert.match(stopped[2] ?? '', /was called back: who took it has that version blocked/);
});

test('tags do not part rollouts, since a robot may have any set of them', async () => {
  const target = { tags: ['kitchen'] };
  const old = [fleet.makeRollout('old', await bundleOf('2.0.0'), { target })];
  const bundle = await bundleOf('1.0.0');
  const fields = { target: { tags: ['hall'] } };
  assertRefused('ROLLOUT_OVERLAP', () => plan(old, bundle, { fields }));
});

test('superseding what is not there names what is', async () => {
  const old = [fleet.makeRollout('old', await bundleOf('1.0.0'))];
  const bundle = await bundleOf('1.1.0');
  assertRefused('NOT_FOUND', () => plan(old, bundle, { supersede: ['odl'] }), /odl.*got old/);
});

test('kept rollouts stay to the letter, unknown fields included', async () => {
  const strange = {
    ...fleet.makeRollout('old', await bundleOf('5.0.0', { name: 'nav' })),
    x_later: [1],
  };
  const text = JSON.stringify({
    fleet: 'test',
    seq: 3,
    issued_at: '2026-01-01T00:00:00Z',
    expires_at: '2026-01-02T00:00:00Z',
    rollouts: [strange],
  });
  const bytes = envelopeNow(PAYLOAD_TYPES.announcement, Buffer.from(text), [fleet.seeds.rollout]);
  const previous = openActiveRollouts(bytes, fleet.trust);
  const { fields } = plan([], await bundleOf('1.0.0'), { previous });
  assert.equal(JSON.stringify(fields.rollouts[0]), JSON.stringify(strange));
});

test('a rollout whose manifest cannot be read is neither dropped nor overlooked', async () => {
  const bundle = await bundleOf('1.0.0');
  const manifest = bytesToBase64(Buffer.from('{"version":1}'));
  const old = [{ ...fleet.makeRollout('odd', bundle), manifest }];
  assertRefused('ROLLOUT_OVERLAP', () => plan(old, bundle), /odd.*cannot be read/);
  assert.deepEqual(plan(old, bundle, { supersede: ['odd'] }).superseded, ['odd']);
});

test('no more rollouts than an announcement may hold', async () => {
  const bundles = await Promise.all(
    Array.from({ length: 32 }, (_, at) => bundleOf('1.0.0', { name: `c${at}` })),
  );
  const old = bundles.map((bundle, at) => fleet.makeRollout(`r${at}`, bundle));
  const bundle = await bundleOf('1.0.0');
  assertRefused('DOCUMENT_TOO_LARGE', () => plan(old, bundle), /got 33, want at most 32/);
});

test('waves rise, stay within 100 and are numbers', () => {
  assert.deepEqual(parseWaves('1,10,50,100'), [1, 10, 50, 100]);
  assert.deepEqual(parseWaves('0.5, 100'), [0.5, 100]);
  for (const bad of ['', '0', '10,10', '50,10', '101', '1,,2', 'a', '-1', 'Infinity', '1e3']) {
    assertRefused('USAGE', () => parseWaves(bad));
  }
});

test('a rollout id is always a topic level, whatever the version', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
      fc.stringMatching(/^\d{1,5}\.\d{1,5}\.\d{1,5}(?:-[a-z.0-9]{1,30})?(?:\+[a-z.0-9]{1,30})?$/),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (name, version, random) => assert.ok(isId(rolloutIdFor(name, version, () => random))),
    ),
  );
});

test('an emergency takes the place of all that it meets, in any state and of any version', async () => {
  const statuses = new Map([
    ['rolling', { status: 'rolling' as const, settled: false }],
    ['paused', { status: 'paused' as const, settled: false }],
  ]);
  const old = [
    fleet.makeRollout('rolling', await bundleOf('1.5.0'), STAGED),
    fleet.makeRollout('paused', await bundleOf('1.6.0'), STAGED),
    fleet.makeRollout('nav', await bundleOf('5.0.0', { name: 'nav' }), STAGED),
  ];
  const fields = { emergency: true };
  const {
    superseded,
    kept,
    fields: next,
  } = plan(old, await bundleOf('1.4.1'), {
    statuses,
    fields,
  });
  assert.deepEqual([superseded, kept], [['rolling', 'paused'], ['nav']]);
  assert.deepEqual(next.rollouts.at(-1)?.supersedes, ['rolling', 'paused']);
  assert.equal(next.rollouts[0]?.supersedes, undefined);
});

test('an ended rollout is withdrawn, one that goes on is not, and none that is not there', async () => {
  const bytes = fleet.announce(5, [
    fleet.makeRollout('done', await bundleOf('1.0.0'), STAGED),
    fleet.makeRollout('busy', await bundleOf('1.1.0'), STAGED),
  ]);
  const previous = openActiveRollouts(bytes, fleet.trust);
  const statuses = new Map<string, LedStatus>([
    ['done', { status: 'complete', settled: false }],
    ['busy', { status: 'rolling', settled: false }],
  ]);
  const withdraw = (id: string) =>
    planWithdrawal({
      ...{ id, statuses, now: NOW, fleet: 'test', lifeMs: 1000 },
      previous,
    });
  const { fields, kept } = withdraw('done');
  assert.deepEqual(kept, ['busy']);
  assert.deepEqual(fields.rollouts, [previous.rollouts[1]?.written]);
  assert.ok(fields.seq > 5);
  assertRefused('ROLLOUT_OVERLAP', () => withdraw('busy'), /busy.*it is rolling/);
  // Robots that are away have not got it, and the gate still watches the others.
  statuses.set('busy', { status: 'rolling', settled: true });
  assertRefused('ROLLOUT_OVERLAP', () => withdraw('busy'), /busy.*its last wave soaks/);
  assertRefused('NOT_FOUND', () => withdraw('other'), /got done, busy/);
});
