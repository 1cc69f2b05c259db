/** The database of sessions: subscriptions, queues, wills and the ingest journal, in one log. */

import { Level } from 'level';
import { openLevel } from './control-store.ts';

export type SessionsDatabase = Level<string, unknown>;

/** @throws DroverError DATA_LOCKED, FILE_UNREADABLE */
export async function openSessions(folder: string): Promise<SessionsDatabase> {
  const database: SessionsDatabase = new Level(folder);
  await openLevel(database, folder);
  return database;
}
