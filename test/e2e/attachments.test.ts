/**
 * A bill of materials and provenance from the build server to a site behind an air gap: what a
 * scanner reads there is what the release key signed, and robots never wait for it.
 */

import assert from 'node:assert/strict';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { AttachedChild } from './attached-child.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

const SBOM = JSON.stringify({
  bomFormat: 'CycloneDX',
  specVersion: '1.6',
  // More than one chunk of it.
  components: Array.from({ length: 4_000 }, (_, at) => ({ name: `part-${at}`, type: 'library' })),
});
const PROVENANCE = JSON.stringify({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ name: 'app', digest: { sha256: 'a'.repeat(64) } }],
  predicateType: 'https://slsa.dev/provenance/v1',
  predicate: { buildDefinition: { buildType: 'https://example.org/ci' } },
});

/** A signed bundle with both. */
async function attachedBundle(site: Site, version: string): Promise<string> {
  await site.bundle('0.9.0'); // for an application's folder
  await writeFile(site.path('bom.json'), SBOM);
  await writeFile(site.path('made.json'), PROVENANCE);
  const out = site.path('bundles', version);
  const what = ['--version', version, '--arch', 'any', '--out', out];
  const more = ['--sbom', site.path('bom.json'), '--provenance', site.path('made.json')];
  await site.drover('build', site.path('apps/0.9.0'), ...what, ...more);
  await site.drover('sign', out, '--key', site.path('release.key'));
  return out;
}

const codeOf = async (site: Site, ...args: string[]): Promise<string> => {
  const child = await site.tryDrover({}, ...args, '--json');
  return (JSON.parse(child.stdout) as { error: { code: string } }).error.code;
};

const fetched = async (url: string) => {
  const response = await fetch(url);
  const type = response.headers.get('content-type');
  return { status: response.status, type, body: await response.text() };
};

const openPublished = async (t: TestContext) => {
  const site = await Site.open(t);
  const trust = ['--trust', site.path('trust.json')];
  const broker = await startBrokerChild(t, { args: trust });
  const bundle = await attachedBundle(site, '1.0.0');
  await site.publish(broker.url, bundle, '--id', 'x-1');
  return { site, broker, bundle, trust };
};

describe('attachments of a bundle', () => {
  it('are shown by inspect, and one that was changed or lost is not published', async (t) => {
    const site = await Site.open(t);
    const bundle = await attachedBundle(site, '1.0.0');
    const shown = await site.drover('inspect', bundle);
    assert.match(shown, /^sbom {8}application\/vnd\.cyclonedx\+json, .* sha256 [0-9a-f]{12}$/m);
    assert.match(shown, /^provenance {2}application\/vnd\.in-toto\+json/m);
    const trust = ['--trust', site.path('trust.json')];
    assert.match(
      await site.drover('verify', bundle, ...trust),
      /ok: sbom and provenance as signed/,
    );
    const nowhere = site.publishArgs('mqtt://127.0.0.1:1', bundle);

    await writeFile(`${bundle}/sbom.json`, SBOM.replace('part-7', 'part-x'));
    assert.equal(await codeOf(site, 'verify', bundle, ...trust), 'ATTACHMENT_MISMATCH');
    assert.equal(await codeOf(site, ...nowhere), 'ATTACHMENT_MISMATCH');
    assert.match(await site.drover('inspect', bundle), /^sbom +refused: .*ATTACHMENT_MISMATCH/m);
    await rm(`${bundle}/sbom.json`);
    assert.equal(await codeOf(site, ...nowhere), 'BUNDLE_INCOMPLETE');
    assert.match(await site.drover('inspect', bundle), /^sbom .* not in this bundle$/m);
  });

  it('come out of the broker byte for byte, by curl and by drover, and robots install', async (t) => {
    const { site, broker } = await openPublished(t);
    const robot = site.robot('r1', broker.url);
    await robot.runs('1.0.0');
    const { status, type, body } = await fetched(`${broker.httpUrl}/rollouts/x-1/sbom`);
    const { headers } = await fetch(`${broker.httpUrl}/rollouts/x-1/sbom`);
    assert.equal(headers.get('content-disposition'), 'attachment', 'no browser shows it');
    assert.deepEqual([status, type, body], [200, 'application/vnd.cyclonedx+json', SBOM]);
    const api = ['--api', broker.httpUrl];
    assert.equal(await site.drover('rollout', 'provenance', 'x-1', ...api), PROVENANCE);
    const out = ['--out', site.path('got.json')];
    await site.drover('rollout', 'sbom', 'x-1', ...api, ...out);
    assert.equal(await readFile(site.path('got.json'), 'utf8'), SBOM);
    assert.equal(await codeOf(site, 'rollout', 'sbom', 'x-1', ...api, ...out), 'FILE_EXISTS');
    assert.match(await site.drover('rollout', 'status', 'x-1', ...api), /^attached +sbom, /m);

    const { status: none } = await fetched(`${broker.httpUrl}/rollouts/x-2/sbom`);
    assert.equal(none, 404);
    await site.publish(broker.url, await site.bundle('1.1.0'), '--id', 'x-3');
    assert.equal(await codeOf(site, 'rollout', 'sbom', 'x-3', ...api), 'NOT_FOUND');
  });

  it('come out of an external engine too', async (t) => {
    const mosquitto = await startMosquitto(t);
    if (!mosquitto) return;
    const site = await Site.open(t);
    const bundle = await attachedBundle(site, '1.0.0');
    await site.publish(mosquitto.url, bundle, '--id', 'x-1');
    const broker = await AttachedChild.start(t, site, { engine: mosquitto.url, data: 'd' });
    const { status, body } = await fetched(`${broker.url}/rollouts/x-1/sbom`);
    assert.deepEqual([status, body], [200, SBOM]);
  });

  it('go over an air gap with the bundle, and a site that lost them still imports', async (t) => {
    const { site, broker, trust } = await openPublished(t);
    const stick = site.path('stick.drover');
    const from = ['--broker', broker.url, ...trust];
    await site.drover('export', ...from, '--out', stick, '--key', site.path('rollout.key'));
    const far = await startBrokerChild(t, { args: trust });
    const kept = ['--into', site.path('kept')];
    await site.drover('import', stick, '--broker', far.url, ...trust, ...kept);
    const { status, body } = await fetched(`${far.httpUrl}/rollouts/x-1/sbom`);
    assert.deepEqual([status, body], [200, SBOM]);
    await site.robot('r2', far.url).runs('1.0.0');

    const lost = site.path('kept/app-1.0.0/provenance.json');
    await copyFile(lost, site.path('provenance.json'));
    await rm(lost);
    const whole = site.path('kept/app-1.0.0');
    assert.equal(await codeOf(site, ...site.publishArgs(far.url, whole)), 'BUNDLE_INCOMPLETE');
    await copyFile(site.path('provenance.json'), lost);
    await site.drover('verify', whole, ...trust);
  });
});
