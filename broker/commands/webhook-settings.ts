/** Reads the receivers of `--webhook`, with their secrets and their authority. */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { readInput, readSecret } from '../../shared/io/cli.ts';
import { isLoopback } from '../../shared/base/broker-urls.ts';
import {
  parseWebhookSecret,
  parseWebhookUrl,
  shownUrl,
  type WebhookTarget,
} from '../webhooks/post-message.ts';
import type { ServeArgs } from './serve-options.ts';

type WebhookArgs = Pick<ServeArgs, 'webhook' | 'webhook-secret-file' | 'webhook-ca'>;

/** @throws DroverError USAGE, FILE_UNREADABLE; URLs are never repeated, they may hold a secret */
export function readWebhooks(args: WebhookArgs, isLeading: boolean, log: Log): WebhookTarget[] {
  const { webhook: texts = [], 'webhook-secret-file': files = [], 'webhook-ca': caFile } = args;
  if (texts.length === 0) return [];
  const refuse = (why: string): never => {
    throw new DroverError('USAGE', `read --webhook: ${why}`);
  };
  if (!isLeading) refuse('this broker leads no rollouts (want --rollout-key or one like it)');
  if (texts.length > LIMITS.webhooksMax) {
    refuse(`too many (got ${texts.length}, want at most ${LIMITS.webhooksMax})`);
  }
  if (files.length !== 1 && files.length !== texts.length) {
    refuse(`want one --webhook-secret-file, or one for each (got ${files.length})`);
  }
  const secrets = files.map((file) =>
    parseWebhookSecret(readSecret(file, 'webhook secret').trim()),
  );
  const ca = caFile === undefined ? null : Buffer.from(readInput(caFile, '--webhook-ca'));
  return texts.map((text, at) => {
    const url = parseWebhookUrl(text);
    const secret = secrets[at] ?? secrets[0] ?? refuse('no secret');
    if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[|\]$/g, ''))) {
      const facts = { number: at + 1, url: shownUrl(url) };
      log.warn(facts, 'webhook without TLS: others may read what is sent');
    }
    return { url, secret, ca };
  });
}
