/**
 * `drover-robot slots`: shows the state of the boot loader of a machine with two system slots, and
 * changes it as the agent does. For a person who sets up or repairs a boot loader.
 */

import type { Argv } from 'yargs';
import type { BootSlots, SystemSlot } from '../boot/boot-slots.ts';
import { isSystemSlot } from '../boot/boot-slots.ts';
import { BOOT_KINDS, openBootSlots, parseBootPlace } from '../boot/open-boot.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TEXT, wholeNumber, withDryRun, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { withWriteCommand } from './slots-write.ts';

/** Commands of `slots`, each with what it does for `--help`. */
const VERBS = {
  show: 'say which slot runs, and which one boots next',
  spoil: 'let the boot loader never choose a slot, until it is tried again',
  try: 'let the next boots choose the other slot, until it is confirmed or its tries are used up',
  confirm: 'let the boot loader come back to the slot that runs',
} as const;

type Verb = keyof typeof VERBS;

export const SLOTS_VERBS = [...Object.keys(VERBS), 'write'];

interface SlotsArgs {
  readonly boot: string;
  readonly slot: string | undefined;
  readonly tries: number;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const withBoot = (args: Argv) =>
  withDryRun(withJson(args)).option('boot', {
    ...TEXT,
    demandOption: true,
    describe: `one of ${BOOT_KINDS}`,
  });

const withSlot = (args: Argv) =>
  withBoot(args)
    .option('slot', {
      ...TEXT,
      describe: 'name of the slot (default: the other one, and for confirm the one that runs)',
    })
    .option('tries', {
      ...wholeNumber('tries', { least: 1, most: LIMITS.bootTriesMax }),
      default: LIMITS.bootTriesDefault,
      describe: 'boots that the slot gets',
    });

export const slotsCommand = (argv: Argv): Argv =>
  argv.command('slots', 'the two system slots of this machine, and its boot loader', (group) => {
    for (const [verb, does] of Object.entries(VERBS)) {
      group.command(verb, does, withSlot, (args) => run(verb as Verb, args));
    }
    withWriteCommand(group, withBoot);
    return group.demandCommand(1, `name one of ${SLOTS_VERBS.join(', ')}`);
  });

async function run(verb: Verb, args: SlotsArgs): Promise<void> {
  const slots = await openBootSlots(parseBootPlace(args.boot));
  // A person who repairs a boot loader may mark a slot before all of its programs are there.
  if (verb === 'show' || verb === 'try') await slots.assertComplete?.();
  const slot = slotOf(slots, verb, args.slot);
  if (!args.dryRun) await change(slots, verb, { slot, tries: args.tries });
  const { running, other } = slots;
  const { confirmed, next, triesLeft, spoiled } = await slots.look();
  const told = { running, other, confirmed, next, tries_left: triesLeft, spoiled };
  const rows = [
    `runs: ${running}`,
    `comes back to: ${confirmed ?? 'the boot loader does not say'}`,
    `boots next: ${next ?? 'the boot loader does not say'}${triesLeft ? ` (tries left: ${triesLeft})` : ''}`,
    ...(triesLeft === 0 ? ['on trial: all tries were used'] : []),
    ...(spoiled.length > 0 ? [`never chosen: ${spoiled.join(', ')}`] : []),
  ];
  makeOutput(args.json).result({ dry_run: args.dryRun, ...told }, rows);
}

function slotOf(slots: BootSlots, verb: Verb, given: string | undefined): SystemSlot {
  if (given === undefined) return verb === 'confirm' ? slots.running : slots.other;
  if (isSystemSlot(given)) return given;
  const got = JSON.stringify(given.slice(0, 80));
  throw new DroverError('USAGE', `read --slot: no name of a slot (got ${got})`);
}

async function change(
  slots: BootSlots,
  verb: Verb,
  { slot, tries }: { readonly slot: SystemSlot; readonly tries: number },
): Promise<void> {
  switch (verb) {
    case 'show':
      return;
    case 'spoil':
      return await slots.spoil(slot);
    case 'try':
      return await slots.tryNext(slot, tries);
    case 'confirm':
      return await slots.confirm(slot);
  }
}
