/** The wrong file of ours, given to a command: the refusal names both, and the one to give. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { signEnvelope, PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { fileKindOf } from '../../../shared/rules/file-kinds.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { NOBODY_PORT } from '../../helpers/free-port.ts';
import { startDrover } from '../../helpers/child.ts';
import type { DroverProgram } from '../../helpers/program-file.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { makeFleet } from '../../helpers/fleet.ts';

const signer = { publicKey: makeFleet().keys.root, sign: async () => new Uint8Array(64) };
const signed = (type: keyof typeof PAYLOAD_TYPES): Promise<Uint8Array> =>
  signEnvelope(PAYLOAD_TYPES[type], utf8('{}'), [signer]);

describe('the kind of a file', () => {
  it('is known for all that people carry about, however it was signed', async () => {
    const found = {
      trust: fileKindOf(await signed('trust')),
      report: fileKindOf(await signed('report')),
      progress: fileKindOf(await signed('progress')),
      root: fileKindOf(utf8('{"version":1,"fleet":"a","roles":{}}')),
      waiting: fileKindOf(utf8('{"kind":"drover-announcement"}')),
      manifest: fileKindOf(utf8('{"version":"1.0.0","payload_sha256":"0"}')),
      seed: fileKindOf(new Uint8Array(32)),
      pub: fileKindOf(utf8(`${'ab'.repeat(32)}\n`)),
      pem: fileKindOf(utf8('-----BEGIN OPENSSH PRIVATE KEY-----\nx')),
      gzip: fileKindOf(new Uint8Array([0x1f, 0x8b, 8, 0])),
    };
    assert.deepEqual(found, {
      trust: 'update of trust.json',
      report: 'report of a site',
      progress: 'signed document of another kind',
      root: 'trust.json',
      waiting: 'announcement file',
      manifest: 'manifest.json of a bundle',
      seed: 'private key',
      pub: 'public key',
      pem: 'private key',
      gzip: 'archive',
    });
  });

  it('is nothing for what is damaged or of others', () => {
    for (const bytes of [utf8(''), utf8('{"roles"'), utf8('[1]'), utf8('hello'), utf8('{}')]) {
      assert.equal(fileKindOf(bytes), null);
    }
  });
});

const nowhere = `--broker mqtt://127.0.0.1:${NOBODY_PORT}`;
/** Program, arguments, and what its error and its hint say. */
const REFUSALS: readonly [DroverProgram, string, RegExp, RegExp][] = [
  [
    'publisher',
    `trust publish t2.json --trust t1.json ${nowhere}`,
    /read t2\.json: it is a trust\.json, want an update/,
    /name t2\.json\.update/,
  ],
  [
    'publisher',
    'trust sign t1.json --trust t1.json --key root.key',
    /read t1\.json: it is a trust/,
    /name t1\.json\.update/,
  ],
  [
    'publisher',
    'trust rotate --trust t2.json.update --key root.key --out t3.json',
    /it is an update of trust\.json, want a trust\.json/,
    /name t2\.json,/,
  ],
  [
    'publisher',
    `announce root.pub --trust t1.json ${nowhere}`,
    /read root\.pub: it is a public key, want an announcement file/,
    /--announcement-out/,
  ],
  [
    'publisher',
    'sign t2.json.update --add --trust t1.json --key root.key',
    /it is an update of trust/,
    /drover trust sign/,
  ],
  [
    'publisher',
    `announce t1.json --trust root.pub ${nowhere}`,
    /read root\.pub: it is a public key, want a trust\.json/,
    /name the trust\.json/,
  ],
  [
    'publisher',
    `announce t1.json --trust cut.json ${nowhere}`,
    /read cut\.json: /,
    /name the trust\.json/,
  ],
  [
    'broker',
    '--data d --trust root.pub',
    /read root\.pub: it is a public key/,
    /name the trust\.json/,
  ],
  [
    'robot-client',
    `--id r1 --root r1 --trust root.key ${nowhere}`,
    /read root\.key: it is a private key/,
    /name the trust\.json/,
  ],
];

test('a command that is given the wrong file of ours names it, what it is, and the right one', async (t) => {
  const cwd = await tempFolder(t);
  const run = async (program: DroverProgram, line: string) => {
    const child = startDrover(t, program, line.split(' '), { cwd, env: { DROVER_KEY: undefined } });
    await child.exit;
    return child;
  };
  for (const line of [
    'keygen --out root',
    'trust init --release root.pub --rollout root.pub --out t1.json',
    'trust rotate --trust t1.json --key root.key --out t2.json',
  ]) {
    const child = await run('publisher', line);
    assert.equal(child.ended?.code, 0, child.describe());
  }
  await writeFile(join(cwd, 'cut.json'), '{"version":1');
  for (const [program, line, message, hint] of REFUSALS) {
    const child = await run(program, line);
    assert.notEqual(child.ended?.code, 0, child.describe());
    assert.match(child.stderr, new RegExp(`error: .*${message.source}`), child.describe());
    assert.match(child.stderr, new RegExp(`hint: .*${hint.source}`), child.describe());
  }
});
