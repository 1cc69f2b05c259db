/**
 * The only home of numbers that bound something. Each has its unit in its name and its reason
 * beside it; relations between them are asserted when the module loads, so a bad edit cannot run.
 * Sans-I/O.
 */

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

export const LIMITS = {
  // Names
  idLengthMax: 64, // characters in a robot, rollout or component id: a topic level of every engine
  versionRangeLengthMax: 128, // characters in a range of versions: two bounds and a choice
  versionLengthMax: 64, // characters in a semver: it becomes a directory name
  capsMax: 16, // capabilities in one robot's state
  moduleNameLengthMax: 32, // characters in the name of a module: a file on the robot
  modulesMax: 16, // modules of one robot: its boards, containers and packages
  modelCharsMax: 64, // model in a robot's state
  machineNameLengthMax: 64, // as the longest of the Linux device trees, with room
  machineNamesMax: 8, // names of one robot: a board, its maker's series, the chip
  compatibleMax: 16, // machines that one bundle is for: it must fit into an announcement
  tagsMax: 32, // tags of one robot or one target
  targetRobotsMax: 1_000, // robot ids listed in one target: keeps an announcement in one packet

  // Chunks
  chunkBytesDefault: 256 * KiB, // measured best on aedes, mosquitto and NATS alike
  chunkBytesMin: 16 * KiB, // below this, packets cost more than bytes
  chunkBytesMax: 512 * KiB, // half of NATS' default max_payload of 1 MiB
  chunksMax: 16_384, // chunkBytesMax / 32: the index of an artifact is one chunk itself
  payloadBytesMax: 8 * GiB, // chunksMax * chunkBytesMax

  // Documents
  manifestBytesMax: 64 * KiB, // a manifest is a page of text; base64 of it must fit an announcement
  announcementBytesMax: 256 * KiB, // one packet on every engine, with room for the envelope
  trustBytesMax: 64 * KiB, // a few dozen keys
  brokerUrlsMax: 8, // nodes of one cluster in the list of a client
  trustUpdatesAheadMax: 16, // that came before the one that they follow: many years of rotations
  reportBytesMax: 16 * KiB, // one robot's state, online, event or want message
  seenBytesMax: 256 * KiB, // floors of 32 rollouts under 16 keys: 130 KiB
  jsonDepthMax: 16, // our deepest document nests 6
  signaturesMax: 16, // signatures on one envelope or bundle; thresholds are 1 to 3 in practice
  keysPerRoleMax: 16, // keys in one role
  clockStepMsMin: 2 * SECOND, // below it a wall clock is only being disciplined
  clockStepToldMs: MINUTE, // a larger step of the clock is recorded in the history of a rollout
  watchedSaveMs: 10 * SECOND, // a broker that is killed loses so much of a soak at most
  rolloutsMax: 32, // active rollouts in one announcement
  requiresMax: 16, // components that one bundle requires: as many as a robot has
  setMembersMax: 16, // rollouts of one set: as many as a robot has components
  minCanariesMax: 1_000_000, // min_canaries of a rollout: more than any fleet has robots
  wavesMax: 16, // waves of one rollout
  profilesMax: 64, // profiles of one person on the publisher's machine
  profileValueCharsMax: 1_024, // of one option in a profile: a path, or URLs of a cluster
  approversMax: 5, // users who have to approve a wave; more than a team has at hand
  // from the signature of an approval to its end: clocks of people are off by minutes
  approvalLifeMs: 60 * MINUTE,
  approvalBytesMax: 1_600, // of a signed one as text in JSON: the facts of an audit record hold it
  placesAtOnceMax: 10_000, // at_most of a budget: more than robots of one hall
  placesMax: 48, // granted and not used yet, of one rollout: with ids of 64 they fill half a report
  placeLeaseSecondsDefault: 900, // a robot begins, or is back from a reboot, within it
  placeLeaseSecondsMin: 4, // two passes of a controller: below it no robot could use a place
  placeLeaseSecondsMax: 86_400, // a robot that is away for a day is counted apart
  placeLookMs: SECOND, // a robot that waits for a place checks its clock so often
  placeAgainMs: MINUTE, // a robot whose place ended before it came asks again after this
  startAheadMsMax: 90 * DAY, // start of a rollout from now: a season; more is a slip in the year
  placesLateMax: 2, // in a row, over before they came: a slow link may delay one, a wrong clock all
  startToldMs: 2 * MINUTE, // a longer wait for the first wave is one for the start of a rollout
  wakeMsMax: 10 * MINUTE, // a robot checks so often a time that it waits for: clocks change
  attributedMax: 1_000, // entries with extended attributes in the report of one payload
  deltasMax: 16, // base versions of one bundle
  inputBytesMax: MiB, // a key, a trust.json, a policy or an identity: a page of text
  logHeldBytesMax: 64 * KiB, // lines of a log that its disk refuses; more are dropped
  traceBytesMax: 64 * MiB, // DROVER_TRACE: some 20,000 steps of a robot, days of a rollout
  attachmentsMax: 8, // of one bundle: a bill of materials, provenance, and kinds that come later
  attachmentReadersMax: 16, // requests for attachments that wait for their turn at once
  attachmentBytesMax: 16 * MiB, // the SBOM of a whole Debian image in CycloneDX is about 10 MiB
  gateSecondsMax: 30 * 86_400, // seconds a gate may wait for anything: a month
  lateSpreadSecondsDefault: 300, // robots that come after the last wave start within this span
  lateSpreadSecondsMax: 86_400, // and never later than a day
  usageStintsMax: 4, // versions of one component whose counters a report contains
  aheadMsMax: DAY, // a document may be so far ahead of a right clock: none is more wrong unnoticed
  clockWitnesses: 3, // fewer robots prove nothing against a broker's clock, unless they are all
  seqReportedAheadMsMax: 23 * 60 * MINUTE, // what a robot reports may take `seq` so far: below a day
  announcementLifeMsDefault: 30 * DAY, // a withheld newer announcement is noticed after this

  // Archive
  archiveEntriesMax: 200_000, // inodes one release may take
  archivePathBytesMax: 1_024, // one path inside the archive
  archiveNameBytesMax: 255, // one name in a path: NAME_MAX of every Linux file system
  archiveBytesMax: 32 * GiB, // unpacked bytes of one release
  archiveExpansionMax: 200, // unpacked / packed bytes: gzip of real trees stays below 50
  archiveExpansionFloorBytes: 64 * MiB, // below this the ratio is not checked (a file of zeroes)

  // Deltas: a patch is applied in pieces, each of which costs a robot dictionary + fresh bytes
  deltaDictionaryBytesMax: 80 * MiB, // what zstd may copy from while it unpacks one piece
  deltaFreshBytesMax: 40 * MiB, // what it unpacks then; with the agent below 256 MiB in all
  deltaSegmentsMax: 1_024, // pieces of one patch: archiveBytesMax of nothing but fresh bytes
  deltaCopiesMax: 65_536, // runs that are copied without zstd
  deltaCopyBytesMin: 128 * KiB, // zstd packs a shorter run as cheaply as a copy: one block of it
  deltaPlanBytesMax: 1 * MiB, // the plan at the head of a patch
  deltaBlockBytes: 64 * KiB, // dictionaries are gathered from blocks of this size
  deltaAddDictionaryBytesMax: 128 * MiB, // what a piece may add to: a robot reads it from its disk
  deltaAddFreshBytesMax: 128 * MiB, // what such a piece makes; both bound the memory of a build
  deltaAddSpareBytes: 128 * MiB, // of a build for the rows and streams of such a piece
  zstdStderrBytesMax: 4 * KiB, // last output of zstd for the report
  zstdDecodeMsMax: 5 * MINUTE, // one piece, at 200 kB/s
  zstdEncodeMsMax: 60 * MINUTE, // one piece at level 19 on a build machine that is busy
  zstdProbeMsMax: 5 * SECOND, // `zstd --version`
  leftoverMsMin: DAY, // what a build that was killed left is removed then: none takes that long

  // Over an air gap
  siteReportBytesMax: 64 * MiB, // 1,000 robots with states of the largest size
  parcelIndexBytesMax: 256 * KiB, // what an envelope can hold: 800 members
  sealHeaderBytesMax: 64 * KiB, // header of age: some 200 bytes for each site that may read it
  parcelMembersMax: 800, // 32 bundles of 7 files and 16 deltas, announcement and trust: 738
  parcelPartsMax: 999, // three digits behind the name of a file that was split
  parcelSplitBytesMin: 1 * MiB, // a smaller part is a mistake in the unit
  parcelClockMsMax: DAY, // how far ahead of our clock an unsigned file may claim to be made
  fatFileBytesMax: 4 * GiB - 1, // one file on FAT32

  // Transparency log
  logEntriesMax: 10_000, // a release each workday for 40 years; a broker holds them in memory
  logUnprovenBytesMax: 32 * MiB, // an attached broker: as many entries of 3 KiB, before their head
  logTrialsMax: 2, // links that may end while an engine is asked whether it takes messages there
  logUndosMax: 2, // put back so often at once; a topic that is changed again then waits
  logNoteBytesMax: 12 * KiB, // a checkpoint with 64 signatures of 180 bytes
  logSignaturesMax: 64, // of one checkpoint: the log, and more witnesses than a fleet has
  logProofHashesMax: 53, // of a tree with as many entries as a number can count exactly
  logProofBytesMax: 8 * KiB, // those hashes and 30 signatures; an announcement holds one a rollout
  logPolicyBytesMax: 64 * KiB, // a page for each of 3 * logPolicyNamesMax names
  logPolicyNamesMax: 64, // logs, witnesses and groups, of each: twice what every reader must take
  logLooksMax: 5, // checkpoints of others over one of ours, before it is reported

  // Pull engine
  windowChunksStart: 2, // chunks requested at once before the link was measured
  windowChunksMax: 8, // enough for 2 MiB in flight at the default size
  windowBytesMax: 2 * MiB, // memory a pull may hold, whatever the chunk size
  filtersPerSubscribeMax: 4, // what every engine takes
  pullTimeoutMsStart: 5 * SECOND, // first patience for a chunk, adapted to the link
  pullTimeoutMsMin: 2 * SECOND, // never hastier: a broker may pause for its disk
  pullTimeoutMsMax: 2 * MINUTE, // a 256 KiB chunk at 20 kbit/s takes this long
  pullOvertakenMin: 8, // later chunks that came sooner: brokers answer several questions at a time
  pullAttemptsBeforeWant: 2, // subscriptions without an answer before `want` is published
  pullAttemptsMax: 12, // then the pull gives up and names the missing chunk
  wantChunksMax: 32, // chunk ids in one want message
  downloadSyncBytes: 16 * MiB, // at most this much is fetched again after a power cut

  // Broker
  // CONNECT with will and password, before the client has logged in
  connectPacketBytesMax: 32 * KiB,
  packetOverheadBytesMax: 1 * KiB, // topic and header of a chunk packet
  connectionsMax: 1_000_000, // --max-connections: what one machine has file descriptors for at most
  connectionsMaxDefault: 10_000, // sockets: below the usual 16 k file descriptors of a service
  // a listener with so few reserves none for clients that have logged in
  connectionsUnsharedMax: 32,
  // of one credential
  connectionsPerUser: { robot: 4, relay: 16, publisher: 256, technician: 256, metrics: 4 },
  httpConnectionsMax: 1_000, // sockets of the HTTP API, beside those of MQTT
  httpRequestMs: 30 * SECOND, // a request that is not whole by then ends with its socket
  httpCheckMs: 2 * SECOND, // how often that is checked
  refusalLogMs: MINUTE, // one line a minute about each kind of refusal: strangers cause them
  storeBytesMaxDefault: 20 * GiB, // chunk store of one broker
  controlMessagesMax: 100_000, // retained control messages held in memory
  controlMessageBytesMax: 512 * KiB, // largest retained control message
  connectTimeoutMs: 10 * SECOND, // a socket without a CONNECT is closed
  drainTimeoutMs: 5 * MINUTE, // a reader is closed that takes longer for what it was sent
  sessionsMax: 2_000, // that outlive their connections: a relay for each site, and people's tools
  sessionsPerUserMax: 20, // of those: one credential must not take them all
  sessionKeepMs: 30 * DAY, // a client that was away for so long starts over, as after a reinstall
  sessionAgeMs: 60 * MINUTE, // between two counts of absent clients
  clientIdLengthMax: 128, // longer than any of ours, and a key of the database
  queuedPerSessionMax: 10_000, // QoS 1 messages kept for one offline session
  queuedBytesMax: 128 * MiB, // over all sessions, beside the chunks on an appliance's disk
  queuedBytesPerUserMax: 32 * MiB, // of those: 10,000 reports of 3 KiB
  databaseGroupBytesMax: 1 * MiB, // written with one fsync: as much as LevelDB itself would group
  backupSegmentBytes: 1 * MiB, // records of a database in one entry of a backup
  backupEntryBytesMax: 16 * MiB, // a segment with one large record more, with room for growth
  backupStallMs: MINUTE, // who reads a backup and takes nothing for so long is ended
  databaseRetryMs: 1 * SECOND, // a disk that refused a write is asked again after this
  databaseTallyMs: 1 * SECOND, // between two counts of what is durable: an fsync more at most each
  databaseTallyBytesMax: 4 * KiB, // the name of a log and a number: more is none of ours
  databaseRoomBytes: 8 * MiB, // what opening may write: two of LevelDB's 4 MiB write buffers
  diskReserveBytes: 256 * MiB, // the store stops here, so that the state databases can go on
  unreadAnswerBytesMax: 4 * KiB, // SUBACKs beside a chunk that a client has not read: 800 of them
  subscriptionsPerClientMax: 256, // topic filters of one connection
  queuedChunksPerReaderMax: 256, // chunks that wait under --max-rate: one for each filter
  rateBurstMs: 200, // of a rate that may be made up for: timers and disks are late by as much
  timerMsMax: 2 ** 31 - 1, // setTimeout takes no more: 24 days
  keepUnannouncedMsDefault: DAY, // an upload that pauses over a night, a robot that is off for one
  keepUnannouncedMsMin: SECOND, // for tests; an upload and its reading back must fit into it
  keepUnannouncedMsMax: 365 * DAY, // longer than any rollout: use --no-garbage
  garbageEarlyMs: 60 * MINUTE, // what was withdrawn stays so long, also in a full store
  garbageRoomBytes: 16 * MiB, // freed at once, so that not each chunk of an upload asks for room
  garbageLookMs: 10 * MINUTE, // between two garbage collection passes
  garbageLooksPerKeep: 8, // so that the last pass is at most an eighth of the keep time late
  garbageBatchMax: 20, // chunks removed between two pauses
  garbagePauseMs: 100, // 200 chunks a second at most: 100,000 take eight minutes beside the serving
  garbageMarksMax: 200_000, // chunks that wait to be removed: 80 MB; the rest waits for them
  engineChunksMax: 200_000, // chunks known to be on an external engine
  eventStreamClientsMax: 64, // dashboards on /events
  serialTasksMax: 100_000, // of one SerialQueue: connections and requests bound them far below
  deliverySlots: 1_000, // messages in delivery at once over all clients of the engine
  credentialsMax: 20_000, // users in a credentials file: a fleet twice the connections, and people
  // between two checks of the file: a removed user is disconnected that soon
  credentialsLookMs: 1 * SECOND,
  credentialsBytesMax: 8 * MiB, // that many lines
  enrolmentsMax: 20_000, // robots with a claim or a credential of theirs: as users of a file
  enrolmentCallBytesMax: 8 * MiB, // one call of drover-broker enrol: that many lines
  claimLifeMsDefault: 7 * DAY, // long enough to mount a delivery of robots
  claimLifeMsMin: 1 * MINUTE,
  claimLifeMsMax: 366 * DAY, // a claim is a key to the fleet in a drawer
  claimTriesMs: 1 * MINUTE, // wrong claims are counted in spans of this
  claimTriesMax: 20, // of one address in such a span: typing errors of a person
  claimTryAddressesMax: 1_000, // addresses that are counted one by one; others share a count
  csrBytesMax: 8 * KiB, // PEM of a request for a certificate: one with RSA of 4096 bits has 1.7 KiB
  certificateLifeMsDefault: 90 * DAY, // what a stolen certificate is good for at most
  certificateLifeMsMin: 2 * SECOND, // for tests; a renewal takes two round trips
  certificateLifeMsMax: 825 * DAY, // as the longest that make-certs.sh makes
  certificateBackdateMs: 60 * MINUTE, // clocks of engines and robots that are behind the broker's
  // a robot that stood in a store for a season renews by itself
  certificateGraceMs: 90 * DAY,
  authorityDaysDefault: 3_650, // of drover-broker ca init: a robot fleet lives so long
  authorityDaysMax: 9_125, // 25 years
  certificateSweepMs: 10 * SECOND, // connections whose certificate has ended are closed within this
  renewTickMs: MINUTE, // a robot looks so often whether its certificate is due
  renewRetryMsMin: MINUTE, // first wait after a renewal that failed
  renewRetryMsMax: 6 * 60 * MINUTE, // longest one: a third of 90 days has 120 of them
  enrolPollMs: 5 * SECOND, // a robot that waits for a person asks again after this
  enrolWaitMsMax: 7 * DAY, // and no longer than this
  passwordCostBytesMax: 64 * MiB, // memory times passes of one scrypt: four times what we write
  passwordChecksMax: 2, // scrypt runs at once: Node has 4 threads, and the disk needs some of them
  passwordChecksQueueMax: 256, // logins that wait for one: 10 s of work, then they try again
  pageSessionsMax: 1_000, // people signed in on the page of one broker
  pageSessionsPerUserMax: 16, // of those: browsers of one person, or of a shift with one account
  pageSessionMs: 12 * 60 * MINUTE, // then the secret is asked again: longer than a shift
  pageSessionIdleMs: 60 * MINUTE, // after the page was closed; an open one asks every few seconds
  signInSecretCharsMax: 1_024, // longer than any token or password
  signInTriesMax: 5, // wrong attempts at one user from one address, before they wait
  signInTryMs: 30 * SECOND, // until one more of them: 120 guesses an hour
  signInTriesPerAddressMax: 20, // over all users: people behind one NAT, who all mistype
  signInTryPerAddressMs: 3 * SECOND, // until one more of those
  signInKeysMax: 10_000, // addresses and users that are counted: 2 MB
  robotsMax: 100_000, // robots in the registry, also those known only from retained messages
  requestsMax: 1_000, // package requests that the API can list
  eventStreamBufferBytesMax: 1 * MiB, // unread by one dashboard before it is dropped
  recentEventsMax: 1_000, // events the API can list

  // Controller
  leaseMs: MINUTE, // without a sign of the leader for this long another may claim to lead
  leaseMsMin: 8 * SECOND, // a shorter one would be lost with every pause of a disk
  leaseMsMax: 10 * MINUTE, // a longer one leaves a fleet without a leader for a coffee break
  // two controllers that claim at once have both received the last lease by then
  leaseSettleMs: 3 * SECOND,
  commandWaitMs: 2 * MINUTE, // a new controller leads by then: leaseMs, leaseSettleMs, some passes
  commandRetryMs: 1 * SECOND, // between two tries of it
  leaseRestoreMs: 10 * SECOND, // a restored broker takes it that leaders changed so often, ever
  outrunAgainMs: 60 * MINUTE, // a robot that lies may interrupt the lease so often, and no more
  outrunGatherMs: 20 * SECOND, // robots that refuse older progress have all reported it by then
  leaseTermMax: 2 ** 28, // a change of leader each second for eight years; see seqsPerTerm
  seqsPerTerm: 2 ** 24, // progress messages of one rollout under one leader
  keyFilesLookMs: 2 * MINUTE, // a controller whose key files do not match reads them again
  reconcileIntervalMs: 2 * SECOND, // between two reconcile passes of the controller
  indexSliceRobots: 1_000, // robots of one rollout that are counted at once: about 10 ms
  countedRolloutsMax: 40, // whose robots are counted for views: 32 announced, some that ended
  indexCheckedRobots: 64, // robots at each pass whose counts are compared with the full computation
  differenceCharsMax: 2_000, // in the log, of two results that differ
  controllerStartMs: MINUTE, // robots come back first, then a controller that starts opens waves
  examplesMax: 8, // robots named in a reason
  canaryReach: 4, // a wave opens over at most so many times min_canaries to find robots that are on
  // a robot without progress of a rollout for this long does not join it any more
  progressLifeMs: DAY,
  renewBeforeMsMax: 15 * DAY, // before the end of a long life a controller announces again
  renewRetryMs: MINUTE, // between two tries of that
  trustLifeMsMin: DAY, // a shorter trust.json ends before its successor has come to every robot
  // a trust.json that ends within this is reported: a rotation takes people
  trustNoticeMs: 60 * DAY,
  announcementNoticeMs: 7 * DAY, // the same for an announcement that no controller renews
  certificateNoticeMs: 21 * DAY, // and for a certificate: most are renewed a month before their end
  expirySeekMs: 15 * MINUTE, // between two checks for it: robots report after the start
  expiryTellMs: DAY, // between two lines in the log on it
  auditEntriesMax: 10_000, // entries of one rollout: steps and commands, not passes
  auditRecordsMax: 100_000, // of the audit chain: years of a busy fleet, some 50 MB
  auditRecordBytesMax: 8 * KiB, // one line of it: a page of them fits into an answer of the API
  auditTextCharsMax: 1_000, // characters of its sentence: as the message of a problem
  auditFactsBytesMax: 2 * KiB, // facts of one record as JSON
  auditNamesMax: 20, // users or robots that one record names; the others are counted
  auditWaitingMax: 1_000, // records that wait for a disk that takes no writes
  auditWriteMsMax: MINUTE, // from the check of a signature to the hour that its entry has
  auditRetryMs: 5 * SECOND, // between two tries to write them
  auditCheckedMax: 2_000, // newest records that a start checks: some ms; verify checks all
  auditPageMax: 500, // records in one answer
  auditVerifyBytesMax: 1 * GiB, // of an exported file: auditRecordsMax of the largest records
  endedRunsMax: 256, // ended rollouts whose history is kept
  notifyMsMax: MINUTE, // a program that calls a person
  webhooksMax: 8, // receivers of one broker
  webhookMsMax: 10 * SECOND, // until a receiver has answered with a status
  webhookRetryMsMin: 2 * SECOND, // before the second attempt
  webhookRetryMsMax: 30 * MINUTE, // between two attempts at one delivery
  webhookAttemptsMax: 12, // of one delivery: two hours, as long as a site is repaired
  webhookWaitingMax: 200, // deliveries of one receiver that wait; the oldest makes room
  webhookDeliveriesShown: 100, // newest deliveries of one receiver that the API lists
  webhookSecretBytesMin: 24, // of the key that signs them: as Standard Webhooks has it
  webhookSecretBytesMax: 64,
  countedCrashesMax: 10, // crashes that one report of one robot can add: one alone proves little
  countedTasksMax: 100_000, // tasks that one report of one robot can add
  countedPastMax: 1e9, // hours, crashes or tasks that one robot's past can add
  judgedHoursMin: 0.01, // robot-hours: less than 36 s without a crash prove nothing about a version
  countedHoursMax: 24, // hours of work that one report can add
  robotsPageMax: 1_000, // robots in one page, some 2 KiB each
  rolloutRobotsPageMax: 500, // robots of a rollout in one answer: 200 KB
  historyPageMax: 500, // audit entries in one answer
  speakerCharsMax: 64, // name that a person gives of themselves
  nodeVersionMin: [20, 19] as const, // major and minor of Node.js, as package.json has it
  doctorFreeBytesMin: 64 * MiB, // less on the disk of a publisher: hardly one bundle fits
  doctorFreeBytesLow: 2 * GiB, // and less than this is short for a large release with its deltas
  doctorClockOffMs: 30 * SECOND, // clocks that agree: an answer takes seconds, a date whole ones
  doctorKnockMsMax: 5 * SECOND, // TCP and TLS to one address: a firewall that drops says nothing
  robotEventsShown: 8, // newest events of `fleet robot`: with the rest they fit on one screen
  apiAnswerMsMax: 15 * SECOND, // a CLI gives up on one call of the HTTP API after this
  apiAnswerBytesMax: 8 * MiB, // a page of history, or rolloutsMax rollouts with their targets
  watchIntervalMs: 1 * SECOND, // a watcher shows each pass of the controller
  watchRetryMsMax: 10 * SECOND, // and a broker that is back within this
  reasonsMax: 8, // sentences in one progress

  // External engines
  presenceSilenceMs: 3 * MINUTE,
  echoMsMax: 10 * SECOND, // our own message on a subscribed topic has come back by then
  wantAnswerMsMin: 5 * SECOND, // one chunk is published again at most this often
  wantAnswersMax: 1_024, // chunks answered within that time: more is not a lack but a flood
  restoreMsMin: 5 * SECOND, // a control message is published again at most this often
  eventJournalMax: 10_000, // robot events kept over restarts
  eventRetryMs: 1 * SECOND, // an event that could not be written is tried again after this
  storeCheckMs: MINUTE, // lost chunks are checked again after this
  storeCheckPatienceMs: 10 * SECOND, // an engine that serves a fleet may take this long for a chunk
  storeCheckBytesPerSecond: 16 * MiB, // a check leaves room on the link for robots

  // Site relay
  relayNameMax: 48, // it is part of client ids, which are as long as any id
  upstreamEventsMax: 50_000, // robot events that wait for the link: weeks of a site of 100 robots
  upstreamEventBytesMax: 64 * MiB, // bytes of them: a quarter of what the disk keeps for databases
  upstreamWindow: 32, // reports on the way up at once: 50 a second over a satellite
  upstreamStateMsMin: 10 * SECOND, // progress and counters of one robot go up this often
  upstreamTickMs: 1 * SECOND, // between two checks whether something is due
  upstreamHoldMs: MINUTE, // what the upstream does not allow is tried again after this
  relayWantsMax: 2, // wants for a chunk that the upstream lacks, before others go first
  relayAwayMsMax: 366 * DAY, // no report waits longer at a relay: an older one has a wrong clock
  relayProblemCharsMax: 1_000, // characters of a problem that a relay reports upstream
  relayRetryMs: MINUTE, // and it is requested again after this
  relayFloorsMax: 10_000, // rollouts whose highest progress seq is stored

  // Robot
  bootAttemptsMax: 100, // --max-boots: a robot that failed so often does not get better
  bootAttemptsMaxDefault: 3, // unconfirmed boots before a rollback
  probationStartsPerBoot: 2, // starts of the agent in a probation that count no boot, a --max-boots
  agentStartsMax: 3, // starts of a new agent without a confirmation: drover-launch has the same
  agentStartMs: 15 * MINUTE, // drover-launch ends an agent that hangs at its start after this
  agentTrialMsMax: 10 * MINUTE, // probation of an agent: it ends before agentStartMs is over
  agentTrialsMax: 3, // trials that reach no broker: with a link before each the agent is to blame
  agentUpMs: 1 * MINUTE, // an agent that runs for so long counts as one that comes up
  agentAgainMs: 60 * MINUTE, // a confirmed agent that did not come up is started again after this
  agentManifestBytesMax: 64 * KiB, // package.json of an agent; our own has 200 bytes
  healthTimeoutMsDefault: 60 * SECOND, // probation when the rollout names none
  healthTimeoutMsMax: 24 * 60 * MINUTE, // probation a rollout may ask for
  healthIntervalMs: 1 * SECOND, // between two health probes
  healthSuccessesMin: 3, // in a row: an application that alternates is not healthy
  hookTimeoutMsDefault: 30 * SECOND, // one run of a hook
  hookTimeoutMsMax: 60 * MINUTE, // an application that stops slower than this has hung
  hookOutputBytesMax: 4 * KiB, // last output of a hook for the report
  hookLogBytesMax: 32 * KiB, // last output of one run for the log of an update: a page of traces
  hookRestMax: 8, // runs of one hook whose processes live on: a daemon is one, a leak is each run
  hookOverlapBytes: 16 * KiB, // kept before that: a secret is seen whose name or begin is cut off
  // Logs of failed updates
  failureLogBytesDefault: 64 * KiB, // one log, compressed: ten pages of text cost some 8 KiB
  failureLogBytesMin: 4 * KiB, // --log-bytes: less holds no reason
  failureLogBytesMax: 1 * MiB, // --log-bytes: a minute of a slow link
  failureLogPartBytes: 128 * KiB, // of a log in one message: in base64 and JSON below the next
  failureLogMessageBytesMax: 256 * KiB, // one message: half of what every engine takes
  failureLogPartsMax: 8, // failureLogBytesMax / failureLogPartBytes
  failureLogTextBytesMax: 8 * MiB, // one log unpacked: a robot could send a bomb
  failureLogTextCharsMax: 2_700_000, // text that a robot packs: below that in UTF-8
  failureLogsKept: 3, // on a robot, for each component: the last failed updates
  failureLogSpoolBytes: 256 * KiB, // what an update under way has said so far
  failureLogFlushMs: 10 * SECOND, // output between two phases reaches the disk this often
  failureLogSectionChars: 256 * KiB, // of the journal of one unit, or of one boot
  failureLogUnitsMax: 8, // --log-unit: an application is one service or a few
  failureLogJournalMs: 5 * SECOND, // journalctl is killed then: a robot waits to go back
  failureLogAsksMax: 6, // questions that a robot answers at once: a few people read one failure
  failureLogAskMs: 10 * MINUTE, // and then one in this time: 9 MiB a day, whoever asks
  failureLogAnswerMs: 20 * SECOND, // a command waits so long for a robot: 64 KiB at 40 kbit/s
  failureLogsUnderWayMax: 16, // logs of which a reader holds some parts
  failureLogsBytesMax: 256 * MiB, // of all robots at a broker; the oldest go first
  failureLogAgeMsMax: 30 * DAY, // a broker keeps none longer
  failureMessageCharsMax: 300, // of a reason that several robots share
  failureNamedMax: 5, // robots of one reason that a line names
  failureGroupsMax: 10, // reasons that a list of failures shows
  failureTextChars: 1_000, // message or hint of a failure in a report: a screen of text
  logLineCharsMax: 4_096, // of one line in such a log: the rest of it goes
  moduleTimeoutMsDefault: 10 * MINUTE, // stage, switch, revert: a board at 115200 baud
  moduleTimeoutMsMax: 12 * 60 * MINUTE, // a whole night over a slow bus
  moduleAskMs: 30 * SECOND, // probe, version: a question to a board that starts
  moduleBootMs: 2 * MINUTE, // one verb while a boot waits for it; the agent goes on after that
  moduleOrphanMs: 10 * SECOND, // a verb that a killed agent left behind is gone by then
  processBatch: 64, // entries of /proc that are read in one go: some 2 ms
  processLookMs: 20, // between two readings of the list of processes
  processPauseMs: 500, // as far as they spread while a verb leaves something for minutes
  processLooksMax: 3, // where the list of processes changes while it is read
  moduleVersionBytesMax: 1 * KiB, // output of the verb version: a version has 64 characters
  moduleTriesMax: 3, // of confirm and version: a board may need a moment before it answers
  machineFileBytesMax: 4 * KiB, // names of the machine: a page of a device tree
  bootIdCharsMax: 64, // a UUID of the kernel
  bootTriesMax: 9, // boots of a slot on trial: one digit in GRUB's memory
  bootTriesDefault: 3, // as bootAttemptsMaxDefault: a power cut right after the choice uses one up
  bootProgramMsMax: 30 * SECOND, // fw_setenv, rauc or a program of the integrator's own
  rebootMsMax: 5 * MINUTE, // from the reboot command to the kill: systemd waits 90 s for a service
  rebootCommandMsMax: 1 * MINUTE, // the command itself, which only asks for a reboot
  slotRecordBytesMax: 16 * KiB, // version, size and hash of the image in a slot, and its set of 16
  slotReleaseBytes: 64 * KiB, // room for the folder of a release that is an image in a slot
  bootOutputBytesMax: 256 * KiB, // environment of U-Boot, or status of RAUC with all its slots
  bootTemplateBytesMax: 16 * KiB, // entry of systemd-boot: a page of text
  bootEntriesMax: 1e8, // versions of such entries, one more with each trial: eight digits
  imageBlockBytes: 256 * KiB, // of a system image in memory at once, in four buffers
  imageTarBytesMax: 64 * KiB, // of the tar around an image: headers, and the padding of GNU tar
  readyIntervalMs: 5 * SECOND, // a busy robot is asked again after this
  readyHoldMsMin: 1 * SECOND, // shorter ready leases lapse with every pause of an application
  readyHoldMsMax: 60 * MINUTE, // as hookTimeoutMsMax: a lease has to outlast the slowest stop hook
  readyHoldersMax: 8, // callers that answer POST /ready by name: more for one component is a mistake
  readyMarkBytesMax: 1 * KiB, // names of that many holders, of 64 characters each
  readyRenewalsMin: 3, // renewals by the library in one lease: a lost one does no harm
  leaseLookMs: 200, // between two checks of a lease after the switch, where its loss goes back
  leaseStopsMax: 3, // stops of one update that lost their lease: after that it waits like a failure
  windowsMax: 16, // maintenance windows of a robot: a week has fewer shifts than this
  windowLookMs: MINUTE, // between two checks of a closed window: the clock may be corrected
  stuckRetryMsMin: 5 * MINUTE, // a failed rollback is tried again after this: disks come back
  stuckRetryMsMax: 6 * 60 * MINUTE, // and this often, until a person comes
  retryDelayMsMin: 5 * SECOND, // first wait after a failed attempt
  retryDelayMsMax: 30 * MINUTE, // longest wait between attempts
  setReadyHoldsMs: 30 * SECOND, // a component was ready so lately: none stops for a busy one
  slotWordBytesMax: 4 * KiB, // id of a boot and name of a slot, as recover noted them
  slotAskTriesMax: 3, // questions of recover to the boot loader: its tool may come up late
  slotAskWaitMs: 300, // between two of them: a boot waits for it
  setRollbackWaitMs: 60_000, // a member of a set that goes back lets later ones go first, so long
  prepareMs: MINUTE, // a round in which computers of a robot say they are ready: answers age
  memberSilentMs: 15 * SECOND, // a computer of the robot that says nothing for so long is away
  memberLostMs: 2 * SECOND, // the same after its connection has ended: it may come back at once
  memberAwayMs: 10 * MINUTE, // away so long in the middle of a set: the others go back
  memberPollMs: 5 * SECOND, // the leader answers a question for news after this at the latest
  memberLookMs: SECOND, // the leader checks its time-outs about sets this often
  memberAnswerMs: 20 * SECOND, // a request between computers of a robot is given up after this
  memberRetryMsMin: 500, // first wait after a lost link between computers of a robot
  memberRetryMsMax: 5 * SECOND, // and the longest: a computer that restarts is back within this
  memberTroubleLogMs: 60 * MINUTE, // one line so often about a leader that stays out of reach
  memberRefusedLogMs: 10 * MINUTE, // one line so often about a computer that the leader refuses
  memberRefusedShownMs: MINUTE, // one that tries again: it waits 5 s between two tries
  memberTwiceMs: 2 * MINUTE, // two with one pair file: each asks for news within 5 s
  memberProveMs: 11 * SECOND, // after a start: another one with its file would have asked twice
  memberRootCharsMax: 512, // path of a root that is shown on other computers
  memberComputersMax: 16, // computers of one robot: as many as it has components
  memberRequestsMax: 8, // requests of one computer at once: chunks, reports and a question for news
  memberFileBytesMax: 4 * KiB, // the file of drover-robot pair
  memberViewBytesMax: 512 * KiB, // state of one component: two jobs with manifests in base64
  memberBodyBytesMax: 8 * MiB, // states of all components, or all that the fleet has announced
  memberChunkFetches: 4, // chunks at once from the leader to one computer
  memberChunkWaitMs: 15 * SECOND, // the leader waits so long for a chunk of the fleet
  memberCacheBytesMax: 512 * MiB, // chunks that the leader keeps for its other computers
  memberCacheRoomMin: 256 * MiB, // left free for updates of its own
  commitCauseCharsMax: 600, // why a set goes back: a reason of the fleet with some words
  commitsMax: 16, // open decisions about sets over several computers: as many as components
  goneCommitsMax: 8, // of them kept for computers that a person declared gone for good
  rollbackAttemptsMax: 3, // tries before `stuck` calls for a person
  verifyAttemptsMax: 2, // a payload whose hash is wrong twice is blocked
  persistsPerJobMax: 400, // writes of the state file for one bundle: more is a loop, end it
  blockedBundlesMax: 64, // bundles remembered as failed
  ranPayloadsMax: 64, // releases remembered that ran here: a robot may go down to those
  eventEpochsMax: 8, // starts of one agent whose events are still recognised as repeated
  twinReturnsMin: 2, // one return may be a message that was delivered late
  twinNamesMax: 4, // agents that take turns under one id
  twinWindowMs: 60 * MINUTE, // returns further apart are no sign; an alarm ends after this
  outboxEventsMax: 256, // unsent events kept through an outage
  reportIntervalMs: 2 * SECOND, // progress reports while downloading
  healthWatchMs: MINUTE, // between two health checks of a confirmed version
  reportHeartbeatMs: MINUTE, // an idle robot reports its counters this often: evidence for the gate
  // a report after so many comes with `online` once more: 60 bytes every ten minutes at most
  onlineHeartbeats: 9,
  quietHeartbeats: 10, // of so many heartbeats a robot that no rollout watches sends one
  watchedAfterUpdateMs: DAY, // of hours worked on a version, those unreported are then under 1 %
  usageTickS: 1, // run time is added in pieces of at least this
  usageGapSMax: 600, // a suspended robot did not work: a longer gap between two pieces is cut
  ordersLookMs: 15 * MINUTE, // orders are asked for again: some 12 kB of 96 KiB an hour
  ordersIdleLooks: 8, // an idle robot leaves out all but each eighth: some 4 kB of 12 KiB an hour
  expiryLookMs: MINUTE, // an announcement that went stale while nothing came is noticed by then
  retainedLookMs: 5 * MINUTE, // between two looks whether the engine retains what it should
  lookTopicsMax: 32, // filters in one such check: NATS grants one client 63
  trialAnswerMs: 8 * SECOND, // an engine that is tried out has this time for one thing
  trialQuietMs: SECOND / 2, // what has not come by then after a later message does not come
  trialLookMs: 10, // between two checks whether it has arrived
  // an engine sends its retained messages within this time after SUBACK
  progressAnswerMs: 1 * SECOND,
  ordersPerSecondMax: 10, // each costs a robot milliseconds of signatures; more than that waits
  ordersBurstMax: 160, // announcement, progress of twice rolloutsMax, a long chain of trust
  refusalToldAgainMs: 10 * MINUTE, // one kind of refused order: an event on the robot's flash each
  retrySoonMs: 10 * SECOND, // a clock put right or a disk with room again is noticed after this
  diskSpareInodes: 256, // state, links and a small tree; a larger one that fails is refused then
  stateSpares: 8, // states on a full disk: two in each boot of a trial, and two to end it
  stateSpareBytes: 32 * KiB, // several times the state of a busy robot
  socketRetryMsMax: MINUTE, // a repaired disk is noticed by then
  rootNameBytesMax: 256, // state/component: the name of one component and a newline
  claimLookMs: 20, // staging/ of an unmounted root takes no change that begins later
  fileLockLookMs: 20, // a command changes a small file in less
  fileLockWaitMs: 30 * SECOND, // a thousand of them in line, some at a time
  fileLockLeftOverMs: MINUTE, // a lock so old is of a command that was killed
  flockMs: 10_000, // one flock call; a disk that hangs is reported
  pathAnswerMs: 5 * SECOND, // a start waits for the folders of PATH; a slow card takes 2
  reserveMs: 60 * SECOND, // setting room aside on a slow card that has no extents
  diskSpareBytes: 32 * MiB, // left free beside what an update needs
  localRequestBytesMax: 16 * KiB, // body of a local API call
  localConnectionsMax: 32, // applications on the local socket at once
  localHeaderBytesMax: 8 * KiB, // head of a local API call
  localRequestMs: 5 * SECOND, // a local call that is not whole by then is ended
  localLookMs: 2 * SECOND, // and so long for reading the slots: a disk may hang
  localReadMs: 5 * SECOND, // a local call waits so long for roots that are being read at a start
  localAnswerMs: 10 * SECOND, // a caller gives up on the agent after this
  localResponseBytesMax: 1 * MiB, // answer of the local API: 16 components with their problems
  socketPathBytesMax: 107, // sun_path of Linux without its final NUL
  telemetryDeltaMax: 1_000_000_000, // one report of a counter: sums stay exact integers for ever
  hookDrainMs: 200, // the last output of a hook may come this late after its end
  earlierEffectMs: 5 * SECOND, // an aborted step in mid-write; a dead disk never ends it
  closeWaitMs: 30 * SECOND, // a write that runs when the agent stops; systemd kills after 90
  hookKillWaitMs: 5 * SECOND, // a killed hook that is stuck in the kernel is left behind after this
  stageReadBytes: 256 * KiB, // piece of the payload in memory while it is unpacked
  stageInflateBytes: 64 * KiB, // piece that gunzip hands out: 256 KiB cost 16 MiB more at the peak
  setAsideMax: 9, // names for one damaged state file: only folders and links take more than one
  adoptInodesMin: 32, // two links, an intent, a state: none may fail once a folder moved
  adoptBytesMin: 1 * MiB, // the same in bytes, with what a file system keeps for itself
  linksFollowedMax: 40, // symbolic links to one end, as the kernel has it
  releaseNamesMax: 1_000, // names in releases/ that are compared with where a slot leads
  sealLooksMax: 32, // entries of a seal that are checked in parallel
  sealLineBytesMax: 64 * KiB, // a path and a link target of 4 KiB each, escaped six times over
  confirmedMarkBytesMax: 4 * KiB, // a version of 64 characters and a hash: more is none of ours
  stagedHashMs: 20 * SECOND, // hashing of what waited to be swapped in; sizes and modes after that
  readyHoldsMs: 2 * SECOND, // a robot that reported ready is asked again after a longer time
  recoverHashMs: 20 * SECOND, // hashing at a boot after a power cut: with sizes alone after that
  adoptSealHashMs: 10 * SECOND, // hashing of what is adopted: a boot waits for it; sizes after that
  adoptSealMs: 20 * SECOND, // an adopted tree that takes longer to walk through gets no seal
  unlinkedMax: 32, // releases in the state after their links were lost: kept and reported
  damagesMax: 8, // files remembered that differed from what was installed
  stageSyncsMax: 8, // files waiting for the disk at once: thousands of small ones take seconds
  syncAllFilesMin: 32, // one syncfs, which is a process, took as long as 24 to 32 fsyncs on ext4
  syncAllMs: MINUTE, // other programs may have written much: then fsync of each file
  syncProbeMs: 5 * SECOND, // `sync --version`

  // The agent's own weight
  // bare Node 20 takes 43 MiB of it, shared only with other Node processes
  agentIdleRssBytesMax: 72 * MiB,
  agentIdleBytesPerHourMax: 12 * KiB, // MQTT both ways: 8 MiB a month on a SIM card
  agentWatchedBytesPerHourMax: 96 * KiB, // the same while a rollout wants its counters: hours, days
  deltaFailuresMax: 8, // bundles remembered because their delta did not apply
  patchStartsMax: 3, // starts of the agent in mid-patch before it takes the full payload
  recipePendingBytesMax: 4 * MiB, // of a tar between two entries; an odder one is no base

  // Log lines
  robotMessagesPerSecondMax: 50, // a robot sends one or two; each costs the broker up to 0.2 ms
  robotMessagesBurst: 1_000, // events that were kept while it was away come at once
  seldomKeysMax: 1_000, // kinds of a line that are held back one by one
  readErrorLogMs: MINUTE, // every robot asks a disk that fails: one line a minute

  // Memory
  wholeChunksMax: 20_000, // chunks known to be whole since the start: 3 MiB, and 5 GiB of store
  hotChunkBytesMax: 16 * MiB, // read a moment ago: 64 chunks that robots of one rollout share
  brokerCollectAfterBytes: 16 * MiB, // as below; a broker has more room and less time
  collectAfterBytes: 4 * MiB, // traffic after which dead buffers are freed

  // Links
  reconnectMsMin: 500, // first reconnect, with full jitter
  reconnectMsMax: 60 * SECOND, // a fleet that lost its broker returns within a minute of it
  endedSoonMs: 5 * SECOND, // a link that its peer ended before this was up and of little use
  endingsOfTwins: 5, // so many in a row look like another client with the same id
  endedLateMs: 10 * MINUTE, // twins that wait a minute each still end each other before this
  keepaliveSMax: 3600, // longer than any NAT keeps a link
  keepaliveS: 30, // a dead link is noticed after 45 s
  certificateLookMs: 5 * SECOND, // a renewed certificate is loaded within this
  linkFailureLogMs: 15 * MINUTE, // one line each about a link that cannot be made: 96 a day
  connectWaitMs: 15 * SECOND, // a CLI gives up on a broker after this
  // and after so many refused connections at once: a wrong port is reported soon
  connectAttemptsMax: 4,
  uploadWindow: 8, // unacknowledged chunks of a publisher
  uploadAckMsMax: 2 * MINUTE, // a chunk without PUBACK for this long ends the upload
  keyCommandMsMax: 2 * MINUTE, // a person may have to type a passphrase or touch a token
  leaseSignMsMax: 5 * SECOND, // a device signs for a controller: shorter than any lease
  keyCommandBytesMax: 4 * KiB, // a seed in hex is 65 bytes; a PEM is recognised within this
  journalEveryChunks: 64, // acknowledged chunks between two writes of the upload journal
  journalUploadsMax: 34, // a payload and its deltas on two brokers: one bundle's journal
  readBackAbsentMax: 8, // chunks found missing one by one before all unseen ones are sent again
  readBackPatienceMsMin: 3 * SECOND, // silence before a stored chunk counts as missing
  readBackPatienceMsUnknown: 5 * SECOND, // the same when no upload has shown how fast the link is
  readBackCheckMs: 500, // between two checks for silence
  quietMs: 400, // retained messages have all come when none came for this long
  retainedWaitMsMax: 10 * SECOND, // a listing of retained messages ends here, quiet or not
  readAnnouncementLooksMin: 3, // attempts to read it at the least, however long each took
  readAnnouncementMsMax: 5 * SECOND, // a stored announcement is readable after this
  uploadAttemptsMax: 5, // reconnects of one upload before it ends with a hint how to continue
} as const;

function assertRelation(holds: boolean, sentence: string): void {
  if (!holds) throw new TypeError(`limits.ts: ${sentence}`);
}

assertRelation(
  LIMITS.chunksMax * 32 <= LIMITS.chunkBytesMax,
  'a chunk index of chunksMax entries must fit in one chunk',
);
assertRelation(
  LIMITS.chunksMax * LIMITS.chunkBytesMax === LIMITS.payloadBytesMax,
  'the largest payload is the most chunks of the largest size',
);
assertRelation(
  LIMITS.windowChunksMax * LIMITS.chunkBytesDefault <= LIMITS.windowBytesMax,
  'the full window must be usable at the default chunk size',
);
assertRelation(
  LIMITS.manifestBytesMax * 2 <= LIMITS.announcementBytesMax,
  'an announcement must have room for the largest manifest in base64',
);
assertRelation(
  LIMITS.controlMessageBytesMax >= LIMITS.announcementBytesMax * 2,
  'a control message must hold an announcement in its base64 envelope',
);
assertRelation(
  LIMITS.controlMessageBytesMax <= LIMITS.chunkBytesMax,
  'one packet limit serves control messages and chunks',
);
assertRelation(
  LIMITS.logNoteBytesMax >= LIMITS.logProofBytesMax,
  'a checkpoint that a proof holds must be readable alone',
);
assertRelation(
  LIMITS.parcelMembersMax >= LIMITS.rolloutsMax * (LIMITS.deltasMax + 7) + 2,
  'an export must hold all parts of as many bundles as an announcement has',
);
assertRelation(
  LIMITS.failureLogPartsMax * LIMITS.failureLogPartBytes >= LIMITS.failureLogBytesMax,
  'the largest log of a failed update must fit into its messages',
);
assertRelation(
  LIMITS.failureLogMessageBytesMax <= LIMITS.controlMessageBytesMax &&
    LIMITS.failureLogPartBytes * 1.5 <= LIMITS.failureLogMessageBytesMax,
  'a part of a log in base64 must fit into a message, and that into a packet',
);
assertRelation(
  LIMITS.pullOvertakenMin >= LIMITS.windowChunksMax,
  'answers to one window may come in any order',
);
assertRelation(
  LIMITS.drainTimeoutMs >= LIMITS.pullTimeoutMsMax * 2,
  'a robot that waits patiently for a chunk must not be closed by the broker meanwhile',
);
assertRelation(
  LIMITS.leaseTermMax * LIMITS.seqsPerTerm <= Number.MAX_SAFE_INTEGER,
  'the seq of the last term must be an exact integer',
);
assertRelation(
  LIMITS.approvalBytesMax + 256 <= LIMITS.auditFactsBytesMax,
  'a signed approval must fit into the facts of its audit record',
);
assertRelation(
  LIMITS.auditPageMax * LIMITS.auditRecordBytesMax <= LIMITS.apiAnswerBytesMax &&
    LIMITS.auditRecordsMax * LIMITS.auditRecordBytesMax <= LIMITS.auditVerifyBytesMax,
  'a page of the audit chain must fit into an answer, and all of it into an export',
);
assertRelation(
  LIMITS.leaseSettleMs * 2 < LIMITS.leaseMsMin,
  'a claim must settle long before another may be made',
);
assertRelation(
  LIMITS.readyHoldMsMax >= LIMITS.hookTimeoutMsMax,
  'a ready lease must be able to cover the stop hook, which ends the application that renews it',
);
assertRelation(
  LIMITS.readyHoldersMax * 68 + 16 <= LIMITS.readyMarkBytesMax,
  'the mark must hold the names of all holders',
);
assertRelation(
  LIMITS.presenceSilenceMs >= 2 * LIMITS.reportHeartbeatMs,
  'a robot that lost one report is not gone',
);
assertRelation(
  LIMITS.deltaSegmentsMax * LIMITS.deltaFreshBytesMax >= LIMITS.archiveBytesMax,
  'a patch must be able to hold the largest archive',
);
assertRelation(
  LIMITS.deltaCopiesMax * LIMITS.deltaCopyBytesMin >= LIMITS.payloadBytesMax,
  'a patch must be able to copy all of the largest payload',
);
assertRelation(
  LIMITS.goneCommitsMax < LIMITS.commitsMax,
  'decisions kept for computers that are gone must leave room for open ones',
);
