/**
 * The address of the engine and our login there, from a URL, options, a file and the environment.
 */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  readEngineAddress,
  readUpstreamAddress,
  type EngineSources,
} from '../../../broker/commands/engine-address.ts';
import { toProblem } from '../../../shared/base/errors.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const read = (url: string, more: Partial<EngineSources> = {}) =>
  readEngineAddress({ url, environment: {}, ...more });

describe('the address of an engine', () => {
  it('holds no credentials, wherever they came from', () => {
    assert.deepEqual(read('mqtt://drover:a%40b%2Fc@broker.lan:1884'), {
      url: 'mqtt://broker.lan:1884',
      username: 'drover',
      password: 'a@b/c',
    });
    assert.deepEqual(read('mqtts://broker.lan'), { url: 'mqtts://broker.lan' });
  });

  it('takes what is nearest: option or file, then the URL, then the environment', async (t) => {
    const passwordFile = join(await tempFolder(t), 'password');
    await writeFile(passwordFile, 'from-file\n');
    const environment = { DROVER_ENGINE_USERNAME: 'env', DROVER_ENGINE_PASSWORD: 'from-env' };
    const near = { username: 'option', passwordFile, environment };
    const users = [
      read('mqtt://url:from-url@h', near),
      read('mqtt://url:from-url@h', { environment }),
      read('mqtt://h', { environment }),
      read('mqtt://url@h', { environment }),
    ].map(({ username, password }) => `${username} ${password}`);
    assert.deepEqual(users, ['option from-file', 'url from-url', 'env from-env', 'url from-env']);
  });

  it('refuses what is no address, and does not repeat it', () => {
    const isDiscreet = (error: unknown): boolean => {
      const problem = toProblem(error);
      assert.equal(problem.code, 'USAGE');
      assert.doesNotMatch(JSON.stringify(problem), /hunter2|zz/);
      return true;
    };
    for (const text of ['broker:1883', 'http://u:hunter2@h', 'u:hunter2@h', 'mqtt://u:%zz@h']) {
      assert.throws(() => read(text), isDiscreet);
    }
    const environment = { DROVER_ENGINE_PASSWORD: 'hunter2' };
    assert.throws(() => read('mqtt://h', { environment }), isDiscreet);
    assertRefused('FILE_UNREADABLE', () => read('mqtt://h', { caFile: '/no/such/ca.pem' }));
  });
});

describe('the address of an upstream', () => {
  it('is read as that of an engine, from options and variables of its own', () => {
    const environment = {
      DROVER_ENGINE_USERNAME: 'engine',
      DROVER_UPSTREAM_USERNAME: 'site-a',
      DROVER_UPSTREAM_PASSWORD: 'secret',
    };
    assert.deepEqual(readUpstreamAddress({ url: 'mqtts://cloud', environment }), {
      url: 'mqtts://cloud',
      username: 'site-a',
      password: 'secret',
    });
    assert.throws(
      () => readUpstreamAddress({ url: 'cloud', environment: {} }),
      /read --upstream: not the URL of a broker/,
    );
  });

  it('may name a certificate of ours, which has to be there', async (t) => {
    const folder = await tempFolder(t);
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const files = { url: 'mqtts://cloud', certFile, keyFile, environment: {} };
    assertRefused('FILE_UNREADABLE', () => readUpstreamAddress(files));
    await writeFile(certFile, '');
    await writeFile(keyFile, '');
    assert.deepEqual(readUpstreamAddress(files), { url: 'mqtts://cloud', certFile, keyFile });
  });
});
