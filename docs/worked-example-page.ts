/** The worked example as a part of docs/protocol.md. Pure. */

import { makeWorkedExample, type WorkedExample } from './worked-example.ts';

function block(language: string, text: string): string[] {
  return ['```' + language, text.trimEnd(), '```', ''];
}

function keyRows(keys: WorkedExample['keys']): string[] {
  return Object.entries(keys).map(
    ([role, { seed, public_key, keyid }]) =>
      `| ${role} | \`${seed.slice(0, 2)}\` × 32 | \`${public_key}\` | \`${keyid}\` |`,
  );
}

export async function renderWorkedExample(): Promise<string> {
  const { keys, trust_json, bundle, announcement, progress, cohort } = await makeWorkedExample();
  return [
    '',
    '| role | seed | public key | keyid |',
    '|---|---|---|---|',
    ...keyRows(keys),
    '',
    'trust.json:',
    '',
    ...block('json', trust_json),
    `payload.tar.gz, ${bundle.payload_hex.length / 2} bytes of hex:`,
    '',
    ...block('text', bundle.payload_hex),
    'manifest.json, with a line feed after the last brace:',
    '',
    ...block('json', bundle.manifest_json),
    'signature.sig, Ed25519 by the release key over the manifest and the payload hash as 32 bytes:',
    '',
    ...block('text', bundle.signature_hex),
    'The payload is one chunk, so the index is its hash; both are published as chunks:',
    '',
    ...block('text', `${bundle.payload_topic}\n${bundle.chunk_index_topic}`),
    `The message on \`${announcement.topic}\`:`,
    '',
    ...block('json', announcement.message),
    'Its payload, decoded:',
    '',
    ...block('json', JSON.stringify(JSON.parse(announcement.payload), null, 2)),
    `The message on \`${progress.topic}\`:`,
    '',
    ...block('json', progress.message),
    'Its payload, decoded: the first wave is open, for a tenth of the robots.',
    '',
    ...block('json', JSON.stringify(JSON.parse(progress.payload), null, 2)),
    '| salt | robot | SHA-256 of salt, 0x00, robot | fraction | in the first wave |',
    '|---|---|---|---|---|',
    ...cohort.map(
      ({ salt, robot, sha256, fraction }) =>
        `| ${salt} | ${robot} | \`${sha256}\` | ${fraction} | ${fraction < 0.1 ? 'yes' : 'no'} |`,
    ),
    '',
    '',
  ].join('\n');
}
