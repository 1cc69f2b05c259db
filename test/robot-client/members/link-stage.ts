/** A leader with the pair file of one member, and the state of a component that is bound. */

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { AgentSide } from '../../../robot-client/members/computers.ts';
import { LeaderSide } from '../../../robot-client/members/leader.ts';
import {
  makePairFile,
  readPairFile,
  readPairFolder,
  type Pair,
} from '../../../robot-client/members/pair-file.ts';
import { LeaderLink } from '../../../robot-client/members/secure-link.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import type { PullListener } from '../../../robot-client/update/download.ts';
import { SetBoard } from '../../../robot-client/update/set-board.ts';
import {
  encodeMachineState,
  freshState,
  type MachineState,
} from '../../../robot-client/update/state.ts';
import { parseRobotId, type Sha256Hex } from '../../../shared/base/ids.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { announce, factsOf, makeRollout, makeWorld } from '../world.ts';

export const ROBOT = parseRobotId('amr');
export const CHUNK = utf8('a chunk of the fleet');
export const EPOCH = '0123456789abcdef';
export const RECORD = 'a'.repeat(16);
export const ID = `${RECORD}${'1'.repeat(16)}`;

/** Of `app`, in a set with `vision`. */
export function sureState(): { readonly state: MachineState; readonly set: RolloutSet } {
  const world = makeWorld();
  const rollout = makeRollout(world, { version: '1.1.0', name: 'app' }, { id: 'r-app' });
  const { verdict } = decideOffer(announce(world, [rollout]), factsOf(world, { component: 'app' }));
  if (verdict.kind !== 'take') throw new Error('the world is broken');
  const { version, payloadSha256 } = verdict.job;
  const members = ['app', 'vision'].map((component) => ({
    ...{ rollout: `r-${component}`, component, version, payload_sha256: payloadSha256 },
  })) as unknown as RolloutSet['members'];
  const set: RolloutSet = { id: 's1' as RolloutSet['id'], members };
  const job = { ...verdict.job, set, health: 'sure', commitId: ID } as const;
  return { state: { ...freshState(), phase: 'probation', job }, set };
}

/** A leader whose fleet has one chunk, and counts how often it is asked for. */
export async function stage(t: TestContext) {
  const folder = await tempFolder(t);
  const pairs = join(folder, 'members');
  await mkdir(pairs);
  const path = join(pairs, 'perception.json');
  await makePairFile(path, { robot: ROBOT, computer: 'perception', components: ['vision'] });
  const asked: Sha256Hex[] = [];
  const listeners = new Set<PullListener>();
  const log = makeLog('test', 'silent');
  const leader = new LeaderSide({
    ...{ robot: ROBOT, pairs: readPairFolder(pairs, ROBOT, ['app']).pairs, disk: realDisk, log },
    ...{ listen: { host: '127.0.0.1', port: 0 }, folder: join(folder, 'state'), arch: 'x86_64' },
    compatible: [],
  });
  const side: AgentSide = {
    board: new SetBoard(leader),
    pulls: {
      isUp: true,
      subscribeChunks: (hashes) => {
        asked.push(...hashes);
        const bytes = hashes.includes(sha256Hex(CHUNK)) ? CHUNK : utf8('other bytes');
        for (const one of listeners) one.onChunk(sha256Hex(bytes), bytes).catch(assert.ifError);
      },
      unsubscribeChunks: () => {},
      wantChunks: () => {},
      attach: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    heard: () => ({ progress: new Map(), completeSince: new Map() }),
    tell: () => Promise.resolve(),
    want: () => Promise.resolve(),
    askOrders: () => Promise.resolve(),
    onViews: () => {},
    onNews: () => {},
  };
  leader.attach(side);
  await leader.open();
  const pair = readPairFile(path);
  const link = (as: Pair): LeaderLink => {
    const made = new LeaderLink(as, { host: '127.0.0.1', port: leader.port });
    t.after(() => made.close());
    return made;
  };
  t.after(() => leader.close());
  return { folder, path, leader, pair, link, asked, side };
}

export const viewOf = (name: string, active: string | null) => {
  const state = new TextDecoder().decode(encodeMachineState(freshState()));
  const roots = [{ component: name, root: `/opt/${name}` }];
  const machine = { arch: 'aarch64', compatible: [], computer: 'perception', roots };
  return { name, state, active, rollback: null, doubt: null, ...machine };
};
