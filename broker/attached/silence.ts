/**
 * Finds out why an engine does not send our own messages back, and describes it to the operator. A
 * new subscriber gets our retained message, unless an access list forbids writing or reading it. So
 * we ask the engine for that message before we blame an access list.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { LEASE_TOPIC } from '../../shared/formats/topics.ts';
import type { MqttWireOptions } from '../../shared/io/mqtt-wire.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { EngineLink, untilAnswered } from './link.ts';

export interface HandedOut {
  readonly topic: string;
  /** Tests each retained message that arrives. */
  isOwn(payload: Uint8Array): boolean;
  /** False when the answer is no longer needed: it is ignored then. */
  isWanted(): boolean;
}

/**
 * Asks over a separate connection: the open ones may already have a subscription to the topic.
 * @returns whether a message of ours arrived; false when the broker could not ask
 */
export async function isHandedOut(
  options: MqttWireOptions,
  { topic, isOwn, isWanted }: HandedOut,
  log: Log,
): Promise<boolean> {
  let isThere = false;
  const onMessage = (heard: string, payload: Uint8Array): void => {
    isThere ||= heard === topic && isOwn(payload);
  };
  let link: EngineLink | null = null;
  try {
    link = await EngineLink.open(options, { onMessage }, log);
    await link.wire.subscribe([topic], 0);
    await untilAnswered(() => isThere || !isWanted());
  } catch (error) {
    log.warn({ topic, problem: toProblem(error) }, 'could not ask for a retained message');
  } finally {
    await link?.close();
  }
  return isThere;
}

const notDelivering = (topic: string, engine: string, why: string): DroverError =>
  new DroverError('ENGINE_NOT_DELIVERING', `hear ${topic} on ${engine}: ${why}`);

/** The problem of an engine that delivers the lease with QoS 0 and not with QoS 1. */
export const delivers0Only = ({ name }: EngineProfile): DroverError =>
  notDelivering(
    LEASE_TOPIC,
    name,
    'it acknowledges messages of QoS 1 and does not deliver them to subscriptions with QoS 1; robots hear nothing until they connect again',
  );

/** @param isKept true when a new subscriber gets the message, so it may be written and read */
export function notEchoed(
  topic: string,
  { name, tellsForbidden }: EngineProfile,
  isKept: boolean,
): DroverError {
  if (isKept) {
    const why =
      'it hands this out to who subscribes, and does not deliver it to who has subscribed';
    return notDelivering(topic, name, why);
  }
  const how = tellsForbidden ? 'published' : 'acknowledged';
  const why = `${how} and never heard again, so this user may not write or not read it`;
  return new DroverError('ENGINE_TOPIC_DENIED', `use ${topic} on ${name}: ${why}`);
}
