import assert from 'node:assert/strict';
import { copyFile, readFile, readlink, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { versionOf, type Slot } from '../../../robot-client/install/slots.ts';
import {
  chooseOlder,
  keepsRollback,
  planReturn,
  planWayBack,
} from '../../../robot-client/update/way-back-plan.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { tarGz } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

async function bundleOf(version: string) {
  const files = { 'VERSION.txt': `${version}\n`, 'bin/app': { text: '#!/bin/sh\n', mode: 0o755 } };
  return await fleet.makeBundle({ version, payload: await tarGz(files) });
}

const losses = {
  'is gone': (path: string) => unlink(path),
  'is empty': (path: string) => truncate(path, 0),
  'is a program that was cut short': (path: string) => truncate(path, 4),
};

describe('a rollback to a release of which a file', () => {
  for (const [what, lose] of Object.entries(losses)) {
    it(`${what}: the whole version runs on, it is reported, and the way back works once repaired`, async (t) => {
      const bench = await Bench.open(t);
      bench.announce(await bundleOf('1.1.0'), '1.1.0');
      await bench.runs('1.1.0');
      const app = join(bench.root, 'releases/1.1.0/bin/app');
      const copy = join(bench.root, 'app.copy');
      await copyFile(app, copy);
      await bench.hook('health', 'if [ "$DROVER_VERSION" = 1.2.0 ]; then exit 70; fi');
      let isLost = false;
      bench.gate = async ({ name, path }) => {
        // The disk loses it after the swap, before anything asks for the way back.
        if (isLost || name !== 'rename' || !path.endsWith('/active')) return;
        isLost = true;
        await lose(app);
      };
      bench.announce(await bundleOf('1.2.0'), '1.2.0', { health_timeout_s: 1 });
      await waitUntil('stuck', () => bench.component.view.state.phase === 'stuck', {
        look: () => bench.describe(),
        timeoutMs: 30_000,
      });
      assert.ok(bench.codes.includes('RELEASE_DAMAGED'), bench.describe());
      const active = join(bench.root, 'active/VERSION.txt');
      assert.equal(await readFile(active, 'utf8'), '1.2.0\n');

      await copyFile(copy, app);
      await bench.heal();
      assert.equal(await bench.component.retry(), true);
      await bench.runs('1.1.0');
    });
  }

  it('is gone when the rollout is recalled: the healthy version runs on until it is repaired', async (t) => {
    const bench = await Bench.open(t);
    bench.announce(await bundleOf('1.1.0'), '1.1.0');
    await bench.runs('1.1.0');
    bench.announce(await bundleOf('1.2.0'), '1.2.0');
    await bench.runs('1.2.0');
    await bench.hook('stop', 'echo "$DROVER_VERSION" >> "$DROVER_ROOT/stopped"');
    const app = join(bench.root, 'releases/1.1.0/bin/app');
    const copy = join(bench.root, 'app.copy');
    await copyFile(app, copy);
    await unlink(app);
    bench.recall('1.2.0');
    const isStuck = (): boolean => bench.component.view.state.phase === 'stuck';
    await waitUntil('stuck', isStuck, { look: () => bench.describe(), timeoutMs: 30_000 });
    assert.equal(bench.component.view.version, '1.2.0');
    assert.ok(bench.codes.includes('RELEASE_DAMAGED'), bench.describe());
    const { job } = bench.component.view.state;
    assert.equal(job?.cause?.code, 'ROLLOUT_RECALLED', 'what is to be undone is known still');
    await assert.rejects(readFile(join(bench.root, 'stopped')), { code: 'ENOENT' });
    bench.recall('1.2.0'); // told again, as a controller does: nothing begins from the start
    await bench.cutPower();
    assert.ok(isStuck(), bench.describe());

    await copyFile(copy, app);
    assert.equal(await bench.component.retry(), true);
    await bench.runs('1.1.0');
    const { blocked } = bench.component.view.state;
    assert.deepEqual(
      blocked.map(({ version, code }) => [version, code]),
      [['1.2.0', 'ROLLOUT_RECALLED']],
    );
  });

  it('was written by the application goes back as ever', async (t) => {
    const bench = await Bench.open(t);
    bench.announce(await bundleOf('1.1.0'), '1.1.0');
    await bench.runs('1.1.0');
    await truncate(join(bench.root, 'releases/1.1.0/VERSION.txt'), 4);
    await bench.hook('health', 'if [ "$DROVER_VERSION" = 1.2.0 ]; then exit 70; fi');
    bench.announce(await bundleOf('1.2.0'), '1.2.0', { health_timeout_s: 1 });
    await waitUntil('the bad version', () => bench.codes.includes('HEALTH_FAILED'));
    await bench.runs('1.1.0');
  });
});

describe('an update over a release that lost a file', () => {
  /** 1.1.0 in `rollback`, 1.2.0 in `active`, each with its seal. */
  async function withTwo(t: TestContext) {
    const bench = await Bench.open(t);
    for (const version of ['1.1.0', '1.2.0']) {
      bench.announce(await bundleOf(version), version);
      await bench.runs(version);
    }
    const app = (version: string): string => join(bench.root, 'releases', version, 'bin/app');
    const led = (slot: string) => readlink(join(bench.root, slot));
    return { bench, app, led };
  }

  it('leaves rollback on the whole release, and all say that version', async (t) => {
    const { bench, app, led } = await withTwo(t);
    await bench.hook('stop', 'echo "$DROVER_VERSION" >> "$DROVER_ROOT/stopped"');
    await unlink(app('1.2.0'));
    let asked: string | null | undefined;
    bench.onPhase = (phase) => {
      if (phase === 'probation') asked = bench.component.view.state.job?.previousVersion;
    };
    bench.announce(await bundleOf('1.3.0'), '1.3.0');
    await bench.runs('1.3.0');
    assert.deepEqual([asked, bench.component.view.previousVersion], ['1.1.0', '1.1.0']);
    assert.equal(await led('rollback'), 'releases/1.1.0');
    assert.equal(await readFile(join(bench.root, 'stopped'), 'utf8'), '1.2.0\n', 'what ran');
  });

  it('goes back to the whole release when the new one is not healthy', async (t) => {
    const { bench, app, led } = await withTwo(t);
    await bench.hook('health', 'if [ "$DROVER_VERSION" = 1.3.0 ]; then exit 70; fi');
    await unlink(app('1.2.0'));
    bench.announce(await bundleOf('1.3.0'), '1.3.0', { health_timeout_s: 1 });
    await waitUntil('the bad version', () => bench.codes.includes('HEALTH_FAILED'));
    await bench.runs('1.1.0');
    const { installed, blocked } = bench.component.view.state;
    assert.equal(await led('active'), 'releases/1.1.0');
    assert.deepEqual([installed, blocked.map(({ version }) => version)], [null, ['1.3.0']]);
  });

  it('goes back to the whole release when the swap itself fails', async (t) => {
    const { bench, app } = await withTwo(t);
    await unlink(app('1.2.0'));
    let hasFailed = false;
    bench.gate = ({ name, path }) => {
      if (hasFailed || name !== 'rename' || !path.endsWith('/active')) return;
      hasFailed = true;
      throw new DroverError('SWAP_FAILED', 'the disk refuses once');
    };
    bench.announce(await bundleOf('1.3.0'), '1.3.0');
    await waitUntil('the way back', () => bench.component.view.version === '1.1.0', {
      look: () => bench.describe(),
    });
  });

  it('goes to an older whole release when the new and the old one lost files', async (t) => {
    const { bench, app } = await withTwo(t);
    await bench.hook('health', 'if [ "$DROVER_VERSION" = 1.3.0 ]; then exit 70; fi');
    let isLost = false;
    bench.gate = async ({ name, path }) => {
      if (isLost || name !== 'rename' || !path.endsWith('/active')) return;
      isLost = true;
      for (const version of ['1.2.0', '1.3.0']) await unlink(app(version));
    };
    bench.announce(await bundleOf('1.3.0'), '1.3.0', { health_timeout_s: 1 });
    await waitUntil('the bad version', () => bench.codes.includes('HEALTH_FAILED'));
    await bench.runs('1.1.0');
  });
});

const kinds = fc.constantFrom('absent', 'unknown', 'damaged', 'whole');
const release = (version: string): Slot => ({
  ...{ kind: 'release', version, isOurs: true, isOutside: false, way: [] },
  end: { path: `/r/releases/${version}`, id: version },
});

describe('the way back of an update', () => {
  const slots = fc.record({
    active: fc.constantFrom<Slot>(release('1.1.0'), { kind: 'absent' }),
    rollback: fc.constantFrom<Slot>(release('1.0.0'), release('1.1.0'), { kind: 'absent' }),
  });

  it('is what runs, but for one that lost files beside a whole rollback; the swap keeps that', () => {
    fc.assert(
      fc.property(slots, kinds, kinds, (found, active, rollback) => {
        const plan = planWayBack(found, { active, rollback });
        const [runs, back] = [versionOf(found.active), versionOf(found.rollback)];
        const isBetter = active === 'damaged' && rollback === 'whole' && back !== null;
        assert.equal(plan.previousVersion, isBetter || runs === null ? back : runs);
        if (runs === null || back === null || runs === back) return;
        assert.equal(keepsRollback(found, plan.previousVersion), isBetter);
      }),
    );
  });

  it('takes an older whole release for one that lost files, else leaves no whole one for it', () => {
    const spares = fc.constantFrom(null, '0.9.0');
    fc.assert(
      fc.property(kinds, kinds, spares, (found, runs, spare) => {
        const to = planReturn({ previous: '1.0.0', found, runs, spare });
        const isLost = (kind: string) => kind === 'damaged' || kind === 'absent';
        if (!isLost(found)) assert.equal(to, '1.0.0');
        else if (spare !== null) assert.equal(to, spare);
        else if (isLost(runs)) assert.equal(to, '1.0.0');
        else assert.equal(to, found === 'damaged' ? null : '1.0.0');
      }),
    );
  });

  it('to an older release is the newest whole one that did not fail here', () => {
    const versions = fc.uniqueArray(fc.constantFrom<string>('1.0.0', '1.1.0', '1.2.0', '2.0.0'));
    fc.assert(
      fc.property(versions, versions, (whole, failed) => {
        const older = chooseOlder(whole, { below: '1.2.0', failed });
        const fit = ['1.1.0', '1.0.0'].find((one) => whole.includes(one) && !failed.includes(one));
        assert.equal(older, fit ?? null);
      }),
    );
  });
});
