import assert from 'node:assert/strict';
import { it } from 'node:test';
import { reportComponent, reportTransition } from '../../../robot-client/fleet/report.ts';
import { Unheard } from '../../../robot-client/fleet/unheard.ts';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { Bench } from '../bench.ts';

const REPLAYED = toProblem(new DroverError('ANNOUNCEMENT_REPLAYED', 'accept progress: a test'));

const REFUSED = { problem: REPLAYED, code: REPLAYED.code };

it('progress that is refused shows on the component that the rollout is for, until it is accepted', async (t) => {
  const fleet = makeFleet();
  const bundles = [
    await fleet.makeBundle({ version: '1.1.0' }),
    await fleet.makeBundle({ version: '1.1.0', manifest: { name: 'nav' } }),
  ] as const;
  const rollouts = [fleet.makeRollout('a', bundles[0]), fleet.makeRollout('n', bundles[1])];
  const announced = openAnnouncement(fleet.announce(1, rollouts), fleet.trust);
  const { view } = (await Bench.open(t)).component;
  const views = [
    { ...view, name: 'app' },
    { ...view, name: 'nav' },
  ];
  const unheard = new Unheard();
  const told = (): (string | undefined)[] =>
    unheard.over(views, announced).map((one) => reportComponent(one).last_error?.code);

  assert.ok(unheard.note('n', { ...REFUSED, seq: 7, atMs: 1 }));
  assert.ok(!unheard.note('n', { ...REFUSED, seq: 7, atMs: 2 }), 'the same again is no news');
  unheard.note('gone', { ...REFUSED, seq: 3, atMs: 1 });
  assert.deepEqual(told(), [undefined, 'ANNOUNCEMENT_REPLAYED']);
  assert.deepEqual(unheard.fieldsOf(announced), [
    { rollout: 'n', code: 'ANNOUNCEMENT_REPLAYED', seq: 7 },
  ]);
  const [, nav = view] = unheard.over(views, announced);
  assert.match(explainComponent(nav, 2).join('\n'), /cannot follow a rollout: .*REPLAYED/);
  assert.ok(unheard.heard('n'));
  assert.deepEqual([told(), unheard.fieldsOf(announced)], [[undefined, undefined], []]);
});

it('the hint of a refused version is a command that can be copied', async (t) => {
  const { view } = (await Bench.open(t)).component;
  const problem = toProblem(new DroverError('FAILED_BEFORE', 'take 1.2.0: it failed here'));
  const live = { ...view.live, refusal: { version: '1.2.0', problem, atMs: 1 } };
  const said = explainComponent({ ...view, live }, 2).join('\n');
  assert.match(said, /drover-robot unblock 1\.2\.0$/m);
});

it('no report of a robot has the secret that a program of the integrator printed', async (t) => {
  const { view } = (await Bench.open(t)).component;
  const { state } = view;
  const said = 'exit 70: API_KEY=topsecret';
  const problem = toProblem(
    new DroverError('HEALTH_FAILED', said, { hint: 'password: topsecret' }),
  );
  const live = { ...view.live, refusal: { version: '1.2.0', problem, atMs: 1 }, waitingFor: said };
  const event = reportTransition({
    ...{ robot: 'r1' as RobotId, component: 'app', event: 'failed', from: 'idle', version: null },
    ...{ before: state, after: state, problem, now: 1 },
  });
  const told = JSON.stringify([reportComponent({ ...view, live }), event]);
  assert.equal(told.match(/API_KEY=\[redacted\]/g)?.length, 3);
  assert.doesNotMatch(told, /topsecret/);
});
