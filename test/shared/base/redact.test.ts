import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import {
  failureHint,
  failureText,
  PARTIAL_LINE,
  plainText,
  redact,
  redactTail,
  REDACTED,
} from '../../../shared/base/redact.ts';

const SECRET = 'Zx9vQ7-kT2_wPm4';

describe('the redaction of a log', () => {
  for (const line of [
    `DB_PASSWORD=${SECRET}`,
    `Nov 30 06:00:00 host app[12]: export API_KEY=${SECRET} and more`,
    `declare -x HOME_ASSISTANT="${SECRET}"`,
    `password: ${SECRET}`,
    `Password for admin: ${SECRET}`,
    `{"token":"${SECRET}","camera":7}`,
    `{"db_secret" : "${SECRET}`,
    `Authorization: Bearer ${SECRET}`,
    `sent header authorization=${SECRET}`,
    `curl -H "Bearer ${SECRET}" http://host`,
    `connect --password ${SECRET} --host h`,
    `connect --api-token=${SECRET}`,
    `mqtt://admin:${SECRET}@10.0.0.1:1883/x failed`,
    `Set-Cookie: session=${SECRET}`,
    `pass\u001b[1mword=${SECRET}`,
    `passphrase = '${SECRET}'`,
    `eyJhbGciOiJIUzI1NiJ9.${SECRET}aaaaaaa.${SECRET}`,
    `the password is ${SECRET} today`,
    `mysql -u root -p${SECRET} -h db`,
    `curl -s -u admin:${SECRET} http://x`,
    `sshpass -p ${SECRET} ssh host`,
    `<db><password>${SECRET}</password><port>1</port></db>`,
    `api_key ${SECRET}`,
    `https://host/?a=1&sig=${SECRET}&b=2`,
    `https://user:Zx9v/${SECRET}@host/x`,
    `claim_${SECRET}abcdefgh`,
    `Authorization failed: Token ${SECRET}`,
    `jwt=${SECRET}`,
    `signature=${SECRET}`,
    `key=${SECRET}`,
    `pin=${SECRET}`,
    `machine host login me password ${SECRET}`,
    `[password] ${SECRET}`,
    `password|${SECRET}`,
    `PASSWORD\t${SECRET}`,
    `rocommunity: community ${SECRET}`,
    `"password":\n  "${SECRET}"`,
    `db_password: |\n  ${SECRET}`,
    `password=abc\\\n${SECRET}`,
  ]) {
    it(`takes the secret out of ${JSON.stringify(line.replaceAll(SECRET, '…'))}`, () => {
      const out = redact(`before\n${line}\nafter`);
      assert.ok(!out.includes(SECRET), out);
      assert.ok(out.includes(REDACTED));
      assert.match(out, /^before\n/);
      assert.match(out, /\nafter$/);
    });
  }

  it('keeps what a person needs: reasons, names, addresses without credentials', () => {
    for (const line of [
      'health: camera 7 does not answer (exit 70)',
      'could not authenticate at the arm controller',
      'see https://host/page?x=1 for the token that expired',
      'user drover is not in group dialout',
      '{"component":"app","from":"probation","to":"rolling_back"}',
      'want key=value pairs, got 3',
      'verify manifest: signature: does not match',
      'gpio: pin=17 is busy; pin: 4',
      'password is wrong, password is not set',
      'password authentication failed',
      'the api key expired, the token expires soon',
      '[auth] could not connect to the arm',
      'docker run -u 1000:1000 image',
      'cp -p a b; ssh -p 2222 host',
      'http://host:8080/path@2x.png not found',
      'x-axis: sig a, key b; map[key]=3',
      'sha256 of app: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b',
      'password:\n  sudo: 3 incorrect attempts',
    ]) {
      assert.equal(redact(line), line);
    }
    assert.equal(redact(`{"token":"${SECRET}","camera":7}`), `{"token":"${REDACTED}","camera":7}`);
  });

  const base64 = fc.stringMatching(/^[A-Za-z0-9+/]{40,64}$/);

  it('removes a private key as a whole, and also one of which only the end is there', () => {
    fc.assert(
      fc.property(
        fc.array(base64, { minLength: 1, maxLength: 20 }),
        fc.boolean(),
        (body, isCut) => {
          const begin = isCut ? [] : ['-----BEGIN EC PRIVATE KEY-----'];
          const text = ['start', ...begin, ...body, '-----END EC PRIVATE KEY-----', 'end'].join(
            '\n',
          );
          const out = redact(text);
          for (const line of body) assert.ok(!out.includes(line));
          assert.match(out, /^start\n/);
          assert.match(out, /\nend$/);
        },
      ),
    );
  });

  it('removes lines of a key before others that look like one by themselves', () => {
    const first = '+aa/+/aa/a0a+0/a/a0a+//+a//a++/0/++/+0aa';
    const others = [
      '0+000//0a/A0+0++000/Aa+/0/a/+Aa+//0aaa+0',
      '0a000/0aa/00a/0A0aaa//0+Aaa000/+/A/aA+A0',
    ];
    const out = redact(
      ['start', first, ...others, '-----END EC PRIVATE KEY-----', 'end'].join('\n'),
    );
    assert.equal(out, 'start\n[redacted]\nend');
  });

  it('removes the body of a key of which neither begin nor end is there', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[A-Z][a-z][0-9][A-Za-z0-9+/]{45,61}$/), {
          ...{ minLength: 2, maxLength: 9 },
        }),
        (body) => {
          const out = redact(['start', ...body, 'end'].join('\n'));
          for (const line of body) assert.ok(!out.includes(line), line);
          assert.match(out, /^start\n/);
          assert.match(out, /\nend$/);
        },
      ),
    );
    const hashes = ['a1'.repeat(32), 'b2'.repeat(32)].join('\n');
    assert.equal(redact(hashes), hashes); // digests are no key
  });

  it('removes a short last line of a key with the lines before it', () => {
    const out = redact(`a\n${'Ab1+'.repeat(16)}\nQ4z=\n-----END PRIVATE KEY-----\nb`);
    assert.equal(out, `a\n${REDACTED}\nb`);
  });

  it('does not keep the rest of a line whose begin was cut off, nor the rest of a key', () => {
    assert.equal(redactTail(`${SECRET}\nnext`), 'next');
    assert.equal(redactTail(SECRET.repeat(99)), PARTIAL_LINE);
    const key = ['Zx', 'Ab1+'.repeat(16), 'Cd2/'.repeat(16), 'Q4z='];
    const tail = [...key, '-----END PRIVATE KEY-----', 'arm is hot'].join('\n');
    assert.equal(redactTail(tail), `${REDACTED}\narm is hot`);
    assert.equal(redactTail(key.join('\n')), PARTIAL_LINE);
  });

  it('removes a key whose end was never printed', () => {
    const out = redact(`a\n-----BEGIN OPENSSH PRIVATE KEY-----\n${SECRET.repeat(4)}`);
    assert.equal(out, `a\n${REDACTED}`);
  });

  const name = fc.constantFrom('password', 'DB_PASSWD', 'api-key', 'client_secret', 'X-Auth-Token');
  const secret = fc.stringMatching(/^[A-Za-z0-9!#$%&*+/=?^_.-]{8,40}$/);
  const sign = fc.constantFrom('=', ': ', ' = ', ':', ' => ');

  it('never shows the value of a name that means a secret, wherever the line begins', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('', 'x ', 'Nov 1 h p[1]: '),
        name,
        sign,
        secret,
        (pre, n, s, v) => {
          assert.ok(!redact(`${pre}${n}${s}${v}`).includes(v));
        },
      ),
    );
  });

  it('keeps the words behind a value that was taken out before, and takes out the next one', () => {
    const once = `check 1.2.0: exit 70 (API_KEY=${REDACTED} / arm is hot); last probe 3`;
    assert.equal(redact(once), once);
    assert.equal(
      redact(`token=${REDACTED} password=${SECRET}`),
      `token=${REDACTED} password=${REDACTED}`,
    );
  });

  it('keeps every hint of the catalogue: a report has these words as well', () => {
    for (const { hint } of Object.values(CATALOGUE)) assert.equal(failureHint(hint), hint);
    assert.equal(failureHint(`password: ${SECRET}`), `password: ${REDACTED}`);
  });

  it('bounds a text about a failure after its secrets are out', () => {
    const text = failureText(`${'x'.repeat(990)}\npassword=${SECRET}`);
    assert.equal(text.length, 1_000);
    assert.ok(!text.includes(SECRET.slice(0, 4)));
  });

  it('changes nothing more when it is done twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), name, secret, (text, n, v) => {
        const once = redact(`${text}\n${n}=${v}\n${text}`);
        assert.equal(redact(once), once);
      }),
    );
  });
});

describe('plain text', () => {
  it('has no control character but line feed and tab, whatever a program printed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        assert.doesNotMatch(plainText(text), /[^\P{Cc}\n\t]/u);
        assert.doesNotMatch(plainText(text), /[\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  it('loses colours, titles and cursor movements and keeps the words between', () => {
    const colours = '\u001b[31;1mred\u001b[0m \u001b]0;title\u0007plain\r\n\u001b[2Kline';
    assert.equal(plainText(colours), 'red plain\nline');
  });
});
