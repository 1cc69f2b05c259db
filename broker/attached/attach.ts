/**
 * Puts together the engine of a broker that is attached to an external engine (`--engine`): three
 * MQTT connections, a mirror of verified documents, copies of chunks, and the check of which chunks
 * the engine holds. This file decides nothing.
 */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { BROKER_CLIENT_PREFIX } from '../../shared/formats/client-ids.ts';
import type { LiveTrust } from '../../shared/formats/trust-chain.ts';
import { FolderChunkStore } from '../chunks/chunk-store.ts';
import { collectFromEngine, type CollectingFromEngine } from './collect-from-engine.ts';
import type { BrokerEngine, Parts } from '../parts.ts';
import { readAnnouncement } from '../control/control-store.ts';
import type { AttachedSettings } from '../settings.ts';
import { StoreCheck } from './chunk-check.ts';
import { AttachedEngine } from './engine.ts';
import { EventJournal } from './event-journal.ts';
import { AttachedIntake, type AttachedIntakeOptions } from './intake.ts';
import { LogMirror } from './log-mirror.ts';
import { RetainedWatch } from './retained-watch.ts';

type AttachedParts = Parts & { readonly trust: LiveTrust };

interface Made {
  readonly engine: AttachedEngine;
  readonly garbage: CollectingFromEngine;
  readonly intake: AttachedIntake;
  readonly check: StoreCheck;
  readonly watch: RetainedWatch;
}

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function makeAttached(
  { address, profile }: AttachedSettings,
  parts: AttachedParts,
): Promise<BrokerEngine> {
  const { settings, closers, control, trust } = parts;
  const { dataFolder, storeBytesMax: bytesMax, keepUnannouncedMs: keepMs, log } = settings;
  const journal = closers.with(await EventJournal.open(join(dataFolder, 'journal')));
  const clientId = await journal.clientId(
    () => `${BROKER_CLIENT_PREFIX}${randomBytes(6).toString('hex')}`,
  );
  const disk = await FolderChunkStore.open({ folder: join(dataFolder, 'chunks'), bytesMax });
  const engine = new AttachedEngine({
    ...{ address, profile, clientId, log },
    readsLog: settings.logPolicy !== null,
  });
  const link = () => engine.chunkLink;
  const garbage = await collectFromEngine({
    ...{ dataFolder, keepMs, profile, log, trust, control, store: disk, closers, link },
    isSettled: () => engine.status.isUp,
  });
  const check = new StoreCheck({
    ...{ link, profile, log, chunks: garbage.chunks },
    rollouts: () => readAnnouncement(control)?.rollouts ?? [],
    onHeld: (hash) => garbage.held(hash),
  });
  const intake = makeIntake(parts, { journal, engine, keepsWills: profile.keepsWills });
  const watch = new RetainedWatch({
    ...{ address, profile, clientId, log },
    expected: () => intake.expected(),
    lost: (topics) => intake.lost(topics),
    tell: (problem) => engine.tellUnfit(problem),
  });
  const made = { engine, garbage, intake, check, watch };
  listen(parts, made);
  return {
    port: engine,
    isAlone: false,
    disk,
    garbage,
    databases: { journal },
    sessions: null,
    gauges: {
      connections: null,
      rate: null,
      upstream: null,
      attached: { isUp: () => engine.status.isUp, stores: () => check.states() },
    },
    storeOf: (rollout) => check.stateOf(rollout),
    expired: () => intake.expiredAnnouncement,
    isHealthy: async () => {
      await journal.assertWritable();
      const { isUp, problem } = engine.status;
      // An engine that does not return our own messages cannot lead a robot.
      return problem ?? (isUp ? true : toProblem(noLink()));
    },
    endOutdated: () => undefined,
    start: async () => await start(parts, made),
    listen: () => Promise.resolve({ mqttPort: null, mqttsPort: null, wsPort: null }),
  };
}

function makeIntake(
  { settings, control, fleet, counters, trust, events }: AttachedParts,
  { engine, ...own }: Pick<AttachedIntakeOptions, 'journal' | 'keepsWills'> & Pick<Made, 'engine'>,
): AttachedIntake {
  const { logPolicy: policy, log } = settings;
  const restore = async (topic: string, payload: Uint8Array): Promise<void> =>
    await engine.publishOwn(topic, payload);
  return new AttachedIntake({
    ...{ control, fleet, counters, trust, log, events, restore, ...own },
    logMirror: policy && new LogMirror({ policy, control, counters, log, restore }),
  });
}

const noLink = (): DroverError =>
  new DroverError('BROKER_UNREACHABLE', 'ask the engine: there is no link to it yet');

function listen({ settings, events }: Parts, { engine, garbage, check }: Made): void {
  const { log } = settings;
  const answer = async (hashes: readonly Sha256Hex[]): Promise<void> => {
    for (const hash of hashes) await garbage.wanted(hash);
    await engine.answerWant(hashes);
  };
  events.on('wanted', (hashes) => {
    // The robot sends its request again by itself.
    answer(hashes).catch((error: unknown) => {
      log.warn({ problem: toProblem(error) }, 'wanted chunks not sent');
    });
  });
  events.on('announced', () => {
    // A check that runs before this would still find a chunk that is just being cleared.
    const settled = garbage.settled().then(() => check.announced());
    inBackground(log, 'check the announcement', settled);
  });
}

/** Attaches to the engine. Resolves when its retained messages have arrived. */
async function start(
  { closers }: Parts,
  { engine, garbage, intake, check, watch }: Made,
): Promise<void> {
  await intake.remember();
  let isFirst = true;
  await engine.attach({
    copies: garbage.chunks,
    take: (heard) => intake.take(heard),
    onUp: () => intake.linkUp(),
    onSettled: () => {
      intake.settled();
      watch.soon({ isTried: isFirst });
      isFirst = false;
    },
    onDown: () => intake.linkDown(),
    onHeld: (hash) => garbage.held(hash),
    onUnanswered: () => check.suspect(),
  });
  closers.with(engine);
  check.run();
  intake.tend(); // publishes what could not be published without a link
  const tending = setInterval(() => intake.tend(), LIMITS.restoreMsMin);
  const sweeping = setInterval(() => intake.sweep(), LIMITS.presenceSilenceMs / 6);
  closers.add(async () => {
    clearInterval(tending);
    clearInterval(sweeping);
    check.close();
    await watch.close();
    await garbage.close(); // it uses the link until it has ended
  });
}
