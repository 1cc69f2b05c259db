import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { startChild } from '../../helpers/child.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { GARBAGE, startApi, type TestApi } from '../api.ts';
import { AT, AT_MS, makeEvent, makeState, makeWant, robotId } from '../reports.ts';

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

async function getJson<T>(api: TestApi, path: string, status = 200): Promise<T> {
  const response = await api.get(path);
  assert.equal(response.status, status, path);
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
  return (await response.json()) as T;
}

function smallFleet(): Fleet {
  const fleet = new Fleet();
  fleet.applyState(makeState('r2', { version: '1.1.0' }), AT_MS);
  fleet.applyState(makeState('r1', { version: '1.0.0' }), AT_MS);
  fleet.applyState(makeState('r3', { version: '1.1.0' }), AT_MS);
  fleet.applyState(makeState('r4', { version: null }), AT_MS);
  return fleet;
}

const VERSION_COUNTS = [
  { component: 'app', version: null, robots: 1, online: 0 },
  { component: 'app', version: '1.0.0', robots: 1, online: 0 },
  { component: 'app', version: '1.1.0', robots: 2, online: 0 },
];

describe('the fleet over HTTP', () => {
  it('says what is wrong with the clock of a robot, and with the relay that it is behind', async (t) => {
    const fleet = new Fleet();
    const problem = { code: 'DISK_FULL', message: 'no room', hint: 'free some' };
    fleet.applyRelay('site-a', true, [], problem);
    fleet.applyOnline(robotId('far'), true, AT_MS, 'site-a');
    fleet.applyOnline(robotId('old'), true, AT_MS);
    fleet.applyState({ ...makeState('old'), at: 0 }, AT_MS);
    fleet.applyState(makeState('far'), AT_MS);
    const api = await startApi(t, { fleet });
    assert.deepEqual(await getJson(api, '/relays'), { relays: [{ relay: 'site-a', problem }] });
    const far = await getJson<{ clock: null; via_problem: object }>(api, '/robots/far');
    assert.deepEqual([far.clock, far.via_problem], [null, problem]);
    const old = await getJson<{ clock: Failure['error']; via_problem: null }>(api, '/robots/old');
    assert.equal(old.via_problem, null);
    assert.equal(old.clock.code, 'ROBOT_CLOCK_OFF');
    assert.match(old.clock.message, /clock of old: it is \d{5}d behind the one here$/);
  });

  it('lists versions by robot id, null for a robot that runs nothing', async (t) => {
    const api = await startApi(t, { fleet: smallFleet() });
    assert.deepEqual(await getJson(api, '/robots/versions'), {
      versions: [
        { robot_id: 'r1', version: '1.0.0' },
        { robot_id: 'r2', version: '1.1.0' },
        { robot_id: 'r3', version: '1.1.0' },
        { robot_id: 'r4', version: null },
      ],
      counts: VERSION_COUNTS,
    });
    assert.deepEqual(await getJson(api, '/robots/versions?limit=1&after=r1'), {
      versions: [{ robot_id: 'r2', version: '1.1.0' }],
      counts: VERSION_COUNTS,
      next: 'r2',
    });
  });

  it('lists robots in pages, filtered, and not again while nothing has changed', async (t) => {
    const fleet = smallFleet();
    const api = await startApi(t, { fleet });
    type Page = { robots: { robot_id: string }[]; next?: string | null };
    const page = async (query: string) => {
      const { robots, next } = await getJson<Page>(api, `/robots${query}`);
      return [robots.map((one) => one.robot_id).join(' '), next];
    };
    assert.deepEqual(await page(''), ['r1 r2 r3 r4', undefined]);
    assert.deepEqual(await page('?limit=2'), ['r1 r2', 'r2']);
    assert.deepEqual(await page('?limit=2&after=r2'), ['r3 r4', null]);
    assert.deepEqual(await page('?limit=9&version=1.1.0'), ['r2 r3', null]);
    assert.deepEqual(await page('?limit=9&after=r2x&version=1.1.0'), ['r3', null]);
    for (const query of ['?limit=no', '?limit=0', '?online=maybe']) {
      assert.equal((await api.get(`/robots${query}`)).status, 400, query);
    }
    const etag = (await api.get('/robots')).headers.get('etag') ?? '';
    const again = { headers: { 'if-none-match': etag } };
    assert.equal((await api.get('/robots', again)).status, 304);
    fleet.applyOnline(robotId('r1'), false, AT_MS);
    assert.equal((await api.get('/robots', again)).status, 200);
  });

  it('says which engine carries the fleet', async (t) => {
    const api = await startApi(t, {});
    const { engine } = await getJson<{ engine: object }>(api, '/engine');
    const since = '1970-01-01T00:00:00Z';
    const own = {
      kind: 'embedded',
      profile: 'aedes',
      url: null,
      up: true,
      since,
      problem: null,
      lacks: [],
    };
    assert.deepEqual(engine, own);
  });

  it('says what waits to be removed, at each place', async (t) => {
    const api = await startApi(t, {});
    const { garbage } = await getJson<{ garbage: object[] }>(api, '/garbage');
    assert.deepEqual(garbage, [GARBAGE]);
  });

  it('prints counts by version through the pipe of the README', async (t) => {
    if (requirePeer(t, 'curl') === null || requirePeer(t, 'jq') === null) return;
    const api = await startApi(t, { fleet: smallFleet(), protected: true });
    const pipe =
      `curl -s ${api.url}/robots/versions -H "Authorization: Bearer $TOKEN" | ` +
      `jq '.versions | group_by(.version) | map({version: .[0].version, count: length})'`;
    const child = startChild(t, 'sh', ['-c', pipe], { env: { TOKEN: api.tokens.technician } });
    assert.deepEqual(await child.exit, { code: 0, signal: null }, child.describe());
    assert.deepEqual(JSON.parse(child.stdout), [
      { version: null, count: 1 },
      { version: '1.0.0', count: 1 },
      { version: '1.1.0', count: 2 },
    ]);
  });

  it('shows a robot with its whole report, and its events', async (t) => {
    const fleet = new Fleet();
    const transfer = { bytes_done: 5, bytes_total: 10, chunks_fetched: 1 };
    const failure = { code: 'HEALTH_FAILED', message: 'sick', hint: 'look', version: '1.2.0' };
    const main = { phase: 'downloading', target_version: '1.3.0', transfer } as const;
    const more = { tags: ['lab'], model: 'm2', agent: '0.1.0' };
    const state = makeState('r1', { ...main, rollout: 'x-1', last_error: failure }, more);
    fleet.applyState(state, AT_MS);
    fleet.applyOnline(robotId('r1'), true, AT_MS);
    fleet.applyEvent(makeEvent('r1', 4), AT_MS);
    fleet.applyEvent(makeEvent('r2', 9), AT_MS);
    const api = await startApi(t, { fleet });
    const robot = await getJson<Record<string, unknown>>(api, '/robots/r1');
    const expected = { robot_id: 'r1', online: true, ...more, arch: 'x86_64', ...main };
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(robot[key], value, key);
    assert.equal(robot['last_seen'], '2026-05-04T10:00:00Z');
    assert.equal(robot['waiting_for'], null);
    assert.deepEqual(robot['last_error'], { ...failure, at: null, past: true });
    const events = robot['events'] as { event_seq: number; at: string }[];
    assert.deepEqual(
      events.map(({ event_seq, at }) => ({ event_seq, at: Date.parse(at) })),
      [{ event_seq: 4, at: Date.parse(AT) }],
    );
  });

  it('has the same fields for a robot that has not reported yet what it runs', async (t) => {
    const fleet = new Fleet();
    fleet.applyState(makeState('r1'), AT_MS);
    fleet.applyOnline(robotId('r2'), true, AT_MS);
    const api = await startApi(t, { fleet });
    const { robots } = await getJson<{ robots: Record<string, unknown>[] }>(api, '/robots');
    const [spoken, silent] = robots;
    assert.ok(spoken && silent);
    assert.deepEqual(Object.keys(silent).sort(), Object.keys(spoken).sort());
    assert.equal(silent['phase'], 'unknown');
    assert.equal(silent['version'], null);
  });

  it('lists package requests', async (t) => {
    const fleet = new Fleet();
    fleet.applyWant(makeWant('r1', '1.0.0'), AT_MS);
    const api = await startApi(t, { fleet });
    const { requests } = await getJson<{ requests: Record<string, unknown>[] }>(api, '/requests');
    assert.equal(requests.length, 1);
    assert.equal(requests[0]?.['robot_id'], 'r1');
    assert.equal(requests[0]?.['min_current_version'], '1.5.0');
    assert.equal(requests[0]?.['at'], '2026-05-04T10:00:00Z');
  });

  it('lists rollouts, and one by its id', async (t) => {
    const api = await startApi(t, { rollouts: ['x-1', 'x-2'] });
    const { rollouts } = await getJson<{ rollouts: { id: string }[] }>(api, '/rollouts');
    assert.deepEqual(
      rollouts.map(({ id }) => id),
      ['x-1', 'x-2'],
    );
    const one = await getJson<{ id: string; version: string }>(api, '/rollouts/x-2');
    assert.deepEqual([one.id, one.version], ['x-2', '2.0.0']);
  });

  const absent = ['/robots/nobody', '/robots/__proto__', '/rollouts/none', '/nothing', '/robots/'];
  for (const path of [...absent, '/metrics/x', '/..%2f..%2fetc%2fpasswd']) {
    it(`answers 404 with code and hint for ${path}`, async (t) => {
      const api = await startApi(t, {});
      const { error } = await getJson<Failure>(api, path, 404);
      assert.equal(error.code, 'NOT_FOUND');
      assert.ok(error.message && error.hint);
    });
  }

  it('only reads, and answers a broken request with a plain refusal', async (t) => {
    const api = await startApi(t, { fleet: smallFleet() });
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const response = await api.get('/robots/r1', { method });
      assert.equal(response.status, 405, method);
      assert.equal(response.headers.get('allow'), 'GET, HEAD', method);
    }
    const { error } = await getJson<Failure>(api, '/robots/%zz', 400);
    assert.doesNotMatch(JSON.stringify(error), /\bat .+:\d+/, 'no stack trace');
  });

  it('refuses a request for no handler in the same shape, with a hint about the request', async (t) => {
    const api = await startApi(t, {});
    for (const [head, status] of [
      ['GET /robots/%E0%A4%A HTTP/1.1\r\nhost: localhost', 400],
      [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: localhost`, 431],
      [`GET /robots/${'x'.repeat(2_000)} HTTP/1.1\r\nhost: localhost`, 414],
      ['GET /robots HTTP/1.1\r\nhost: localhost\r\nbad line', 400],
      ['GET /robots HTTP/1.1\r\nhost: evil.example', 403],
      ['GET /nothing HTTP/1.1\r\nhost: localhost', 404],
    ] as const) {
      const socket = connect(api.port, '127.0.0.1');
      t.after(() => void socket.destroy());
      socket.write(`${head}\r\nconnection: close\r\n\r\n`);
      const answer = await text(socket);
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), head.slice(0, 80));
      assert.match(answer, /\r\nx-content-type-options: nosniff\r\n/);
      const { error } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as Failure;
      assert.deepEqual(Object.keys(error).sort(), ['code', 'hint', 'message']);
      assert.match(error.hint, /request|Host/);
    }
  });

  it('reports its health, also when a check fails', async (t) => {
    const full = new DroverError('DISK_FULL', 'write b/control: no room');
    for (const [isHealthy, code] of [
      [() => Promise.resolve(true as const), null],
      [() => Promise.resolve(toProblem(full)), 'DISK_FULL'],
      [() => Promise.reject(full), 'DISK_FULL'],
      [() => Promise.reject(new Error('no disk')), 'INTERNAL'],
    ] as const) {
      const api = await startApi(t, { protected: true, isHealthy });
      const response = await fetch(`${api.url}/healthz`);
      assert.equal(response.status, code === null ? 200 : 503);
      const answer = (await response.json()) as { healthy: boolean; problems: { code: string }[] };
      assert.equal(answer.healthy, code === null);
      const codes = answer.problems.map((one) => one.code);
      assert.deepEqual(codes, code === null ? [] : [code], 'it names what is wrong');
    }
  });

  it('has counters and gauges for Prometheus', async (t) => {
    const fleet = smallFleet();
    fleet.applyOnline(robotId('r1'), true, AT_MS);
    const api = await startApi(t, { fleet });
    api.counters.countChunkReceived(100);
    api.counters.countChunkReceived(20);
    api.counters.countChunkServed(7);
    api.counters.countMessage('updates');
    api.counters.countRefusal('ACCESS_DENIED');
    const response = await api.get('/metrics');
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    for (const line of [
      'drover_mqtt_connections 3',
      'drover_chunks_received_total 2',
      'drover_chunk_bytes_received_total 120',
      'drover_chunks_served_total 1',
      'drover_chunk_bytes_served_total 7',
      'drover_messages_received_total{kind="updates"} 1',
      'drover_refusals_total{code="ACCESS_DENIED"} 1',
      'drover_store_bytes 4096',
      'drover_store_chunks 2',
      'drover_robots{component="app",version="1.1.0",phase="idle"} 2',
      'drover_robots{component="app",version="none",phase="idle"} 1',
      'drover_robots_online 1',
    ]) {
      assert.ok(text.split('\n').includes(line), line);
    }
    assert.match(text, /^process_resident_memory_bytes \d+/m);
  });
});

describe('events over HTTP', () => {
  it('come as server-sent events, to every reader', async (t) => {
    const api = await startApi(t, {});
    const readers = await Promise.all([api.follow(), api.follow()]);
    api.publishEvent(makeEvent('r1', 3, { to: 'checking' }));
    for (const reader of readers) {
      const text = await reader.readUntil(/\n\ndata|data: .+\n\n/);
      const [, data] = /^event: robot\ndata: (.+)\n\n/m.exec(text) ?? [];
      const event = JSON.parse(data ?? '') as Record<string, unknown>;
      assert.equal(event['robot_id'], 'r1');
      assert.equal(event['event_seq'], 3);
      assert.equal(event['at'], '2026-05-04T10:00:00Z');
    }
  });

  it('have a bounded number of readers, and room again when one leaves', async (t) => {
    const api = await startApi(t, {});
    const readers = [];
    for (let n = 0; n < LIMITS.eventStreamClientsMax; n += 1) readers.push(await api.follow());
    const { error } = await getJson<Failure>(api, '/events', 503);
    assert.equal(error.code, 'CONNECTIONS_FULL');
    readers[0]?.stop();
    await waitUntil('room for a reader', async () => {
      const response = await api.get('/events');
      await response.body?.cancel();
      return response.status === 200;
    });
  });

  it('drop a reader that does not read, and go on for the others', async (t) => {
    const api = await startApi(t, {});
    const stalled = connect(api.port, '127.0.0.1');
    t.after(() => void stalled.destroy());
    let isClosed = false;
    stalled.on('error', () => undefined); // the reset that this test waits for
    stalled.on('close', () => (isClosed = true));
    stalled.write('GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await new Promise((resolve) => stalled.once('data', resolve));
    stalled.pause();
    const reader = await api.follow();
    const problem = { code: 'HEALTH_FAILED', message: 'x'.repeat(1_000) };
    const count = 20_000;
    for (let seq = 1; seq <= count; seq += 1) {
      api.publishEvent(makeEvent('r1', seq, { problem }));
      if (seq % 100 === 0) await reader.readUntil(new RegExp(`"event_seq":${seq},`));
    }
    stalled.resume();
    await waitUntil('the stalled reader to be dropped', () => isClosed);
  });

  it('may still happen while the broker stops', async (t) => {
    const api = await startApi(t, {});
    const reader = await api.follow();
    const closed = api.close();
    api.publishEvent(makeEvent('r1', 1));
    await closed;
    api.publishEvent(makeEvent('r1', 2));
    await reader.ended;
  });
});

describe('without credentials, on loopback', () => {
  it('only a name of loopback is answered, so that no rebound web page can read the fleet', async (t) => {
    const api = await startApi(t, {});
    const statusFor = async (host: string): Promise<string> => {
      const socket = connect(api.port, '127.0.0.1');
      t.after(() => void socket.destroy());
      socket.write(`GET /robots HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
      const [head] = (await once(socket, 'data')) as [Buffer];
      return head.toString().slice(9, 12);
    };
    assert.equal(await statusFor('evil.example'), '403');
    assert.equal(await statusFor('127.0.0.1.evil.example'), '403');
    assert.equal(await statusFor(`localhost:${api.port}`), '200');
    assert.equal(await statusFor(`127.0.0.1:${api.port}`), '200');
    assert.equal(await statusFor(`[::1]:${api.port}`), '200');
  });
});
