/** A site with a transparency log, for end-to-end tests: its key, two witnesses, and a policy. */

import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { peekEnvelope } from '../../shared/formats/envelope.ts';
import { type AnnouncementFields } from '../../shared/formats/announcement.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { announcementNow } from '../helpers/sign-now.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { Site } from './site.ts';
import { makeKey } from './site-making.ts';

const ORIGIN = 'example.org/fleet';

export class LogStage {
  readonly site: Site;
  readonly #scope: Scope;
  readonly trust: readonly string[];

  private constructor(scope: Scope, site: Site) {
    this.#scope = scope;
    this.site = site;
    this.trust = ['--trust', site.path('trust.json')];
  }

  /** @param quorum the last lines of the policy */
  static async open(scope: Scope, ...quorum: string[]): Promise<LogStage> {
    const site = await Site.open(scope);
    const stage = new LogStage(scope, site);
    const lines: string[] = [];
    for (const name of ['log', 'w1', 'w2']) {
      await makeKey(site.path(name));
      const of = name === 'log' ? ['--origin', ORIGIN] : ['--origin', name, '--witness'];
      lines.push(await site.drover('log', 'key', '--key', site.path(`${name}.pub`), ...of));
    }
    await writeFile(site.path('policy.txt'), `${lines.join('')}${quorum.join('\n')}\n`);
    return stage;
  }

  get policy(): string {
    return this.site.path('policy.txt');
  }

  /** Words of a robot that takes only what is logged. */
  get required(): readonly string[] {
    return ['--require-log', this.policy];
  }

  addArgs(url: string, bundle: string, ...more: string[]): string[] {
    const by = ['--origin', ORIGIN, '--key', this.site.path('log.key')];
    return ['log', 'add', bundle, '--broker', url, ...by, ...more];
  }

  async add(url: string, bundle: string, ...more: string[]): Promise<string> {
    return await this.site.drover(...this.addArgs(url, bundle, ...more));
  }

  witnessArgs(url: string, name: string): string[] {
    const [key, state] = [this.site.path(`${name}.key`), this.site.path(`${name}.state`)];
    const by = ['--policy', this.policy, '--key', key, '--name', name, '--state', state];
    return ['log', 'witness', '--broker', url, ...by];
  }

  verifyArgs(url: string, ...more: string[]): string[] {
    return ['log', 'verify', '--broker', url, '--policy', this.policy, ...more];
  }

  /** @returns null when it ended well */
  async codeOf(...args: string[]): Promise<string | null> {
    const child: Child = await this.site.tryDrover({}, ...args, '--json');
    const answer = JSON.parse(child.stdout) as { error?: { code: string } };
    return answer.error?.code ?? null;
  }

  /** A connection of anybody who may write. */
  async wire(url: string, onMessage = (_topic: string, _bytes: Uint8Array) => {}) {
    const options = {
      url,
      clientId: `any-${randomBytes(4).toString('hex')}`,
      listenForRefusals: true,
    };
    const wire: MqttWire = await connectWire(options, { onMessage }, makeLog('test', 'silent'));
    this.#scope.after(() => wire.close());
    return wire;
  }

  /** Announces what is announced once more, with another text in the place of its proofs. */
  async tamper(url: string, change: (proof: string) => string): Promise<void> {
    let current: Uint8Array | null = null;
    const wire = await this.wire(url, (topic, bytes) => {
      if (topic === UPDATES_TOPIC) current = bytes.slice();
    });
    await wire.subscribe([UPDATES_TOPIC], 1);
    const bytes = await waitUntil('an announcement', () => Promise.resolve(current));
    const text = new TextDecoder().decode(peekEnvelope(bytes));
    const fields = JSON.parse(text) as AnnouncementFields;
    for (const rollout of fields.rollouts) rollout.log_proof = change(rollout.log_proof ?? '');
    const seed = new Uint8Array(await readFile(this.site.path('rollout.key')));
    const next = announcementNow({ ...fields, seq: fields.seq + 1 }, [seed]);
    await wire.send(UPDATES_TOPIC, next, { retain: true, qos: 1 });
  }
}
