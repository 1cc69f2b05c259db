/** The part of the error catalogue on files that cross an air gap. Sans-I/O. */

import { refused, usage, type CatalogueEntry } from './catalogue-entry.ts';

export const AIR_GAP_CODES = {
  PARCEL_INVALID: refused('operator', 'give a file that drover export made'),
  PARCEL_TRUNCATED: refused(
    'operator',
    'copy the file (or all of its parts) again, and unmount the stick before it is pulled out',
  ),
  PARCEL_DAMAGED: refused(
    'peer',
    'the file is not what was written: drover export it again, and ask who had the stick',
  ),
  PARCEL_SEALED: usage(
    'name the identity of this site: --identity site.agekey (drover keygen --age made it)',
  ),
  PARCEL_NOT_FOR_US: refused(
    'operator',
    'give the identity that the file was sealed for, or export it again with --to and the .agepub of this site',
  ),
  AGE_IDENTITY_INVALID: usage(
    'give the NAME.agekey that drover keygen --age (or age-keygen) wrote',
  ),
  PARCEL_OLD: refused('operator', 'a newer file was taken here before: bring the latest one'),
  PARCEL_INCOMPLETE: refused(
    'operator',
    'export again without leaving out bundles, or announce with a key of the site: --key',
  ),
  REPORT_INVALID: refused('peer', 'give a file that drover report export made, copied whole'),
  REPORT_OLD: refused('operator', 'bring the latest report: what this one says is known'),
  FILE_TOO_LARGE: usage('give --split 3900M, or format the stick as exFAT or ext4'),
} as const satisfies Record<string, CatalogueEntry>;
