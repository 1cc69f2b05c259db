/**
 * The catalogue of everything that can be refused or go wrong. Codes are stable: robots put them
 * on the wire and people search for them, so they are only ever added. Messages are free to change.
 * `docs/errors.md` lists every entry; a test keeps the two equal.
 * Sans-I/O.
 */

import { AGENT_CODES } from './error-catalogue-agent.ts';
import { APPROVAL_CODES } from './error-catalogue-approvals.ts';
import { BOOT_CODES } from './error-catalogue-boot.ts';
import { ENROLMENT_CODES } from './error-catalogue-enrolment.ts';
import { LOG_CODES } from './error-catalogue-log.ts';
import { MEMBER_CODES } from './error-catalogue-members.ts';
import { MODULE_CODES } from './error-catalogue-modules.ts';
import { refused, unfinished, unreachable, usage, type CatalogueEntry } from './catalogue-entry.ts';
import { SLOT_CODES } from './error-catalogue-slots.ts';

export type { CatalogueEntry, Exit, Fault, Retry } from './catalogue-entry.ts';

const LOOK_AT_DISK = 'look at the disk that the message names: dmesg, df -h PATH, df -i PATH';

export const CATALOGUE = {
  // Command line and files
  INTERNAL: {
    fault: 'us',
    retry: 'never',
    exit: 1,
    hint: 'report this with the output of --debug',
  },
  USAGE: usage('run the command with --help'),
  FILE_UNREADABLE: usage('look at the path in the message: ls -ld PATH'),
  FILE_REFUSED: usage(
    'look at the path in the message: is its folder there, may this user write there, does something else stand there (ls -ld PATH)',
  ),
  FILE_LOCKED: refused(
    'operator',
    'run the command again when the other one has ended; a lock that a killed command left behind counts for nothing, after a minute at the latest',
    'later',
  ),
  FILE_EXISTS: usage(
    'choose another --out, or remove the file yourself; keys are never overwritten',
  ),
  PROFILE_UNKNOWN: usage('drover config list names them; drover config set NAME makes one'),
  PROFILES_INVALID: usage(
    'mend the file that the message names, or move it away and set your profiles again',
  ),
  PROFILES_UNSAFE: usage(
    'the file names the broker, the trust and the login of your commands: let nobody else write it or its folder, as the message says',
  ),
  SITE_UNNAMED: usage(
    'give its MQTT address as well: --broker URL, or drover config set NAME --broker URL; drover-broker --public-mqtt URL lets the broker name it (a broker of 0.1 cannot)',
  ),
  SITE_DOOR_REFUSED: refused(
    'operator',
    'when the address in the message is right, ask for it: --broker URL, or drover config set NAME --broker URL',
  ),
  KEY_MISSING: usage(
    'give --key FILE, set DROVER_KEY to 64 hex digits, or use --key-command or --sign-command',
  ),
  KEY_IS_PEM: usage(
    'convert it: openssl pkey -in key.pem -outform DER | tail -c 32 > key.raw, or drover keygen --from-pem key.pem --out NAME',
  ),
  KEY_BAD_LENGTH: usage(
    'a key file holds exactly 32 raw bytes: make one with drover keygen; a .pub is the public half, the .key beside it signs',
  ),
  KEY_WRONG_KIND: usage('Drover signs with Ed25519 only: make a key with drover keygen --out NAME'),
  KEY_COMMAND_FAILED: usage(
    'run the command by hand: it must print the 32-byte seed, raw or as 64 hex digits',
  ),
  SIGN_COMMAND_FAILED: usage(
    'run the command by hand: it reads the message from standard input and prints the 64 bytes of its Ed25519 signature, raw or as 128 hex digits',
  ),
  CREDENTIALS_INVALID: usage('make the file with drover-broker passwd'),
  LISTEN_FAILED: usage('give another port (0 for any), or stop the program that uses this one'),
  ROBOT_ID_TWICE: refused(
    'operator',
    'give one of the two robots another --id and credential; a copied card needs both replaced',
    'later',
  ),
  DATA_LOCKED: usage('stop the other drover-broker, or give this one a --data folder of its own'),
  DATA_NOT_EMPTY: usage('name an empty --data folder: a restore never mixes with what is there'),
  DATABASE_DAMAGED: usage(
    'stop the broker and run drover-broker repair --data FOLDER, or restore a backup into an empty folder',
  ),
  REPAIR_FAILED: usage(
    'restore a backup into an empty folder; without one, move the damaged database away: robots report again and bundles are published again',
  ),
  REPAIR_UNFINISHED: usage('run drover-broker repair --data FOLDER again: it goes on'),
  RESTORE_UNFINISHED: usage('empty the folder and run drover-broker restore again'),
  BIND_UNSAFE: usage('give --credentials FILE, or --allow-anonymous if the network is yours alone'),

  // Documents
  BACKUP_BUSY: usage('wait until the other backup has ended, or end the program that takes it'),
  BACKUP_DAMAGED: refused('operator', 'take another backup: nothing of this one was restored'),
  JSON_INVALID: refused('peer', 'produce the document again with drover; do not edit signed files'),
  DOCUMENT_TOO_LARGE: refused('peer', 'shrink the document below the limit that is named'),
  MANIFEST_INVALID: refused('operator', 'build the bundle again with drover build'),
  BUNDLE_INCOMPLETE: refused(
    'operator',
    'a bundle holds manifest.json, payload.tar.gz and signature.sig',
  ),
  BUNDLE_UNSIGNED: refused('operator', 'sign it: drover sign BUNDLE --key release.key'),
  SIGNATURE_MALFORMED: refused(
    'peer',
    'signature.sig holds exactly 64 raw bytes: sign the bundle again',
  ),
  BUNDLE_SIGNATURE_BAD: refused(
    'peer',
    'the bundle was changed after signing, or signed by a key that is not trusted here',
  ),
  BUNDLE_KEY_UNKNOWN: refused(
    'peer',
    'sign the bundle with a key of the release role of trust.json',
  ),
  BUNDLE_SIGNATURES_TOO_FEW: refused(
    'operator',
    'let another release key sign: drover sign BUNDLE --key OTHER --add',
  ),
  ATTACHMENT_INVALID: usage(
    'give --sbom a CycloneDX or SPDX file in JSON, --provenance an in-toto statement in JSON',
  ),
  ATTACHMENT_MISMATCH: refused(
    'peer',
    'the attachment is not the one that was signed: build and sign again',
  ),
  PAYLOAD_HASH_MISMATCH: refused(
    'peer',
    'the payload is not the one that was signed: build and sign again',
  ),
  PAYLOAD_SIZE_MISMATCH: refused(
    'peer',
    'the payload is not the one that was announced: publish the bundle again',
  ),
  PAYLOAD_TOO_LARGE: refused('operator', 'use a larger --chunk-size or split the component'),

  // Trust
  TRUST_INVALID: refused('operator', 'make trust.json with drover trust init'),
  TRUST_EXPIRED: refused(
    'operator',
    'compare the date in the message with the clock of this machine first: date -u, timedatectl; where the clock is right, use the newest trust.json (--trust), and if there is none that is valid: drover trust rotate, then drover trust publish',
    'later',
  ),
  TRUST_EXPIRING: refused(
    'operator',
    'publish a newer root in time with drover trust rotate and drover trust publish',
    'later',
  ),
  TRUST_LOST: refused(
    'operator',
    'publish the updates of trust.json (drover trust publish), or give the robot the newest with --trust',
    'later',
  ),
  TRUST_VERSION_WRONG: refused(
    'operator',
    'publish the updates of trust.json one after the other, none left out; a version that is in force needs no other: use its file with --trust',
  ),
  ENVELOPE_MALFORMED: refused(
    'peer',
    'only drover publish writes this topic: see who else may, in the credentials file or the ACL of the engine (drover-broker acl)',
  ),
  ENVELOPE_TYPE_WRONG: refused(
    'peer',
    'a signed document of another kind was sent here: see who may write this topic, in the credentials file or the ACL of the engine (drover-broker acl)',
  ),
  ENVELOPE_KEY_UNKNOWN: refused('peer', 'sign with a key of the role that trust.json names'),
  ENVELOPE_SIGNATURE_BAD: refused(
    'peer',
    'the document was changed after signing: publish it again',
  ),
  ENVELOPE_SIGNATURES_TOO_FEW: refused(
    'operator',
    'have it signed by as many keys of that role as trust.json asks for: with several --key or --sign-command where it is made; later and on other machines with drover sign FILE --add (an announcement, a bundle) or drover trust sign FILE (a trust root)',
  ),
  ANNOUNCEMENT_INVALID: refused('peer', 'publish again with this version of drover'),
  ANNOUNCEMENT_REPLAYED: refused(
    'peer',
    'a newer announcement was seen before; if this is not an attack, publish again',
  ),
  ANNOUNCEMENT_AHEAD: refused(
    'operator',
    'set the clock of the machine that signed it, or of the one that refuses it, then publish again; when neither is wrong a key is stolen: drover trust rotate without it',
    'later',
  ),
  ROBOT_CLOCK_OFF: refused(
    'operator',
    'set the clock of that robot: date -u, timedatectl (NTP, or the battery of its clock); with a wrong one it may refuse what is announced as expired or as from the future, and never has a place of a budget in time; when many robots say so, set the clock of the broker that leads',
    'later',
  ),
  BROKER_CLOCK_OFF: refused(
    'operator',
    'compare the clocks of broker and robots: date -u, timedatectl; while they differ, robots may ignore what the controller tells them',
    'later',
  ),
  ANNOUNCEMENT_EXPIRING: refused(
    'operator',
    'publish again, or run a controller (drover-broker --rollout-key), which announces again in time',
    'later',
  ),
  ANNOUNCEMENT_EXPIRED: refused(
    'operator',
    'publish again (drover publish); when that changes nothing, compare the clocks of publisher, broker and robot: date -u, timedatectl',
    'later',
  ),
  FLEET_WRONG: refused('operator', 'publish with the trust.json of this fleet'),

  // A robot's refusals
  ARCH_WRONG: refused('operator', 'build the bundle for the arch of this robot'),
  TOO_OLD: refused(
    'operator',
    'publish a full package or a stepping-stone version this robot can take',
  ),
  NOT_NEWER: refused(
    'operator',
    'publish a higher version; going back is drover rollout rollback, or a release that was built with --downgrade-from',
  ),
  BELOW_HIGHEST: refused(
    'operator',
    'publish a higher version; to go down on purpose: drover build --downgrade-from VERSION, signed by a release key',
  ),
  RELEASE_BOUNDS: refused(
    'operator',
    'publish with what the manifest asks for (drover inspect BUNDLE), or let a release key sign one that asks for less',
  ),
  VERSION_REUSED: refused(
    'operator',
    'build it again under a higher version: a version names the same bytes for ever, and build metadata (+x) does not make it another one',
  ),
  FAILED_BEFORE: refused(
    'operator',
    'publish what is mended under a higher version, or lift the block on the robot: drover-robot unblock VERSION',
  ),
  COHORT_CLOSED: refused(
    'operator',
    'wait: a later wave of the rollout includes this robot',
    'later',
  ),
  ROLLOUT_STOPPED: refused('operator', 'nothing to do: the rollout is paused or halted', 'later'),
  ROLLOUT_RECALLED: refused('operator', 'publish a fixed version: this one is blocked here'),
  SET_FAILED: refused(
    'operator',
    'look at the component that the message names: all of a set are taken or none; mend that one and publish the set again, or lift its block: drover-robot unblock ITS_VERSION',
    'later',
  ),
  SET_INCOMPLETE: refused(
    'operator',
    'give the robot the component that the message names, or leave this robot out (--tags, --robots); the set is looked at again by itself',
    'later',
  ),
  SETS_UNKNOWN: refused(
    'operator',
    'update the agent of these robots first, or leave them out (--tags, --robots); to announce it all the same, one by one there: --anyway',
  ),
  START_AWAITED: refused('operator', 'wait: the rollout starts at the time that it names', 'later'),
  START_UNKNOWN: refused(
    'operator',
    'update the agent of these robots first, or leave them out (--tags, --robots); to announce it all the same, at once there: --anyway',
  ),
  BUDGET_UNKNOWN: refused(
    'operator',
    'update the agent of these robots first, or leave them out (--tags, --robots); to announce it all the same, without a bound for them: --anyway',
  ),
  SET_MIXED: refused(
    'operator',
    'a set has at most one system image, and beside an image only bundles without a module: publish the others alone, and say in them what they need: drover build --requires system=RANGE',
    'later',
  ),
  SET_IMAGE_UNREADY: refused(
    'operator',
    'run drover-robot recover at each boot with the same --boot as the agent (the packaged units read both from /etc/default/drover-robot), restart the robot, and look at its output: journalctl -u drover-recover',
    'later',
  ),
  SET_IMAGES_UNKNOWN: refused(
    'operator',
    'update the agent of these robots and give drover-robot recover the same --boot as the agent, or leave them out (--tags, --robots); to announce it all the same: --anyway',
  ),
  RECALL_IMPOSSIBLE: refused(
    'operator',
    'publish a fixed version: this robot has no release to go back to',
  ),
  DISK_SPACE_SHORT: refused(
    'operator',
    'free space on the robot (df -h ROOT); it tries again by itself',
    'later',
  ),

  // Transfer
  CHUNK_INDEX_INVALID: refused('peer', 'publish the bundle again'),
  CHUNK_HASH_MISMATCH: refused(
    'peer',
    'the bytes are not what their address says: upload them again',
  ),
  CHUNK_TOO_LARGE: refused('operator', 'publish with a smaller --chunk-size'),
  CHUNK_UNAVAILABLE: refused(
    'peer',
    'send again what the broker lost: drover publish BUNDLE --upload-only',
    'later',
  ),
  UPLOAD_INCOMPLETE: {
    fault: 'peer',
    retry: 'later',
    exit: 4,
    hint: 'run the same publish again: it sends only what is missing',
  },
  BROKER_UNREACHABLE: unreachable(
    'see that the URL of --broker (drover, drover-robot), --engine or --upstream (drover-broker), or --api (drover rollout) is right and answers: curl http://HOST:8080/healthz',
  ),
  LINK_SLOW: unreachable(
    'wait, it goes on by itself; when this lasts, measure the link with ping: docs/network.md says what is done on a slow one',
  ),
  BROKER_AUTH_REFUSED: refused(
    'operator',
    'give a user of the credentials file: --username NAME --password-file FILE (drover, drover-robot), --engine-username or --upstream-username and their -password-file (drover-broker); drover-broker passwd --file FILE --user NAME --role ROLE sets one',
  ),
  CLIENT_ID_REFUSED: refused(
    'operator',
    'the log of the broker says why (client id refused). A session of another user: drover fleet sessions --api URL lists it, drover fleet remove-session CLIENT ends it. An id that is reserved: log in as its own user (docs/operations.md, Roles); a robot as the user whose robot_id is its --id (drover-broker passwd --robot-id)',
    'later',
  ),
  TLS_INVALID: usage(
    'give PEM files that fit together: --tls-cert, its --tls-key, and the authority of --client-ca',
  ),
  TLS_CLIENT_REFUSED: refused(
    'operator',
    "have the site's authority sign a certificate for this robot: docs/tls.md",
  ),
  BROKER_REFUSED: refused(
    'peer',
    'read the log of the broker: journalctl -u drover-broker, or what it wrote on stderr',
    'later',
  ),
  ENGINE_TOPIC_DENIED: refused(
    'operator',
    'let this user read and write the topics that docs/engines.md lists for drover-broker --engine',
    'later',
  ),
  ENGINE_NOT_DELIVERING: refused(
    'operator',
    'restart the engine, and update it if it is nats-server: 2.9.10 may come up like this after a restart (docs/engines.md)',
    'later',
  ),
  ENGINE_UNFIT: refused(
    'operator',
    'use an engine that docs/engines.md names as tested, or drover-broker without --engine',
  ),
  CHUNKS_LOST: refused('operator', 'publish the bundle again: it uploads what is missing', 'later'),
  STORE_FULL: refused(
    'operator',
    'raise --max-store on the broker, or lower --keep-unannounced there: uploads that nothing announces go after that time; what is withdrawn makes room after an hour',
    'later',
  ),
  DISK_FULL: refused(
    'operator',
    'free space on the disk that the message names (df -h PATH), or inodes where df -i PATH shows none left',
    'later',
  ),
  ACCESS_DENIED: refused(
    'operator',
    'use a user whose role may do this (--username and --password-file, or --token-file): docs/operations.md has a table of roles; drover-broker passwd --file FILE --user NAME --role ROLE sets one',
  ),
  NO_CONTROLLER: refused(
    'operator',
    'start the broker with --rollout-key, or ask the one that leads',
  ),
  NOT_LEADING: refused('peer', 'say it to the broker whose controller the message names', 'later'),
  NOT_LED_YET: refused(
    'peer',
    'say it again after the time in the message; the drover command does so by itself',
    'later',
  ),
  EVIDENCE_DIFFERS: {
    fault: 'us',
    retry: 'later',
    exit: 1,
    hint: 'report this with the line of the log; the pass was decided by the full computation, which every robot is counted for',
  },
  ROLLOUT_FINAL: refused('operator', 'publish a fixed version: what was stopped stays stopped'),
  ROLLOUT_COMMAND_INVALID: refused('operator', 'drover rollout status ID says what it waits for'),
  ...APPROVAL_CODES,
  ROLLOUT_HALTED: refused('operator', 'read why: drover rollout history ID; then publish a fix'),
  ROLLOUT_NO_EFFECT: refused(
    'operator',
    'read the reasons: drover rollout status ID; publish something that these robots can take',
  ),
  ROLLOUT_SUPERSEDED: refused(
    'operator',
    'watch the one that took its place: drover rollout list names what is announced',
  ),
  ROLLOUT_ROBOTS_UNABLE: unfinished(
    'mend them: drover fleet robots says what is wrong with each; they take it then; to end it without them: drover rollout abort ID',
  ),
  WATCH_TIMEOUT: unreachable('watch again, or see what it waits for: drover rollout status ID'),
  NOTIFY_FAILED: refused('operator', 'run the program of --notify by hand with an entry as input'),
  AUDIT_BROKEN: refused(
    'operator',
    'entries were changed, removed or moved: compare with an older export and with the log of the broker, and find out who may write that file or --data of the broker',
  ),
  AUDIT_CUT: refused(
    'operator',
    'the export does not reach what you kept: export it again (drover audit export), and when it stays so, entries were removed at the broker, or it was restored from an older backup',
  ),
  LEASE_INVALID: refused(
    'peer',
    'only a controller writes fleet/controller: see who else may, in the credentials file or the ACL of the engine (drover-broker acl)',
  ),
  ROLLOUT_OVERLAP: refused(
    'operator',
    'replace the other rollout with --supersede ID, or stand beside it with --alongside',
  ),
  NO_ROBOT_TAKES_IT: refused(
    'operator',
    'look at what the robots run with drover fleet robots --broker URL; to announce it all the same: --anyway',
  ),
  SEQ_CONFLICT: refused(
    'peer',
    'somebody else published at the same moment: run publish again',
    'now',
  ),

  // Install
  ARCHIVE_CORRUPT: refused(
    'operator',
    'build the bundle again: the payload is not a gzip-compressed tar',
  ),
  ARCHIVE_UNSAFE: refused('operator', 'remove the entry that is named from the application tree'),
  XATTRS_REFUSED: usage(
    'set capabilities and ACLs on the robot in the start hook, or pack without them: --drop-xattrs',
  ),
  XATTRS_UNREADABLE: usage('apt install attr, or pack without extended attributes: --drop-xattrs'),
  ROOT_SPLIT: refused(
    'operator',
    'put the whole --root on one file system: move the folder that is named back into it',
    'later',
  ),
  ARCHIVE_TOO_LARGE: refused(
    'operator',
    'the payload unpacks to more than the limits allow: split it',
  ),
  SWAP_FAILED: refused('operator', LOOK_AT_DISK, 'later'),
  ...SLOT_CODES,
  HOOK_FAILED: refused(
    'operator',
    'run the hook by hand: the report holds its last output',
    'later',
  ),
  READY_DEADLINE: refused(
    'operator',
    'see what kept the robot busy as the message says it: its hook ready or POST /ready; a longer --ready-deadline waits longer; it is tried again by itself',
    'later',
  ),
  READY_LEASE_LOST: refused(
    'operator',
    'the application that held the robot ready (POST /ready with hold_s) withdrew, or did not renew in time: give it a hold_s that is longer than the hook stop takes, or let a process renew that stop does not end; it is tried again by itself',
    'later',
  ),
  HOOK_TIMED_OUT: refused('operator', 'make the hook answer within its time-out', 'later'),
  HEALTH_FAILED: refused('operator', 'fix the application and publish a higher version'),
  HEALTH_DEADLINE: refused(
    'operator',
    'fix the application or raise --health-timeout, and publish again',
  ),
  ACTIVE_CHANGED: refused(
    'operator',
    'somebody led active to another release than the one that was updated to: it is not installed again by itself; nothing has to be done to stay on what runs, drover-robot retry takes it after all, and so does another rollout',
  ),
  BOOT_LIMIT_REACHED: refused(
    'operator',
    'fix the application: it never became healthy before the next boot',
  ),
  START_LIMIT_REACHED: refused(
    'operator',
    'the agent was started again and again while this version was on probation: look in its journal why it ended (journalctl -u drover-robot), mend that, and lift the block of a version that is good: drover-robot unblock VERSION',
  ),
  LOOP_STOPPED: refused('us', 'report this with the state folder of the robot'),
  ROLLBACK_FAILED: refused(
    'operator',
    'go to the robot: look with ls -l and lsattr -d at the path in the message or at its root (active, rollback, active.new), or at the program in its modules.d that failed, mend it, then type drover-robot retry; it is tried again by itself as well, less and less often',
  ),
  RELEASE_DAMAGED: refused(
    'operator',
    'files of a release are gone or others: drover-robot recover --root DIR --no-boot, with the agent stopped, leads to one that is whole, and drover-robot retry tries a rollback again; a newer version replaces it; look at the disk (dmesg, smartctl -a DEVICE) before you trust it',
    'later',
  ),
  BOOT_NOT_COUNTED: refused('operator', 'make room on the disk of the robot, or mend it', 'later'),
  STATE_CORRUPT: refused(
    'operator',
    'the state file was set aside; drover-robot recover rebuilt it from the links',
  ),
  STATE_LOST: refused(
    'operator',
    'find out what removes, damages or replaces the state folder (findmnt -T ROOT shows a tmpfs; or a cleaner); the robot watches the health of what runs as after an update',
    'later',
  ),
  STATE_NEWER: refused(
    'operator',
    'install the drover-robot that wrote the state, or a newer one; until then the state is left alone and no update is taken',
    'later',
  ),
  NOT_A_FILE: refused(
    'operator',
    'something else stands where the message names a file or folder of Drover: move it away',
    'later',
  ),
  PERMISSION_DENIED: refused(
    'operator',
    'this user may not read or change the path in the message: ls -ld PATH shows whose it is; run the command as that user or as root; nothing counts as lost for it',
    'later',
  ),
  DISK_WRITE_FAILED: refused('operator', LOOK_AT_DISK, 'later'),
  DISK_READ_ONLY: refused(
    'operator',
    'mount the disk that the message names read-write (mount -o remount,rw); after an error of the file system (dmesg) that is not enough: stop agent and application, umount, fsck, mount; it is looked at again by itself',
    'later',
  ),
  LOCAL_API_INVALID: refused('operator', 'see docs/robot-integration.md for the local API'),
  SOCKET_UNUSABLE: usage(
    'move away what stands at the path of the message, or give another --socket: a short path in a folder the agent may write to',
  ),
  ROBOT_ALREADY_RUNNING: refused(
    'operator',
    'stop the other first (fuser -v DIR names it); each agent needs a --root of its own',
  ),
  ROBOT_STARTING: refused(
    'operator',
    'ask again in a moment; a disk that does not answer for minutes has to be looked at (dmesg)',
    'later',
  ),
  ROOT_REPLACED: refused(
    'operator',
    'mount what belongs at the path of the message: the agent goes on by itself; to begin with what stands there now, restart the agent (a disk that is not mounted is then ROOT_NOT_MOUNTED)',
    'later',
  ),
  ROOT_NOT_MOUNTED: refused(
    'operator',
    'mount what the message names: the agent goes on by itself; if the root was moved on purpose, remove the file that the message names',
    'later',
  ),
  STATE_GONE: refused(
    'operator',
    'remove nothing from state/ while the agent runs; it makes folder and socket again within two minutes, and an application that uses POST /ready has to say it again',
    'later',
  ),
  FLOCK_MISSING: usage('install util-linux, which brings flock: apt install util-linux'),
  ROOT_LOCK_FAILED: refused(
    'operator',
    'put the root on a file system that can lock a folder, such as ext4, btrfs, xfs or f2fs',
  ),
  ROOT_OTHER_COMPONENT: refused(
    'operator',
    'give this root with the name that the message says it has (--root NAME=DIR); if the component was renamed: stop the agent, remove state/component from the root, start it again',
    'later',
  ),
  ROOT_ABSENT: refused(
    'operator',
    'check the path of --root; a root that is new is made by the agent at its first start',
    'later',
  ),
  ROOT_NOT_UTF8: refused(
    'operator',
    'rename the folder in the path of --root whose name has bytes that are not UTF-8 (ls -b shows them), or give a root elsewhere; nothing was touched',
    'later',
  ),
  ROOTS_OVERLAP: usage(
    'give each component a folder of its own, none of them inside another; no link or mount may make releases/, state/ or another folder of one a folder of another',
  ),
  ROBOT_NOT_RUNNING: unreachable(
    'start the agent: drover-robot --id ID --broker URL --root DIR --trust FILE',
  ),

  // The agent as a component
  ...AGENT_CODES,

  // System images
  ...BOOT_CODES,

  // Deltas; a robot that meets one of these takes the full payload instead
  ZSTD_MISSING: usage(
    'install zstd 1.4.5 or newer (apt install zstd), or build without --delta-from',
  ),
  ZSTD_FAILED: refused('operator', 'run zstd by hand: the message holds its last words', 'later'),
  ZSTD_TIMED_OUT: refused('operator', 'the machine is too slow or too busy for it', 'later'),
  DELTA_INVALID: refused('peer', 'build the bundle again: the delta is not what its manifest says'),
  DELTA_BASE_CHANGED: refused(
    'operator',
    'find out what writes into the release folder (find RELEASE -newer RELEASE/..): a release is never changed in place. When nothing does, the delta was built from other bytes than were published as that version',
  ),
  DELTA_BASE_OTHER: refused(
    'operator',
    'build the bundle again: give --delta-from the very image that was published as that version (drover inspect shows its hash); robots take the full image meanwhile',
  ),
  DELTA_BASE_UNUSABLE: refused(
    'operator',
    'mount the slot that runs read-only (findmnt shows how it is mounted, dmesg what is wrong with its device); this update comes as the full image, after which the agent knows the slot again',
  ),
  DELTA_MEMORY_SHORT: refused(
    'operator',
    'build on a machine with more memory free; robots without zstd take full payloads meanwhile',
  ),
  DELTA_RESULT_WRONG: refused('peer', 'build the bundle again from the base that robots run'),
  DELTA_INTERRUPTED: refused(
    'operator',
    'see whether the robot runs out of memory while it patches: dmesg, free -m',
  ),

  // Files that cross an air gap.
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

  ...LOG_CODES,

  // Enrolment
  ...ENROLMENT_CODES,

  // Machines and modules
  ...MODULE_CODES,

  // Several computers in one robot
  ...MEMBER_CODES,

  // HTTP
  HTTP_UNAUTHORIZED: refused(
    'operator',
    'give a token of the credentials file: --token-file FILE or DROVER_TOKEN (drover rollout), Authorization: Bearer TOKEN (curl); drover-broker passwd --file FILE --user NAME --role ROLE makes one',
  ),
  METHOD_NOT_ALLOWED: usage('use a method that the header Allow of the answer names'),
  SIGN_IN_REFUSED: refused(
    'operator',
    'type user name and password again, or leave the name empty and give a token; drover-broker passwd --file FILE --user NAME --role ROLE gives new ones',
  ),
  SIGN_IN_LIMITED: refused(
    'operator',
    'wait as long as the message names, or sign in from another address; nothing else is locked',
    'later',
  ),
  CONNECTIONS_FULL: refused('operator', 'too many at once: try again in a moment', 'later'),
  ROBOT_ONLINE: refused(
    'operator',
    'stop its agent first, and end its credential (an enrolled robot: drover fleet revoke ID; else take its user out of the credentials file): what is on reports again at once',
    'later',
  ),
  FAILURE_LOG_NONE: refused(
    'operator',
    'an agent keeps a log when an update fails, and hands it over unless it runs with --logs never or is too old to do so; on the robot it stands in state/logs of the root',
  ),
  FAILURE_LOG_UNANSWERED: refused(
    'operator',
    'when the robot is offline, ask again when it is back: drover fleet robot ROBOT shows it; one that is online is slow, runs an older agent with --logs never, or was asked too often: it answers a few questions at once and then one in ten minutes; a stock engine has to let robots write their logs (drover-broker acl prints its rules)',
    'later',
  ),
  FAILURE_LOG_INVALID: refused(
    'peer',
    'ask the robot again; when it stays so, copy the log from state/logs of its root and read it with zcat',
  ),
  NOT_FOUND: refused(
    'operator',
    'list what exists: drover rollout list --api URL (rollouts), drover fleet robots --broker URL (robots), drover-robot status --root DIR (components and blocked versions)',
  ),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;
