/** examples/monitoring with promtool, and with the metrics that a broker really has. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { findRepository } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startApi } from '../broker/api.ts';

const EXAMPLE = join(findRepository(import.meta.dirname), 'examples/monitoring');
const METRICS_PAGE = join(findRepository(import.meta.dirname), 'docs/metrics.md');
const NAME = /\b(?:drover|nodejs)_[a-z_]+/g;

interface Dashboard {
  readonly panels: { readonly title: string; readonly targets: { readonly expr: string }[] }[];
}

/** @returns false when promtool is missing and the test was skipped */
async function promtool(t: TestContext, words: readonly string[]): Promise<boolean> {
  const program = requirePeer(t, 'promtool');
  if (program === null) return false;
  const folder = join(await tempFolder(t), 'monitoring');
  await cp(EXAMPLE, folder, { recursive: true });
  await writeFile(join(folder, 'drover-token'), 'token\n');
  const { status, stdout, stderr } = spawnSync(program, words, { cwd: folder });
  assert.equal(status, 0, `promtool ${words.join(' ')}: ${stdout.toString()}${stderr.toString()}`);
  return true;
}

/** Returns the complaints of promtool about our metrics; prom-client chose the names `nodejs_…`. */
function complaints(t: TestContext, input: string): string[] {
  const program = requirePeer(t, 'promtool');
  if (program === null) return [];
  const { stderr } = spawnSync(program, ['check', 'metrics'], { input });
  const lines = stderr.toString().split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('nodejs_'));
}

/** The metrics that a text names, each once. */
const namesIn = (text: string): string[] => [...new Set(text.match(NAME) ?? [])];

describe('examples/monitoring', () => {
  it('has a configuration and rules that Prometheus takes, and alerts that fire in time', async (t) => {
    if (!(await promtool(t, ['check', 'config', 'prometheus.yml']))) return;
    await promtool(t, ['test', 'rules', 'drover.rules.test.yml']);
  });

  it('names only metrics that a broker has', async () => {
    const known = new Set(namesIn(await readFile(METRICS_PAGE, 'utf8')));
    known.add('nodejs_eventloop_lag_seconds');
    const rules = await readFile(join(EXAMPLE, 'drover.rules.yml'), 'utf8');
    const text = await readFile(join(EXAMPLE, 'grafana-dashboard.json'), 'utf8');
    const dashboard = JSON.parse(text) as Dashboard;
    const shown = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    assert.ok(shown.length >= 14);
    const named = [...namesIn(rules), ...namesIn(shown.join('\n'))];
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    );
  });

  it('can be scraped with the role metrics, which reads nothing else', async (t) => {
    const api = await startApi(t, { protected: true, rollouts: ['x-1'] });
    const headers = { authorization: `Bearer ${api.tokens.metrics}` };
    const scraped = await api.get('/metrics', { headers });
    assert.equal(scraped.status, 200);
    const text = await scraped.text();
    assert.match(text, /^drover_robots_online 0$/m);
    assert.deepEqual(complaints(t, text), []);
    for (const path of [
      '/robots',
      '/rollouts',
      '/events',
      '/requests',
      '/metrics/',
      '/robots/r1',
    ]) {
      const refused = await api.get(path, { headers });
      assert.equal(refused.status, 403, path);
      await refused.arrayBuffer();
    }
  });
});
