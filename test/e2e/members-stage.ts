/** A robot of two computers as real processes: the leader with `app`, its member with `vision`. */

import { mkdir } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { freePort } from '../helpers/free-port.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { Robot, Site } from './site.ts';

export const NAMES = ['vision', 'app'] as const;

export interface Stage {
  readonly site: Site;
  readonly broker: BrokerChild;
  readonly leader: Robot;
  readonly member: Robot;
  /** Options of the member, as a new computer needs them. */
  readonly memberArgs: readonly string[];
  publish(version: string, ...more: string[]): Promise<string>;
  both(version: string): Promise<void>;
}

export async function stageMembers(t: TestContext, { leads = false } = {}): Promise<Stage> {
  const site = await Site.open(t);
  const controls = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
  const args = leads ? ['--trust', site.path('trust.json'), ...controls] : [];
  const broker = await startBrokerChild(t, { args });
  const pair = site.path('members', 'perception.json');
  await mkdir(site.path('members'));
  const words = ['pair', 'perception', '--id', 'amr', '--component', 'vision', '--out', pair];
  const paired = startDrover(t, 'robot-client', words);
  if ((await paired.exit).code !== 0) throw new Error(paired.describe());
  const at = `127.0.0.1:${await freePort()}`;
  const leading = ['--members', site.path('members'), '--members-listen', at];
  const leader = site.robot('amr', broker.url, leading);
  const memberArgs = ['--trust', site.path('trust.json'), '--leader', at, '--pair', pair];
  await mkdir(site.path('perception'));
  const member = new Robot(t, 'amr', site.path('perception'), memberArgs, {}, ['vision']);
  const publish = async (version: string, ...more: string[]): Promise<string> => {
    const bundles: string[] = [];
    for (const name of NAMES) bundles.push(await site.bundle(version, {}, '--name', name));
    const keys = ['--key', site.path('rollout.key'), '--trust', site.path('trust.json')];
    const to = ['--broker', broker.url, '--waves', '100', '--soak', '0'];
    return await site.drover('publish', ...bundles, '--together', ...to, ...keys, ...more);
  };
  const both = async (version: string): Promise<void> => {
    await member.runs(version, 60_000);
    await leader.runs(version, 60_000);
  };
  return { site, broker, leader, member, memberArgs, publish, both };
}
