/** Carries the reports of a site's robots over an air gap to the cloud, with the real programs. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

interface Robots {
  readonly robots: readonly {
    robot_id: string;
    version: string;
    online: boolean;
    reported_at: string;
  }[];
}

describe('the report of a site over an air gap', () => {
  it('tells the cloud versions and times of robots it never hears, and is refused when it lies [P-13.6]', async (t) => {
    const site = await Site.open(t);
    const [hall, cloud] = [await startBrokerChild(t), await startBrokerChild(t)];
    const [r1, r2] = [site.robot('r1', hall.url), site.robot('r2', hall.url)];
    await site.publish(hall.url, await site.bundle('1.0.0'));
    await r1.runs('1.0.0');
    await r2.runs('1.0.0');
    const trust = ['--trust', site.path('trust.json')];
    const from = ['--broker', hall.url, '--site', 'hall-2', ...trust];
    const write = async (name: string, key = 'rollout.key') => {
      const to = ['--key', site.path(key), '--out', site.path(name)];
      return await site.tryDrover({}, 'report', 'export', ...from, ...to, '--json');
    };
    const take = (name: string, ...more: string[]) =>
      site.tryDrover(
        {},
        'report',
        'import',
        site.path(name),
        ...trust,
        '--broker',
        cloud.url,
        ...more,
      );
    assert.match((await write('first')).stdout, /"site":"hall-2","robots":2/);
    assert.match((await write('wrong', 'release.key')).describe(), /ENVELOPE_KEY_UNKNOWN/);

    assert.match((await take('first', '--dry-run')).stdout, /would take 2; 0 known, 0 older/);
    assert.match((await take('first')).stdout, /took 2; 0 known, 0 older/);
    assert.match((await take('first')).stdout, /took 0; 2 known, 0 older/);
    const { robots } = (await (await fetch(`${cloud.httpUrl}/robots`)).json()) as Robots;
    assert.deepEqual(
      robots.map(({ robot_id: id, version, online }) => [id, version, online]),
      [
        ['r1', '1.0.0', false],
        ['r2', '1.0.0', false],
      ],
    );
    const versions = await site.drover('fleet', 'versions', '--broker', cloud.url, '--json');
    assert.match(versions, /"1\.0\.0"/);

    await site.publish(hall.url, await site.bundle('1.1.0'));
    await r1.runs('1.1.0');
    await r2.runs('1.1.0');
    assert.equal((await write('second')).ended?.code, 0);
    assert.match((await take('second')).stdout, /took 2; 0 known, 0 older/);
    const old = await take('first');
    assert.match(old.describe(), /REPORT_OLD/);
    assert.equal(old.ended?.code, 3);
    const bytes = await readFile(site.path('second'));
    bytes[bytes.byteLength - 10] = (bytes[bytes.byteLength - 10] ?? 0) ^ 1;
    await writeFile(site.path('lies'), bytes);
    assert.match((await take('lies')).describe(), /REPORT_INVALID/);
  });
});
