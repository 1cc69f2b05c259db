// Signs with an Ed25519 key that an ssh-agent holds: message on standard input, 64 bytes on standard
// output. `ssh-keygen -Y sign` is no help here, since it signs a wrapping of its own.
//
//   drover sign bundles/1.4.2 --public-key ~/.ssh/release.pub \
//     --sign-command 'node examples/signing/ssh-agent.mjs ~/.ssh/release.pub'
//
// The protocol is draft-ietf-sshm-ssh-agent; an Ed25519 signature in it is over the message itself.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
const SIGNATURE_BYTES = 64;

const string = (bytes) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

const readString = (bytes) => {
  const end = 4 + bytes.readUInt32BE(0);
  return [bytes.subarray(4, end), bytes.subarray(end)];
};

const [, , publicKeyFile] = process.argv;
const socket = process.env.SSH_AUTH_SOCK;
if (!publicKeyFile || !socket) {
  process.stderr.write('usage: SSH_AUTH_SOCK=… node ssh-agent.mjs KEY.pub <message >signature\n');
  process.exit(2);
}
const blob = Buffer.from(readFileSync(publicKeyFile, 'utf8').trim().split(' ')[1] ?? '', 'base64');
const message = readFileSync(0);
const flags = Buffer.alloc(4);
const request = Buffer.concat([Buffer.of(SIGN_REQUEST), string(blob), string(message), flags]);

const agent = connect(socket, () => agent.write(string(request)));
agent.on('error', (error) => {
  process.stderr.write(`ssh-agent: ${error.message}\n`);
  process.exitCode = 1;
});
let answer = Buffer.alloc(0);
agent.on('data', (piece) => {
  answer = Buffer.concat([answer, piece]);
  if (answer.length < 4 || answer.length < 4 + answer.readUInt32BE(0)) return;
  agent.end();
  const [body] = readString(answer);
  if (body[0] !== SIGN_RESPONSE) {
    process.stderr.write('ssh-agent: it refused to sign; is the key loaded (ssh-add -L)?\n');
    process.exitCode = 1;
    return;
  }
  const [kind, signature] = readString(readString(body.subarray(1))[0]);
  const [raw] = readString(signature);
  if (kind.toString() === 'ssh-ed25519' && raw.length === SIGNATURE_BYTES)
    process.stdout.write(raw);
  else process.exitCode = 1;
});
