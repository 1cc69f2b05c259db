/** API, health, metrics and dashboard show the same state of a site's upstream link. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UpstreamStatus } from '../../../broker/relay/relay-view.ts';
import { startApi } from '../api.ts';

const SINCE_MS = Date.UTC(2026, 4, 4, 10);
const AWAY: UpstreamStatus = {
  ...{
    name: 'site-a',
    url: 'mqtts://cloud:8883',
    isUp: false,
    areChunksUp: false,
    sinceMs: SINCE_MS,
  },
  problem: { code: 'BROKER_UNREACHABLE', message: 'reach broker: refused', hint: 'check it' },
  backlog: { states: 3, events: 40, dropped: 2 },
  bundles: [{ id: 'app-1', chunks: 9, missing: 7, unavailable: 1, known: true }],
  missing: 7,
  bytesPulled: 1234,
};

describe('the way up from a site', () => {
  it('is shown by the API, and is no fault of the site while it is away', async (t) => {
    const api = await startApi(t, { upstream: () => AWAY });
    const shown = await (await api.get('/upstream')).json();
    const { problem, backlog, bundles } = AWAY;
    assert.deepEqual(shown, {
      upstream: {
        ...{ name: 'site-a', url: 'mqtts://cloud:8883', up: false, chunks_up: false },
        since: '2026-05-04T10:00:00Z',
        ...{ problem, backlog, bundles, chunks_missing: 7, bytes_pulled: 1234 },
      },
    });
    const health = await api.get('/healthz');
    assert.equal(health.status, 200);
    const since = '2026-05-04T10:00:00Z';
    const link = { up: false, chunks_up: false, since, problem: 'BROKER_UNREACHABLE' };
    assert.deepEqual(await health.json(), { healthy: true, problems: [], upstream: link });
  });

  it('is nothing on a broker that has none above', async (t) => {
    const api = await startApi(t, {});
    assert.deepEqual(await (await api.get('/upstream')).json(), { upstream: null });
    assert.deepEqual(await (await api.get('/healthz')).json(), { healthy: true, problems: [] });
  });

  it('is counted for Prometheus', async (t) => {
    const api = await startApi(t, { upstream: () => AWAY });
    const lines = (await (await api.get('/metrics')).text()).split('\n');
    for (const line of [
      'drover_upstream_up 0',
      'drover_upstream_backlog{kind="event"} 40',
      'drover_upstream_backlog{kind="state"} 3',
      'drover_upstream_chunks_missing 7',
      'drover_upstream_chunk_bytes_total 1234',
      'drover_upstream_events_dropped_total 2',
    ]) {
      assert.ok(lines.includes(line), line);
    }
  });
});
