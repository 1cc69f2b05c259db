/**
 * GRUB itself reads its environment block as the agent does: one start of a machine runs the script
 * of examples/ab-grub over every mark, and over blocks that are torn and damaged in many ways.
 */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BootMark, OtherMark } from '../../robot-client/boot/boot-mark.ts';
import { chooseCopy, encodeGrubEnv } from '../../robot-client/boot/grub-env.ts';
import { GRUB_COPIES } from '../../robot-client/boot/grub.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { A, B } from '../robot-client/boot/boot-loaders.ts';
import { canBoot, GuestDisk, makeImage } from './guest-disk.ts';
import { Machine } from './machine.ts';

type Copies = readonly [Uint8Array, Uint8Array];

const OTHERS = ['x', '+', ...Array.from({ length: 10 }, (_, at) => String(at))] as OtherMark[];
const MARKS = [A, B].flatMap((confirmed) => OTHERS.map((other) => ({ confirmed, other })));

function damagedCases(): Copies[] {
  const steps: readonly (readonly [BootMark, BootMark])[] = [
    [
      { confirmed: A, other: '+' },
      { confirmed: A, other: 'x' },
    ],
    [
      { confirmed: A, other: 'x' },
      { confirmed: A, other: '3' },
    ],
    [
      { confirmed: A, other: '2' },
      { confirmed: B, other: '+' },
    ],
  ];
  return steps.flatMap(([was, will]) => {
    const [old, next] = [encodeGrubEnv(was), encodeGrubEnv(will)];
    const torn = (size: number): Uint8Array =>
      Uint8Array.from(old, (byte, at) => (at < size ? (next[at] as number) : byte));
    const zeroed = new Uint8Array(old.byteLength);
    const noise = Uint8Array.from(old, (byte, at) => byte ^ ((at * 37) & 0xff));
    const half = Uint8Array.from(old, (byte, at) => (at < 512 ? byte : 0));
    const first = [torn(512), torn(105), zeroed, noise, half, torn(1023), new Uint8Array(0)];
    return [
      ...first.map((copy): Copies => [copy, old]),
      ...[torn(512), zeroed, noise].map((copy): Copies => [next, copy]),
      [torn(512), zeroed] as Copies,
    ];
  });
}

/** Blocks that a person or another tool wrote: what GRUB reads in them, the agent reads. */
function oddCases(): Copies[] {
  const good = encodeGrubEnv({ confirmed: A, other: 'x' });
  const block = (text: string): Uint8Array =>
    Buffer.from(`# GRUB Environment Block\n${text}`.padEnd(1024, '#'), 'latin1');
  const both = (value: string, end = '\n'): string =>
    `drover_boot=${value}${end}drover_boot_again=${value}${end}`;
  return [
    both('B,+', '\r\n'),
    `${both('B,+')}drover_boot=A,x\n`,
    `${both('A,x')}${both('B,+')}`,
    `\n${both('B,+')}`,
    `no sign\n${both('B,+')}`,
    `foo=bar\\\n${both('B,+')}`,
    both('B,\\+'),
    `# comment\\\n${both('B,+')}`,
  ].map((text): Copies => [block(text), good]);
}

/** Slots in the order in which they are tried when none of them can be loaded. */
function orderOf(mark: BootMark | null): string {
  if (mark === null) return 'A B';
  const other = mark.confirmed === A ? B : A;
  if (mark.other === '+') return `${mark.confirmed} ${other}`;
  const isOnTrial = /[1-9]/.test(mark.other);
  return isOnTrial ? `${other} ${mark.confirmed} ${other}` : mark.confirmed;
}

const CONFIG = (count: number): string => `
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set drover_part_A=hd0,gpt8
set drover_part_B=hd0,gpt9
for round in ${Array.from({ length: count }, (_, at) => at).join(' ')}; do
  echo "case $round"
  set prefix=(hd0,gpt2)/case-$round
  source (hd0,gpt2)/grub/drover.cfg
  echo "end $round"
done
echo "all cases"
`;

test('GRUB reads and counts as the agent does, also from blocks that are torn', async (t) => {
  if (!canBoot(t)) return;
  const home = await tempFolder(t);
  await makeImage(home, '--small');
  const disk = await GuestDisk.copy(join(home, 'disk.img'), join(home, 'cases.img'));
  const whole = MARKS.map((mark): Copies => [encodeGrubEnv(mark), encodeGrubEnv(mark)]);
  const cases = [...whole, ...damagedCases(), ...oddCases()];
  const commands: string[] = [];
  for (const [at, copies] of cases.entries()) {
    commands.push(`mkdir /case-${at}`);
    for (const [number, bytes] of copies.entries()) {
      const from = join(home, `${at}-${number}`);
      await writeFile(from, bytes);
      commands.push(`write ${from} /case-${at}/${GRUB_COPIES[number] ?? ''}`);
    }
  }
  await disk.debugfs(...commands);
  await disk.putFile('/grub/grub.cfg', CONFIG(cases.length));

  const machine = await Machine.start(t, disk.path);
  const seen: string[] = [];
  for (const at of cases.keys()) {
    await machine.waitFor(new RegExp(`case ${at}\\r?\\n`));
    const [text] = await machine.waitFor(new RegExp(`[^]*?end ${at}\\r?\\n`));
    const slots = [...text.matchAll(/drover: slot ([AB])\r?\n/g)].map(([, slot]) => slot);
    seen.push(slots.join(' '));
  }
  await machine.waitFor(/all cases/);
  await machine.cut();

  for (const [at, copies] of cases.entries()) {
    const mark = chooseCopy(copies);
    const name = `case ${at}: ${JSON.stringify(mark)}`;
    assert.equal(seen[at], orderOf(mark), name);
    const isOnTrial = mark !== null && /[1-9]/.test(mark.other);
    const wanted = isOnTrial ? { ...mark, other: '0' } : mark;
    assert.deepEqual(chooseCopy(await disk.readCopies(`/case-${at}`)), wanted, name);
  }
});
