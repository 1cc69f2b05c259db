/** Doors by their names on the command line. */

import type { OpenDoor } from './door.ts';
import { archiveDoor } from './doors/archive.ts';
import { documentsDoor } from './doors/documents.ts';
import { envelopesDoor } from './doors/envelopes.ts';
import { logDoor } from './doors/log.ts';
import { backupDoor, parcelDoor } from './doors/packed.ts';
import { patchDoor } from './doors/patch.ts';
import { brokerMqttDoor, httpDoor, localDoor, robotMqttDoor } from './doors/sockets.ts';
import { wordsDoor } from './doors/words.ts';

export const DOORS: Readonly<Record<string, OpenDoor>> = {
  archive: archiveDoor,
  backup: backupDoor,
  'broker-mqtt': brokerMqttDoor,
  documents: documentsDoor,
  envelopes: envelopesDoor,
  http: httpDoor,
  local: localDoor,
  log: logDoor,
  parcel: parcelDoor,
  patch: patchDoor,
  'robot-mqtt': robotMqttDoor,
  words: wordsDoor,
};
