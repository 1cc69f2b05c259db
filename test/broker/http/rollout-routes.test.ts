/**
 * Operator commands over HTTP: the users and origins from which they are accepted. Behind the
 * routes stands a real controller with a real store; only time is the test's.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { ROLLOUT_COMMANDS, type AuditEntry } from '../../../broker/rollout/rollout-view.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { startApi, type TestApi } from '../api.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

/** A controller that leads `x-1`, in its first wave, with two robots. */
async function leadOne(scope: Scope): Promise<{ controller: Controller; world: ControllerWorld }> {
  const folder = await tempFolder(scope);
  const world = new ControllerWorld();
  const store = await openStore(folder);
  for (const robot of ['r1', 'r2']) {
    world.online(robot);
    world.say(robot, {});
  }
  await world.announce(await world.rollout('x-1', '2.0.0'));
  const controller = await world.start(store);
  scope.after(async () => {
    await controller.close();
    await store.close();
  });
  await world.pass(controller, 3);
  return { controller, world };
}

interface Post {
  readonly token?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** @returns status and error code; `taken` without one */
async function say(api: TestApi, command: string, { token, headers, body }: Post = {}) {
  const response = await api.get(`/rollouts/x-1/${command}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: body ?? '{}',
  });
  const answer = (await response.json()) as { error?: { code: string } };
  return `${response.status} ${answer.error?.code ?? 'taken'}`;
}

async function historyOf(api: TestApi, token: string, query = ''): Promise<AuditEntry[]> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await api.get(`/rollouts/x-1/history${query}`, { headers });
  assert.equal(response.status, 200);
  return ((await response.json()) as { entries: AuditEntry[] }).entries;
}

describe('steering rollouts over HTTP', () => {
  it('a publisher may say every word, and the history says who it was and why', async (t) => {
    const { controller } = await leadOne(t);
    const api = await startApi(t, { protected: true, controller, rollouts: ['x-1'] });
    const token = api.tokens.publisher;
    const early = await say(api, 'approve', { token });
    assert.equal(early, '409 APPROVAL_TOO_EARLY', 'nothing is installed');
    assert.equal(await say(api, 'force-open', { token }), '422 ROLLOUT_COMMAND_INVALID');
    for (const command of ['pause', 'resume', 'force-open', 'abort', 'rollback']) {
      const wave = command === 'force-open' ? { wave: 1 } : {};
      const body = JSON.stringify({ reason: `try ${command}`, by: 'kim', ...wave });
      assert.equal(await say(api, command, { token, body }), '200 taken', command);
    }
    const entries = await historyOf(api, token);
    const said = entries.filter(({ by }) => by === 'publisher (kim)');
    assert.deepEqual(
      said.map(({ kind }) => kind),
      ['paused', 'resumed', 'forced', 'aborted', 'rolling_back'],
    );
    assert.equal(said[0]?.text, 'pause by publisher (kim): try pause');
    const second = entries[1];
    assert.deepEqual(await historyOf(api, token, '?after=1&limit=1'), [second]);
    assert.equal(await say(api, 'resume', { token }), '409 ROLLOUT_FINAL');
  });

  it('a technician may only pause; a robot, a relay and a client without a login may do nothing', async (t) => {
    const { controller } = await leadOne(t);
    const api = await startApi(t, { protected: true, controller });
    for (const command of ROLLOUT_COMMANDS) {
      const word = async (token?: string): Promise<string> =>
        await say(api, command, token === undefined ? {} : { token });
      assert.equal(await word(), '401 HTTP_UNAUTHORIZED', command);
      assert.equal(await word('x'.repeat(43)), '401 HTTP_UNAUTHORIZED', command);
      assert.equal(await word(api.tokens.robot), '403 ACCESS_DENIED', command);
      assert.equal(await word(api.tokens.relay), '403 ACCESS_DENIED', command);
      const technician = command === 'pause' ? '200 taken' : '403 ACCESS_DENIED';
      assert.equal(await word(api.tokens.technician), technician, command);
    }
    assert.equal(controller.view('x-1')?.status, 'paused');
  });

  it('a disk that takes no history is the fault of the broker, and the same word is taken later', async (t) => {
    const { controller } = await leadOne(t);
    const api = await startApi(t, { protected: true, controller, rollouts: ['x-1'] });
    const token = api.tokens.publisher;
    for (const [code, status] of [
      ['DISK_FULL', 507],
      ['DISK_READ_ONLY', 503],
      ['DISK_WRITE_FAILED', 503],
    ] as const) {
      const disk = t.mock.method(DurableLevel.prototype, 'batch', () =>
        Promise.reject(new DroverError(code, 'write rollouts/000003.log: refused')),
      );
      assert.equal(await say(api, 'pause', { token }), `${status} ${code}`);
      disk.mock.restore();
    }
    assert.equal(await say(api, 'pause', { token }), '200 taken');
  });

  it('a web page of another origin cannot say a word, on loopback without credentials either', async (t) => {
    const { controller } = await leadOne(t);
    const api = await startApi(t, { controller });
    const refused: [Record<string, string>, string][] = [
      [{ origin: 'https://evil.example' }, '403 ACCESS_DENIED'],
      [{ origin: 'null' }, '403 ACCESS_DENIED'],
      [{ origin: api.url }, '403 ACCESS_DENIED'],
      [{ origin: api.url, 'sec-fetch-site': 'cross-site' }, '403 ACCESS_DENIED'],
      [{ 'sec-fetch-site': 'same-site' }, '403 ACCESS_DENIED'],
    ];
    for (const [headers, expected] of refused) {
      assert.equal(await say(api, 'pause', { headers }), expected, JSON.stringify(headers));
    }
    // A form or a plain fetch of any page can send these types without asking first.
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      const got = await say(api, 'pause', { headers: { 'content-type': type } });
      assert.match(got, /^4(?:15|22) (?:USAGE|ROLLOUT_COMMAND_INVALID)$/, type);
      const answer = await api.get('/rollouts/x-1/pause', {
        ...{ method: 'POST', headers: { 'content-type': type }, body: '{}' },
      });
      assert.match(await answer.text(), /"hint":"send JSON and say so: .*application\/json/, type);
    }
    const bare = await api.get('/rollouts/x-1/pause', { method: 'POST' });
    assert.equal(bare.status, 422);
    assert.equal(controller.view('x-1')?.status, 'rolling', 'nothing was said');
    const own = { 'sec-fetch-site': 'same-origin' };
    assert.equal(await say(api, 'pause', { headers: { ...own, origin: api.url } }), '200 taken');
  });

  it('a body that is not what it should be is refused before anything is done', async (t) => {
    const { controller } = await leadOne(t);
    const api = await startApi(t, { controller });
    for (const body of [
      'reason',
      '[]',
      '{"reason":1}',
      '{"why":"?"}',
      '{"by":"a","by":"b"}',
      JSON.stringify({ reason: 'x'.repeat(301) }),
    ]) {
      assert.match(await say(api, 'pause', { body }), /^4\d\d [A-Z_]+$/, body.slice(0, 40));
    }
    for (const body of ['{', '{"why":"?"}']) {
      const headers = { 'content-type': 'application/json' };
      const answer = await api.get('/rollouts/x-1/pause', { method: 'POST', headers, body });
      assert.match(await answer.text(), /"hint":"mend the request/, body);
    }
    const large = JSON.stringify({ reason: 'x'.repeat(LIMITS.localRequestBytesMax) });
    assert.match(await say(api, 'pause', { body: large }), /^413 /);
    assert.equal(controller.view('x-1')?.status, 'rolling');
    const longName = JSON.stringify({ by: 'x'.repeat(LIMITS.speakerCharsMax) });
    assert.equal(await say(api, 'pause', { body: longName }), '200 taken');
  });

  it('says when no controller leads here, when another leads, and when there is no such rollout', async (t) => {
    const alone = await startApi(t, { rollouts: ['x-1'] });
    for (const command of ROLLOUT_COMMANDS) {
      assert.equal(await say(alone, command), '409 NO_CONTROLLER', command);
    }
    const history = await alone.get('/rollouts/x-1/history');
    assert.deepEqual(
      await history.json(),
      { entries: [], led: 'nobody' },
      'reading is no steering',
    );
    assert.equal((await alone.get('/rollouts/none/history')).status, 404);
    const shown = (await (await alone.get('/rollouts/x-1')).json()) as { led: string };
    assert.equal(shown.led, 'nobody');
    const { controller, world } = await leadOne(t);
    const api = await startApi(t, { controller });
    assert.equal((await api.get('/rollouts/x-1/history?after=-1')).status, 400);
    const headers = { 'content-type': 'application/json' };
    const none = await api.get('/rollouts/none/pause', { method: 'POST', headers, body: '{}' });
    assert.equal(none.status, 404);
    world.nowMs += 60_000; // its lease ran out while it slept
    assert.equal(await say(api, 'pause'), '409 NOT_LED_YET');
  });
});
