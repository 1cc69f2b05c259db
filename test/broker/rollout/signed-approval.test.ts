/** Approvals of users with a key, with a real controller, store and HTTP API; time is the test's. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { makeToken } from '../../../broker/access/credentials.ts';
import { recordOf, rolloutDecision, userDecisions } from '../../../broker/audit/decision.ts';
import { previewCommands } from '../../../broker/rollout/command-preview.ts';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { obey } from '../../../broker/rollout/operator-commands.ts';
import { obeyTogether } from '../../../broker/rollout/sets.ts';
import { pauseOlderCopy } from '../../../broker/rollout/takeover.ts';
import { openOwnKey, sayAgain, signFor } from '../../../publisher/commands/rollout-sign.ts';
import { SignatureCheck } from '../../../publisher/audit/signatures.ts';
import { ApiClient } from '../../../publisher/rollout/api-client.ts';
import { parseRollout } from '../../../publisher/rollout/rollout-answer.ts';
import type { RobotId, RolloutId, Sha256Hex } from '../../../shared/base/ids.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { keyIdOf, publicKeyOf, seedSigner } from '../../../shared/crypto/ed25519.ts';
import { signApproval, type ApprovalSubject } from '../../../shared/formats/approval.ts';
import { NO_RECORD, type AuditRecord } from '../../../shared/formats/audit-record.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { KEY_ENVIRONMENT } from '../../../shared/io/key-file.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { startApi } from '../api.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

const SEED = fixedSeed(41);
const KEY = publicKeyOf(SEED);
const OTHER = publicKeyOf(fixedSeed(42));
const MINE = { user: null, key: KEY };
const fraction = (robot: string): number => cohortFraction('test', robot as RobotId);
const ORDER = ['r1', 'r2', 'r3'].toSorted((a, b) => fraction(a) - fraction(b));
const RULES = { gates: { batch_s: 2, evidence_wait_s: 5 }, approve_after: [1] };

/** `x` 1.1.0: its first wave has passed and waits for an approval. */
async function lead(scope: Scope, more: Partial<RolloutFields> = {}) {
  const world = new ControllerWorld();
  const store = await openStore(await tempFolder(scope));
  scope.after(async () => await store.close());
  for (const robot of ORDER) {
    world.online(robot);
    world.say(robot, {});
  }
  const rules = { ...RULES, ...more };
  await world.announce(await world.rollout('x', '1.1.0', rules));
  const controller = await world.start(store);
  await world.pass(controller, 3);
  world.installed(ORDER[0] ?? '', 'x', '1.1.0');
  await world.pass(controller, 40);
  assert.equal(controller.view('x')?.waits_for, 'approval');
  return { world, controller, rules, store };
}

const MEMBERS = ['a', 'b'].map((rollout) => ({ rollout }));
const FORCED = { command: 'force-open' } as const;

type World = Awaited<ReturnType<typeof lead>>;

/** Signs the fields that the API asks for, changed by the test. */
async function sign({ controller, world }: World, more: Partial<ApprovalSubject> = {}) {
  const told = controller.view('x')?.approval?.to_sign;
  assert.ok(told);
  const subject: ApprovalSubject = {
    ...{ fleet: told.fleet, release: told.release as Sha256Hex, wave: told.wave },
    ...{ opened_at: Date.parse(told.opened_at), rollout: 'x' as RolloutId },
    ...{ command: 'approve', user: 'ana' },
    ...more,
  };
  return await signApproval(subject, seedSigner(SEED), world.nowMs);
}

interface Said {
  readonly user?: string;
  readonly key?: string | null;
  readonly signed?: readonly string[];
  readonly command?: 'approve' | 'force-open';
}

async function say(controller: Controller, said: Said): Promise<string> {
  const { user = 'ana', key = KEY, signed = [], command = 'approve' } = said;
  const wave = controller.view('x')?.wave ?? 1;
  try {
    const by = { who: user, user, key, signed, reason: 'test', wave };
    await controller.command('x', command, by);
    return 'taken';
  } catch (error) {
    assert.ok(error instanceof DroverError, String(error));
    return error.code;
  }
}

describe('an approval of a user who has a key', () => {
  it('counts only signed, and the history keeps the document and names the key', async (t) => {
    const led = await lead(t, { approvers: 2, published_by: 'pub' });
    const { controller, world } = led;
    assert.equal(await say(controller, {}), 'APPROVAL_UNSIGNED');
    assert.equal(await say(controller, { command: 'force-open' }), 'APPROVAL_UNSIGNED');
    assert.equal(await say(controller, { user: 'pub' }), 'APPROVER_IS_PUBLISHER');
    assert.deepEqual(controller.view('x')?.approval?.by, []);
    const signed = await sign(led);
    assert.equal(await say(controller, { signed: [signed] }), 'taken');
    assert.equal(await say(controller, { signed: [signed] }), 'taken', 'again changes nothing');
    assert.equal(await say(controller, { user: 'ben', key: null }), 'taken', 'as ever');
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 2);
    const all = await controller.history('x', 0, 100);
    const said = all.filter(({ kind }) => kind === 'approved');
    assert.deepEqual(
      said.map((one) => [one.text, one.signed]),
      [
        [`approve of wave 1 by ana (1 of 2), signed by key ${keyIdOf(KEY)}: test`, signed],
        ['approve of wave 1 by ben (2 of 2): test', undefined],
      ],
    );
  });

  it('is refused when it is about another wave, rollout, release, fleet, user or command', async (t) => {
    const led = await lead(t);
    const { controller } = led;
    const said = async (more: Partial<ApprovalSubject>, command?: 'force-open') =>
      await say(controller, { signed: [await sign(led, more)], ...(command && { command }) });
    const other: readonly Partial<ApprovalSubject>[] = [
      { wave: 2 },
      { rollout: 'y' as RolloutId },
      { release: 'cd'.repeat(32) as Sha256Hex },
      { fleet: 'other' },
      { user: 'ben' },
      { opened_at: 0 },
      { command: 'force-open' },
    ];
    for (const more of other) assert.equal(await said(more), 'APPROVAL_OF_ANOTHER');
    assert.equal(await said({}, 'force-open'), 'APPROVAL_OF_ANOTHER');
    const none = { user: 'ben', key: null, signed: [await sign(led)] };
    assert.equal(await say(controller, none), 'APPROVAL_KEY_WRONG', 'nobody would check it');
    const thief = { key: publicKeyOf(fixedSeed(42)), signed: [await sign(led)] };
    assert.equal(await say(controller, thief), 'APPROVAL_KEY_WRONG');
    assert.deepEqual(controller.view('x')?.approved, []);
    const forced = await sign(led, { command: 'force-open' });
    const both = [await sign(led, { rollout: 'y' as RolloutId }), forced];
    assert.equal(await say(controller, { command: 'force-open', signed: both }), 'taken');
  });

  it('given to a rollout counts no more when that begins anew under its id', async (t) => {
    const led = await lead(t);
    const { controller, world, rules } = led;
    const old = await sign(led);
    await world.announce(await world.rollout('x', '1.2.0', rules));
    await world.pass(controller, 3);
    world.installed(ORDER[0] ?? '', 'x', '1.2.0');
    await world.pass(controller, 40);
    assert.equal(controller.view('x')?.waits_for, 'approval');
    assert.equal(await say(controller, { signed: [old] }), 'APPROVAL_OF_ANOTHER');
    assert.equal(await say(controller, { signed: [await sign(led)] }), 'taken');
  });

  it('is asked for the same document by a controller that takes over', async (t) => {
    const led = await lead(t);
    const { world, controller } = led;
    const signed = await sign(led);
    const before = controller.view('x')?.approval?.to_sign;
    world.carrier.leave(controller);
    const store = await openStore(await tempFolder(t));
    t.after(async () => await store.close());
    const next = await world.start(store, { isAlone: false });
    await world.pass(next, 60);
    assert.equal(next.view('x')?.waits_for, 'approval');
    assert.deepEqual(next.view('x')?.approval?.to_sign, before);
    assert.equal(await say(next, {}), 'APPROVAL_UNSIGNED');
    const old = { signed: [signed] };
    assert.equal(await say(next, old), 'APPROVAL_CLOCK', 'it may have been obeyed before');
    const anew = await sign({ ...led, controller: next });
    assert.equal(await say(next, { signed: [anew] }), 'taken');
  });

  it('that forced a wave open forces it no second time in a record of before', async (t) => {
    const led = await lead(t);
    const { controller, store } = led;
    const before = (await store.load()).get('x')?.run;
    assert.ok(before);
    const forced = { command: 'force-open' as const, signed: [await sign(led, FORCED)] };
    assert.equal(await say(controller, forced), 'taken');
    const plan = controller.facts('x')?.plan ?? null;
    const said = { ...forced, who: 'ana', user: 'ana', key: KEY, reason: 'again', wave: 1 };
    const again = (run: typeof before) => () => obey(run, said, { plan, now: led.world.nowMs });
    assert.doesNotThrow(again(before), 'the same record, as a crash may leave it');
    const restored = { ...before, signedSinceMs: led.world.nowMs + 1 };
    assert.throws(again(restored), { code: 'APPROVAL_CLOCK' });
    const older = pauseOlderCopy(before, 'an older copy', led.world.nowMs + 1);
    assert.ok(older.run.signedSinceMs > led.world.nowMs);
  });

  it('is offered on the page as a command to type, and to others as a button', async (t) => {
    const { controller } = await lead(t);
    const facts = controller.facts('x');
    assert.ok(facts);
    const of = (user: string, key: string | null) =>
      previewCommands(facts, { user, key }).find(({ command }) => command === 'approve');
    const { refusal } = of('ana', KEY) ?? {};
    assert.equal(refusal?.code, 'APPROVAL_UNSIGNED');
    assert.match(refusal.message, /drover rollout approve x --wave 1 --key FILE/);
    assert.equal(of('ben', null)?.refusal, null);
  });
});

describe('over HTTP', () => {
  it('opens no wave for who has the token of a user with a key alone', async (t) => {
    const led = await lead(t);
    const { controller, world } = led;
    const token = makeToken();
    const ana = { username: 'ana', role: 'publisher' as const, token_sha256: token.sha256 };
    const users = [{ ...ana, approval_key: KEY }];
    const api = await startApi(t, { protected: true, controller, rollouts: ['x'], users });
    const client = new ApiClient({ url: api.url, token: token.token });
    const post = async (command: string, body: object): Promise<string> => {
      const init = { 'content-type': 'application/json', authorization: `Bearer ${token.token}` };
      const response = await api.get(`/rollouts/x/${command}`, {
        ...{ method: 'POST', headers: init, body: JSON.stringify(body) },
      });
      const { error } = (await response.json()) as { error?: { code: string; hint: string } };
      assert.match(
        error?.hint ?? '--key FILE',
        /--key FILE|--file FILE|signs anew|set the clock|mend the request/,
      );
      return `${response.status} ${error?.code ?? 'taken'}`;
    };
    const forced = { wave: 1, reason: 'I have a password' };
    assert.equal(await post('approve', { wave: 1 }), '403 APPROVAL_UNSIGNED');
    assert.equal(await post('force-open', forced), '403 APPROVAL_UNSIGNED');
    assert.equal(await post('approve', { wave: 1, signed: ['{}'] }), '422 APPROVAL_INVALID');
    const long = ['x'.repeat(LIMITS.approvalBytesMax + 1)];
    assert.equal(await post('approve', { signed: long }), '422 ROLLOUT_COMMAND_INVALID');
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 1);
    const file = join(await tempFolder(t), 'ana.key');
    await writeFile(file, SEED, { mode: 0o600 });
    const own = await openOwnKey({ key: [file] }, client);
    assert.equal(own?.user, 'ana');
    await writeFile(`${file}.other`, fixedSeed(42), { mode: 0o600 });
    const another = await openOwnKey({ key: [`${file}.other`] }, client).catch(toProblem);
    assert.match(JSON.stringify(another), /APPROVAL_KEY_WRONG.*ana has another one there/);
    const rollout = parseRollout(await client.get('/rollouts/x'));
    const late = await signFor(own, 'approve', { rollouts: [rollout], wave: 1 });
    assert.equal(await post('approve', { wave: 1, signed: late }), '409 APPROVAL_CLOCK');
    const signed = [await sign(led)];
    assert.equal(await post('approve', { wave: 1, signed }), '200 taken');
    await api.changeUsers([ana]);
    const problem = await openOwnKey({ key: [file] }, client).catch(toProblem);
    assert.match(JSON.stringify(problem), /APPROVAL_KEY_WRONG.*ana has no key at/);
  });

  it('is given as ever to a broker of 0.1 by who has a key for other verbs', async (t) => {
    const api = await startApi(t, {});
    const of01 = new ApiClient({ url: `${api.url}/without-such-routes`, token: null });
    t.after(() => delete process.env[KEY_ENVIRONMENT]);
    process.env[KEY_ENVIRONMENT] = 'of the release role';
    assert.equal(await openOwnKey({}, of01), null);
    const named = openOwnKey({ key: ['ana.key'] }, of01);
    await assert.rejects(named, { code: 'APPROVAL_KEY_WRONG' });
  });
});

describe('an approval of a set', () => {
  const plans = new Map(
    ['a', 'b'].map((id) => [id, { rollout: { id, set: { id: 's', members: MEMBERS } } }]),
  ) as unknown as Parameters<typeof obeyTogether>[1];

  it('names the rollouts that wanted another signature, and no others', async () => {
    const refuse = (code: ErrorCode) => async (id: string) => {
      if (id === 'b') throw new DroverError(code, `approve rollout ${id}`);
      await Promise.resolve();
    };
    for (const name of ['a', 's']) {
      const refused = await obeyTogether(name, plans, refuse('APPROVAL_OF_ANOTHER'));
      const { message } = refused[0] ?? {};
      assert.deepEqual(refused, [{ rollout: 'b', code: 'APPROVAL_OF_ANOTHER', message }]);
      assert.deepEqual(await obeyTogether(name, plans, refuse('ROLLOUT_FINAL')), []);
    }
  });

  it('is signed once more for a rollout that came to ask for it meanwhile', async () => {
    const said: string[] = [];
    const other = { code: 'APPROVAL_OF_ANOTHER', message: 'approve rollout b: rollout differs' };
    const refused = [{ rollout: 'b', ...other }];
    const say = async (id: string, isRefused = id === 's'): Promise<Uint8Array> => {
      said.push(id);
      await Promise.resolve();
      return utf8(JSON.stringify({ run: null, ...(isRefused && { refused }) }));
    };
    assert.deepEqual((await sayAgain(say, 's', true)).refused, []);
    assert.deepEqual(said, ['s', 'b']);
    assert.deepEqual((await sayAgain(say, 's', false)).refused, refused, 'there is no key');
    const never = async (id: string): Promise<Uint8Array> => {
      if (id === 'b') throw new DroverError('APPROVAL_CLOCK', 'b');
      return await say(id, true);
    };
    const left = (await sayAgain(never, 's', true)).refused;
    assert.deepEqual(left, [{ rollout: 'b', code: 'APPROVAL_CLOCK', message: 'b' }]);
    const late = async (): Promise<Uint8Array> => {
      said.push('late');
      if (said.length < 7) throw new DroverError('APPROVAL_UNSIGNED', 'it asks by now');
      return await say('a');
    };
    said.length = 5;
    assert.deepEqual((await sayAgain(late, 's', true)).refused, []);
  });
});

describe('the audit chain', () => {
  /** The record of an approval, as the broker writes it. */
  async function recorded(led: World): Promise<AuditRecord> {
    await say(led.controller, { signed: [await sign(led)] });
    const all = await led.controller.history('x', 0, 100);
    const entry = all.find(({ kind }) => kind === 'approved');
    assert.ok(entry);
    return recordOf(rolloutDecision(entry), { seq: 7, at: entry.at, prev: NO_RECORD });
  }

  it('has the signed document, which shows that its entry says what was signed', async (t) => {
    const led = await lead(t);
    const record = await recorded(led);
    const check = new SignatureCheck([{ user: null, key: OTHER }, MINE]);
    check.take(record);
    check.take({ ...record, facts: {} });
    assert.deepEqual(check.lines(), [`signed: 1 entry by ana (key ${keyIdOf(KEY)})`]);
    assert.deepEqual(check.counts(), { checked: 1, not_checked: 0, unsigned: 0, time_apart: 0 });
    const stranger = new SignatureCheck([]);
    stranger.take(record);
    assert.match(stranger.lines().join(), /1 entry is signed by keys that no --public-key names/);
    const lies: readonly Partial<AuditRecord>[] = [
      { subject: 'y' },
      { by: 'ben' },
      { by: 'anabel' },
      { kind: 'rollout.forced' },
      { facts: { ...record.facts, wave: 2 } },
      { text: record.text.replace(/of wave \d/, 'of wave 7') },
      { text: record.text.replace('by ana', 'by anabel') },
      { facts: { ...record.facts, signed: `${String(record.facts['signed'])} ]` } },
    ];
    for (const lie of lies) {
      const fresh = new SignatureCheck([MINE]);
      assert.throws(() => fresh.take({ ...record, ...lie }), { code: 'AUDIT_BROKEN' });
    }
    new SignatureCheck([MINE]).take({ ...record, by: 'ana (kim)' });
    const moved = new SignatureCheck([MINE]);
    moved.take({ ...record, at: '2031-01-02T03:04:05.000Z' });
    assert.match(
      moved.lines().join(),
      /entry 7 was written at 2031-01-02T03:04:05.000Z, and its approval was given at 20[\d-]+T/,
    );
    assert.equal(moved.counts().time_apart, 1);
  });

  it('counts a signature once, within its hour, for the user and the key that go together', async (t) => {
    const record = await recorded(await lead(t));
    const broken = (why: RegExp, check: SignatureCheck, lie: Partial<AuditRecord> = {}) =>
      assert.throws(() => check.take({ ...record, ...lie }), {
        code: 'AUDIT_BROKEN',
        message: why,
      });
    const once = new SignatureCheck([MINE]);
    once.take(record);
    broken(/has the signature of entry 7 again/, once, { seq: 9 });
    const late = { facts: { ...record.facts, at: '2026-06-01T02:00:00Z' } };
    broken(/was not good then/, new SignatureCheck([MINE]), late);
    broken(/its key is that of ben/, new SignatureCheck([{ user: 'ben', key: KEY }]));
    const of = (facts: AuditRecord['facts'], kind = 'user.changed', subject = 'ana') =>
      ({ ...record, kind, subject, by: 'credentials file', facts }) as const;
    const other = new SignatureCheck([MINE]);
    other.take(of({ approval_key: OTHER }));
    broken(/another key than ana had by then/, other);
    const keyless = new SignatureCheck([MINE]);
    keyless.take(of({}, 'user.listed'));
    broken(/another key than ana had by then/, keyless);
    const elsewhere = new SignatureCheck([MINE]);
    elsewhere.take(of({}, 'trust.changed', 'site-2'));
    broken(/is signed for fleet .*, and this is site-2/, elsewhere);
    const cut = new SignatureCheck([MINE]);
    cut.take(of({ approval_key: KEY }));
    cut.take({ ...record, facts: {} });
    assert.match(cut.lines().join(), /1 entry of users with a key has no signature/);
    cut.take(of({}));
    cut.take({ ...record, facts: {} });
    assert.equal(cut.counts().unsigned, 1);
    const listed = userDecisions(null, [
      { username: 'ana', role: 'publisher', mark: '', key: KEY },
    ]);
    assert.deepEqual(listed[1]?.facts, { role: 'publisher', approval_key: KEY });
  });
});
