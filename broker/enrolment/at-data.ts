/**
 * Calls the enrolment of a data folder: that of its running broker, or its database while no broker
 * runs.
 */

import { join } from 'node:path';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import { asOwnerOf, openDataFolder } from '../control/data-folder.ts';
import {
  callEnrolment,
  callEnrolSocket,
  type EnrolCall,
  type EnrolResult,
} from './enrol-socket.ts';
import { Enrolment, ENROLMENT_DATABASE } from './enrolment.ts';

/**
 * @throws DroverError FILE_REFUSED, FILE_UNREADABLE, DATA_LOCKED, RESTORE_UNFINISHED,
 *   BROKER_UNREACHABLE, and what the enrolment refuses with
 */
export async function atData(dataFolder: string, call: EnrolCall): Promise<EnrolResult> {
  const bytes = new TextEncoder().encode(JSON.stringify(call));
  await openDataFolder(dataFolder);
  return await asOwnerOf(dataFolder, async () => {
    const online = await callEnrolSocket(dataFolder, bytes);
    if (online) return online;
    const log = makeCommandLog('drover-broker');
    const enrolment = await Enrolment.open({ folder: join(dataFolder, ENROLMENT_DATABASE), log });
    try {
      return await callEnrolment(enrolment, bytes);
    } finally {
      await enrolment.close();
    }
  });
}
