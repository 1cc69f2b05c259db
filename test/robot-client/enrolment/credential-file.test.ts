/** The files of a robot that enrols, and an answer that is lost. */

import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { mkdirSync, rmdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readDoor } from '../../../robot-client/enrolment/ask-broker.ts';
import { enrolRobot } from '../../../robot-client/enrolment/enrol.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { claimText, parseEnrolRequest } from '../../../shared/formats/http-api.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const CLAIM = claimText('c'.repeat(43));

/** A peer that answers each request with the next of these; null ends the connection. */
async function startPeer(t: TestContext, answers: readonly (string | null)[]) {
  const hashes: string[] = [];
  const server = createServer((request, reply) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      hashes.push(parseEnrolRequest(new Uint8Array(Buffer.concat(pieces))).token_sha256 ?? '');
      const answer = answers[hashes.length - 1] ?? null;
      if (answer === null) request.socket.destroy();
      else reply.end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { door: readDoor(`http://127.0.0.1:${port}`, undefined), hashes };
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => 'done',
    (error: unknown) => (error instanceof DroverError ? error.code : String(error)),
  );

describe('a robot that enrols', () => {
  it('asks with the same key after a lost answer, and leaves one file of its own', async (t) => {
    const folder = await tempFolder(t);
    const out = join(folder, 'etc', 'credentials');
    const said = '{"robot_id":"amr-0001","status":"enrolled"}';
    const { door, hashes } = await startPeer(t, [null, said]);
    const keys: string[] = [];
    const options = { door, claim: CLAIM, out, waitMs: 0, onKey: (key: string) => keys.push(key) };
    assert.equal(await codeOf(enrolRobot(options)), 'BROKER_UNREACHABLE');
    assert.deepEqual(await readdir(join(folder, 'etc')), ['credentials.key']);
    assert.deepEqual(await enrolRobot(options), { robot: 'amr-0001', isNew: true });
    assert.equal(hashes.length, 2);
    assert.equal(hashes[0], hashes[1]);
    assert.equal(keys[0], keys[1]);
    assert.deepEqual(await readdir(join(folder, 'etc')), ['credentials']);
    assert.equal((await stat(out)).mode & 0o777, 0o600);
    const text = await readFile(out, 'utf8');
    assert.match(
      text,
      /^DROVER_ROBOT_ID=amr-0001\nDROVER_USERNAME=amr-0001\nDROVER_PASSWORD=[\w-]{43}$/m,
    );
    assert.doesNotMatch(text, new RegExp(CLAIM));
    assert.deepEqual(await enrolRobot(options), { robot: 'amr-0001', isNew: false });
    assert.equal(hashes.length, 2, 'the broker is not asked again');
    const another = { ...options, claim: claimText('d'.repeat(43)) };
    assert.equal(await codeOf(enrolRobot(another)), 'FILE_EXISTS');
  });

  it('asks no broker when it cannot keep its key', async (t) => {
    const folder = await tempFolder(t);
    await writeFile(join(folder, 'etc'), 'a file where a folder is wanted');
    const { door, hashes } = await startPeer(t, []);
    const out = join(folder, 'etc', 'credentials');
    const work = enrolRobot({ door, claim: CLAIM, out, waitMs: 0, onKey: () => undefined });
    assert.equal(await codeOf(work), 'FILE_UNREADABLE');
    assert.deepEqual(hashes, []);
  });

  it('keeps its key when the credential cannot be written, and goes on with the next call', async (t) => {
    const folder = await tempFolder(t);
    const out = join(folder, 'credentials');
    const said = '{"robot_id":"amr-0001","status":"enrolled"}';
    const { door, hashes } = await startPeer(t, [said, said]);
    const beside = `${out}.${process.pid}.tmp`;
    const options = { door, claim: CLAIM, out, waitMs: 0, onKey: () => undefined };
    const blocked = { ...options, onKey: () => mkdirSync(beside) };
    assert.equal(await codeOf(enrolRobot(blocked)), 'DISK_WRITE_FAILED');
    assert.deepEqual(
      (await readdir(folder)).sort(),
      [beside, `${out}.key`].map((one) => basename(one)),
    );
    rmdirSync(beside);
    assert.deepEqual(await enrolRobot(options), { robot: 'amr-0001', isNew: true });
    assert.equal(hashes[0], hashes[1]);
  });

  it('takes no id from a broker that would be another line of its file', async (t) => {
    const out = join(await tempFolder(t), 'credentials');
    const { door } = await startPeer(t, ['{"robot_id":"a\\nLD_PRELOAD=x","status":"enrolled"}']);
    const work = enrolRobot({ door, claim: CLAIM, out, waitMs: 0, onKey: () => undefined });
    assert.equal(await codeOf(work), 'BROKER_REFUSED');
  });

  it('sends a claim over TLS alone, or to its own machine', () => {
    assertRefused('USAGE', () => readDoor('http://broker.example:8080', undefined), /in clear/);
    assertRefused('USAGE', () => readDoor('mqtts://broker.example:8883', undefined));
    assert.equal(readDoor('https://broker.example:8443', undefined).url.port, '8443');
  });
});
