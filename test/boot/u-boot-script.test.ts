/**
 * U-Boot itself runs the script that docs/system-images.md prints, over every mark, in a board of
 * QEMU whose environment fw_setenv wrote. One thing is not as on a robot: the flash of that board
 * does not take what U-Boot writes to it, so `saveenv` is left out and counted as done.
 */

import assert from 'node:assert/strict';
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseMark } from '../../robot-client/boot/boot-mark.ts';
import { startChild } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { bootByMark, runPeer } from '../robot-client/boot/boot-loaders.ts';

const FIRMWARE = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';
const FLASH_BYTES = 64 * 1024 * 1024;
/** As that U-Boot is built. */
const ENV_BYTES = '0x40000';
const PATIENCE_MS = 60_000;
const MARKS = 'x + 0 1 2 3 4 5 6 7 8 9';

async function printedScript(): Promise<string> {
  const page = await readFile(repositoryFile('docs/system-images.md'), 'utf8');
  const [, script] = /^setenv drover '(.*)'$/m.exec(page) ?? [];
  assert.ok(script !== undefined && script.includes('if saveenv; then'), 'the page has the script');
  return script.replace('if saveenv; then', 'if true; then');
}

async function makeFlash(home: string): Promise<string> {
  const flash = join(home, 'flash.img');
  await writeFile(flash, '');
  await truncate(flash, FLASH_BYTES);
  const config = join(home, 'fw_env.config');
  await writeFile(config, `${flash} 0x0 ${ENV_BYTES} ${ENV_BYTES}\n`);
  const round = [
    'echo case ${slot},${other}; setenv drover_slot ${slot}; setenv drover_other ${other}',
    'run drover; echo after ${drover_slot},${drover_other}',
  ].join('; ');
  const loop = `for slot in A B; do for other in ${MARKS}; do ${round}; done; done`;
  const script = join(home, 'script');
  const lines = [
    `drover=${await printedScript()}`,
    'drover_boot_A=echo drover: slot A',
    'drover_boot_B=echo drover: slot B',
    'bootdelay=0',
    `bootcmd=${loop}; echo all cases; poweroff`,
  ];
  await writeFile(script, `${lines.join('\n')}\n`);
  runPeer('fw_setenv', '-c', config, '-f', '/dev/null', '-s', script);
  return flash;
}

test('U-Boot chooses and counts as the agent expects', async (t) => {
  const peers = ['qemu-system-aarch64', 'fw_setenv'].map((peer) => requirePeer(t, peer));
  if (peers.includes(null)) return;
  const home = await tempFolder(t);
  const firmware = join(home, 'firmware.img');
  await copyFile(FIRMWARE, firmware);
  await truncate(firmware, FLASH_BYTES);
  const board = startChild(t, 'qemu-system-aarch64', [
    ...['-machine', 'virt', '-cpu', 'cortex-a57', '-m', '128', '-nodefaults', '-display', 'none'],
    ...['-serial', 'stdio', '-monitor', 'none'],
    ...['-drive', `if=pflash,format=raw,readonly=on,file=${firmware}`],
    ...['-drive', `if=pflash,format=raw,file=${await makeFlash(home)}`],
  ]);
  await board.waitForOutput(/^all cases/m, PATIENCE_MS);
  await board.stop();

  const cases = [...board.stdout.matchAll(/^case (\S+)\r?\n([^]*?)^after (\S+)\r?$/gm)];
  assert.equal(cases.length, 2 * MARKS.split(' ').length);
  for (const [, before = '', text = '', after] of cases) {
    const mark = parseMark(before);
    assert.ok(mark, before);
    const { slot, after: counted } = bootByMark(mark);
    const [first, second] = [...text.matchAll(/^drover: slot ([AB])\r?$/gm)].map(
      ([, name]) => name,
    );
    assert.equal(first, slot, before);
    const other = mark.confirmed === 'A' ? 'B' : 'A';
    const next = counted !== null ? mark.confirmed : mark.other === '+' ? other : undefined;
    assert.equal(second, next, before);
    const { confirmed, other: left } = counted ?? mark;
    assert.equal(after, `${confirmed},${left}`);
  }
});
