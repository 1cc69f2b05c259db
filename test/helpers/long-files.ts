/**
 * Test files that take longest, each area by itself and the longest first: the runner begins with
 * them, so that no lane has a long one left when the others have nothing to do. The end of a run
 * names the slowest; one that is missing here costs time and nothing else.
 */

export const LONG_FILES: readonly string[] = [
  'boot/slots',
  'power/power',
  'kill/dying-disk',
  'kill/hard-cases',
  'kill/syscalls',
  'kill/kills',
  'fuzz/fuzz',
  'boot/grub-script',
  'crash/crash-states',
  'crash/module-cuts',
  'publisher/commands/rollout.slow',
  'e2e/recall',
  'e2e/module-container.slow',
  'e2e/bad-links',
  'e2e/life-mosquitto-rest',
  'broker/control/log-tally.slow',
  'packaging/packages',
  'e2e/life-nats',
  'e2e/stolen-rollout-key',
  'e2e/garbage',
  'e2e/way-back',
  'e2e/printed-guide.slow',
  'e2e/printed-pages.slow',
  'robot-client/install/resources.slow',
  'e2e/emergency',
  'e2e/trust-rotation',
  'e2e/delta',
];
