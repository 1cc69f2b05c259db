/** The enrolments of a broker with a real database. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { makeToken } from '../../../broker/access/credentials.ts';
import { LiveCredentials } from '../../../broker/access/live-credentials.ts';
import { Enrolment, noEnrolment } from '../../../broker/enrolment/enrolment.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { claimText } from '../../../shared/formats/http-api.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { startApi } from '../api.ts';
import { AT_MS, makeState } from '../reports.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const CLAIM = claimText('c'.repeat(43));
const [mine, other] = [makeToken(), makeToken()];
const asked = (of: { sha256: string }, claim = CLAIM) => ({
  claim,
  token_sha256: of.sha256 as ReturnType<typeof sha256Hex>,
});
const order = (robot = 'amr-0001', needs_yes = false) => ({
  robot_id: robot as RobotId,
  claim_sha256: sha256Hex(utf8(CLAIM)),
  expires_at: Date.now() + 60_000,
  needs_yes,
});
const codeOf = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    (value) => JSON.stringify(value),
    (error: unknown) => (error instanceof DroverError ? error.code : String(error)),
  );

/** A broker's credentials, with one publisher in the file, and its enrolments. */
async function open(t: TestContext, users: readonly object[] = []) {
  const folder = await tempFolder(t);
  const file = join(folder, 'credentials.json');
  await writeFile(file, JSON.stringify({ users }));
  const log = makeLog('test', 'silent');
  const live = await LiveCredentials.open(file, log);
  t.after(() => live.close());
  let ended = 0;
  live.onChange(() => (ended += 1));
  const start = () =>
    Enrolment.open({
      ...{ folder: join(folder, 'enrolment'), users: live.enrolled, log },
      hasUser: (name) => live.hasInFile(name),
      hasToken: (hash) => live.hasTokenInFile(hash),
      onEnded: () => live.changed(),
    });
  return { live, file, start, endings: () => ended };
}

describe('the enrolments of a broker', () => {
  it('let a robot in as itself, also after a restart, and know no secret', async (t) => {
    const { live, start } = await open(t);
    const first = await start();
    await first.add([order()], { replace: false });
    assert.deepEqual(await first.claim(asked(mine), '10.0.0.9'), {
      robot_id: 'amr-0001',
      status: 'enrolled',
    });
    await first.close();
    live.enrolled.set('amr-0001' as RobotId, null);
    const second = await start();
    t.after(() => second.close());
    const identity = await live.authenticate('amr-0001', utf8(mine.token));
    assert.deepEqual(identity, {
      ...{ kind: 'user', username: 'amr-0001', role: 'robot', robot: 'amr-0001' },
    });
    assert.equal(await live.authenticate('amr-0002', utf8(mine.token)), null);
    assert.equal(await live.authenticate('amr-0001', utf8(other.token)), null);
    assert.doesNotMatch(JSON.stringify(second.list()), new RegExp(`${CLAIM}|${mine.token}`));
    assert.match(await codeOf(second.claim(asked(mine), '10.0.0.9')), /enrolled/);
  });

  it('give a claim that two robots send at one time to one of them', async (t) => {
    const { start } = await open(t);
    const enrolment = await start();
    t.after(() => enrolment.close());
    await enrolment.add([order()], { replace: false });
    const codes = await Promise.all(
      [mine, other].map((one) => codeOf(enrolment.claim(asked(one), '10.0.0.9'))),
    );
    assert.match(codes[0] ?? '', /enrolled/);
    assert.equal(codes[1], 'CLAIM_USED');
  });

  it('end a connection when its credential is revoked or replaced', async (t) => {
    const { live, start, endings } = await open(t);
    const enrolment = await start();
    t.after(() => enrolment.close());
    await enrolment.add([order()], { replace: false });
    await enrolment.claim(asked(mine), '10.0.0.9');
    const identity = await live.authenticate('amr-0001', utf8(mine.token));
    assert.ok(identity && live.isCurrent(identity));
    const claim = claimText('d'.repeat(43));
    const renewed = { ...order(), claim_sha256: sha256Hex(utf8(claim)) };
    await enrolment.add([renewed], { replace: true });
    assert.ok(live.isCurrent(identity), 'an unused claim ends nothing');
    await enrolment.claim(asked(other, claim), '10.0.0.9');
    assert.ok(!live.isCurrent(identity));
    const after = await live.authenticate('amr-0001', utf8(other.token));
    await enrolment.revoke('amr-0001', 'ann');
    assert.ok(after && !live.isCurrent(after));
    assert.equal(endings(), 2);
  });

  it('leave a name of the credentials file to its user', async (t) => {
    const ann = { username: 'ann', role: 'publisher', token_sha256: other.sha256 };
    const { live, file, start } = await open(t);
    const enrolment = await start();
    t.after(() => enrolment.close());
    await enrolment.add([order('ann')], { replace: false });
    await writeFile(file, JSON.stringify({ users: [ann] }));
    await live.reload();
    const again = enrolment.add([order('ann')], { replace: true });
    assert.equal(await codeOf(again), 'ROBOT_NAME_TAKEN');
    assert.equal(await codeOf(enrolment.claim(asked(mine), 'x')), 'ROBOT_NAME_TAKEN');
    live.enrolled.set('ann' as RobotId, sha256Hex(utf8(mine.token)));
    assert.equal(await live.authenticate('ann', utf8(mine.token)), null);
  });

  it('refuse a robot with the secret of a user or of another robot, whose claim stays', async (t) => {
    const ann = { username: 'ann', role: 'publisher', token_sha256: other.sha256 };
    const { live, start } = await open(t, [ann]);
    const enrolment = await start();
    t.after(() => enrolment.close());
    await enrolment.add([order()], { replace: false });
    assert.equal(await codeOf(enrolment.claim(asked(other), 'x')), 'CLAIM_KEY_TAKEN');
    assert.equal(live.authenticateToken(other.token)?.kind, 'user');
    assert.match(await codeOf(enrolment.claim(asked(mine), 'x')), /enrolled/);
    for (const [needsYes, letter] of [
      [false, 'e'],
      [true, 'f'],
    ] as const) {
      const claim = claimText(letter.repeat(43));
      const next = { ...order(`r-${letter}`, needsYes), claim_sha256: sha256Hex(utf8(claim)) };
      await enrolment.add([next], { replace: false });
      assert.equal(await codeOf(enrolment.claim(asked(mine, claim), 'x')), 'CLAIM_KEY_TAKEN');
      assert.equal(enrolment.list().find((one) => one.robot_id === next.robot_id)?.claim, 'open');
    }
    live.enrolled.set('r-x' as RobotId, sha256Hex(utf8(other.token)));
    const identity = live.authenticateToken(other.token);
    assert.equal(identity?.kind === 'user' && identity.username, 'ann', 'the file counts first');
  });

  it('stop answering an address that tries many claims, but never a robot with a good one', async (t) => {
    const { start } = await open(t);
    const enrolment = await start();
    t.after(() => enrolment.close());
    await enrolment.add([order()], { replace: false });
    const wrong = () => codeOf(enrolment.claim(asked(mine, claimText('w'.repeat(43))), 'site'));
    for (let n = 0; n < LIMITS.claimTriesMax; n += 1) assert.equal(await wrong(), 'CLAIM_UNKNOWN');
    assert.equal(await wrong(), 'CLAIM_TRIES');
    assert.match(await codeOf(enrolment.claim(asked(mine), 'site')), /enrolled/);
  });

  it('make all claims of a call or none', async (t) => {
    const { start } = await open(t);
    const enrolment = await start();
    t.after(() => enrolment.close());
    await enrolment.add([order('b')], { replace: false });
    const many = ['a', 'b'].map((robot) => ({
      ...order(robot),
      claim_sha256: sha256Hex(utf8(robot)),
    }));
    assert.equal(await codeOf(enrolment.add(many, { replace: false })), 'CLAIM_EXISTS');
    assert.deepEqual(
      enrolment.list().map((one) => one.robot_id),
      ['b'],
    );
  });

  it('are refused with the reason where robots log in elsewhere', async () => {
    const none = noEnrolment('robots log in at mosquitto, which keeps its own users');
    assert.equal(await codeOf(none.claim(asked(mine), 'x')), 'ENROLMENT_OFF');
    assert.equal(await codeOf(none.add([order()], { replace: false })), 'ENROLMENT_OFF');
  });
});

describe('the routes of enrolment', () => {
  const json = { 'content-type': 'application/json' };
  const post = (body: object, more: Record<string, string> = {}): RequestInit => ({
    method: 'POST',
    headers: { ...json, ...more },
    body: JSON.stringify(body),
  });

  it('ask robots for a claim and people for the token of a publisher', async (t) => {
    const api = await startApi(t, { protected: true });
    const codeAt = async (path: string, init: RequestInit): Promise<string> => {
      const answer = (await (await api.get(path, init)).json()) as { error?: { code: string } };
      return answer.error?.code ?? 'taken';
    };
    assert.equal(await codeAt('/enrol', post(asked(mine))), 'CLAIM_UNKNOWN');
    assert.equal(await codeAt('/enrol', post({ claim: 'x' })), 'USAGE');
    const page = { origin: 'https://evil.example' };
    assert.equal(await codeAt('/enrol', post(asked(mine), page)), 'ACCESS_DENIED');
    const bearer = (token: string) => post({}, { authorization: `Bearer ${token}` });
    const accept = '/enrolments/amr-0001/accept';
    assert.equal(await codeAt(accept, post({})), 'HTTP_UNAUTHORIZED');
    assert.equal(await codeAt(accept, bearer(api.tokens.technician)), 'ACCESS_DENIED');
    assert.equal(await codeAt(accept, bearer(api.tokens.publisher)), 'NOT_FOUND');
  });

  it('keep the credential of a retired robot, and say so, until it is revoked', async (t) => {
    const fleet = new Fleet();
    for (const robot of ['amr-0001', 'amr-0002']) fleet.applyState(makeState(robot), AT_MS);
    const api = await startApi(t, { fleet });
    await api.enrolment.add([order()], { replace: false });
    await api.enrolment.claim(asked(mine), 'here');
    const retired = async (robot: string) =>
      await (await api.get(`/robots/${robot}/retire`, post({}))).json();
    assert.deepEqual(await retired('amr-0001'), { retired: 'amr-0001', enrolled: true });
    assert.deepEqual(await retired('amr-0002'), { retired: 'amr-0002', enrolled: false });
    const { enrolments } = (await (await api.get('/enrolments')).json()) as {
      enrolments: { enrolled: boolean; reported: boolean }[];
    };
    assert.deepEqual(
      enrolments.map((one) => [one.enrolled, one.reported]),
      [[true, false]],
    );
  });
});
