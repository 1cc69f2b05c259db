/**
 * Signs messages with a stolen rollout key, and publishes them over the connection of any client.
 */

import { readFile, rm } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { type AnnouncementFields } from '../../shared/formats/announcement.ts';
import { type ProgressFields } from '../../shared/formats/progress.ts';
import { LEASE_TOPIC, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import type { Site } from './site.ts';
import { announcementNow, leaseNow, progressNow } from '../helpers/sign-now.ts';

const DAY = 86_400_000;
const iso = (ms: number): string => new Date(ms).toISOString();
const life = (from = Date.now()) => ({ issued_at: iso(from), expires_at: iso(from + 30 * DAY) });

/** trust.json with two rollout keys, `rollout` and `stolen`: before anybody reads it. */
export async function trustTwoKeys(site: Site): Promise<void> {
  await site.drover('keygen', '--out', site.path('stolen'));
  const keys = ['release', 'rollout', 'stolen'].map((name) => site.path(`${name}.pub`));
  const [release = '', rollout = '', stolen = ''] = keys;
  const roles = ['--release', release, '--rollout', rollout, '--rollout', stolen];
  const out = site.path('trust.json');
  await rm(out);
  await site.drover('trust', 'init', ...roles, '--fleet', 'test', '--out', out);
}

export class Thief {
  readonly #wire: MqttWire;
  readonly #seed: Uint8Array;

  private constructor(wire: MqttWire, seed: Uint8Array) {
    this.#wire = wire;
    this.#seed = seed;
  }

  static async enter(t: TestContext, site: Site, url: string): Promise<Thief> {
    const options = { url, clientId: 'thief', listenForRefusals: true };
    const wire = await connectWire(options, { onMessage: () => {} }, makeLog('test', 'silent'));
    t.after(() => wire.close());
    return new Thief(wire, new Uint8Array(await readFile(site.path('stolen.key'))));
  }

  async announce(
    fields: Pick<AnnouncementFields, 'seq'> & Partial<AnnouncementFields>,
  ): Promise<void> {
    const document = { fleet: 'test', ...life(), rollouts: [], ...fields };
    await this.#say(UPDATES_TOPIC, announcementNow(document, [this.#seed]));
  }

  async progress(rollout: string, fields: Pick<ProgressFields, 'seq' | 'status'>): Promise<void> {
    const document = { fleet: 'test', rollout, ...life(), wave: 1, threshold: 1, ...fields };
    await this.#say(`fleet/rollouts/${rollout}`, progressNow(document, [this.#seed]));
  }

  async lease(term: number): Promise<void> {
    const document = {
      fleet: 'test',
      controller: 'thief',
      term,
      beat: 1,
      issued_at: iso(Date.now()),
    };
    await this.#say(LEASE_TOPIC, leaseNow(document, [this.#seed]));
  }

  async #say(topic: string, payload: Uint8Array): Promise<void> {
    await this.#wire.send(topic, payload, { retain: true, qos: 1 });
  }
}

/** A signed bundle of an application of `site.bundle`, built with more options. */
export async function buildWith(
  site: Site,
  { from, version, options }: { from: string; version: string; options: readonly string[] },
): Promise<string> {
  const out = site.path('bundles', version);
  const args = [site.path('apps', from), '--version', version, '--arch', 'any', ...options];
  await site.drover('build', ...args, '--out', out);
  await site.drover('sign', out, '--key', site.path('release.key'));
  return out;
}

/** The stolen key goes, the other stays. @returns the trust.json of then */
export async function rotateOut(site: Site, url: string): Promise<string> {
  const [old, next] = [site.path('trust.json'), site.path('trust-2.json')];
  const [rollout, root] = [site.path('rollout.pub'), site.path('release.key')];
  await site.drover(
    ...['trust', 'rotate', '--trust', old, '--rollout', rollout, '--key', root, '--out', next],
  );
  const by = ['--trust', old, '--broker', url, '--key', site.path('rollout.key'), '--fresh'];
  await site.drover('trust', 'publish', `${next}.update`, ...by);
  return next;
}
