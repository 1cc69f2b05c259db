/** The database of sessions: subscriptions, queues, wills and the ingest journal, in one log. */

import { SteadyDatabase } from '../control/durable-level.ts';

export type SessionsDatabase = SteadyDatabase;

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function openSessions(folder: string): Promise<SessionsDatabase> {
  return await SteadyDatabase.open(folder, 'utf8');
}
