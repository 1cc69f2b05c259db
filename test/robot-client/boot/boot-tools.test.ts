/** The memories of boot loaders as their own programs see them, and programs that go wrong. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertConfigured } from '../../../robot-client/boot/boot-slots.ts';
import { MarkedSlots } from '../../../robot-client/boot/boot-mark.ts';
import { encodeGrubEnv, parseGrubEnv } from '../../../robot-client/boot/grub-env.ts';
import { GrubMark } from '../../../robot-client/boot/grub.ts';
import { readRunningSlot } from '../../../robot-client/boot/open-boot.ts';
import { OwnPrograms } from '../../../robot-client/boot/own-programs.ts';
import { runBootProgram } from '../../../robot-client/boot/run-program.ts';
import { MachineSide } from '../../../robot-client/boot/system-side.ts';
import { SystemdBoot } from '../../../robot-client/boot/systemd-boot.ts';
import { UBootMark } from '../../../robot-client/boot/u-boot.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { DroverError, failureOf } from '../../../shared/base/errors.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { A, B, makeUBoot, runPeer, uBootFiles } from './boot-loaders.ts';

describe('the memory of GRUB', () => {
  it('is read and written by grub-editenv as by us', async (t) => {
    if (requirePeer(t, 'grub-editenv') === null) return;
    const path = join(await tempFolder(t), 'drover-1.env');
    await writeFile(path, encodeGrubEnv({ confirmed: B, other: '3' }));
    const listed = runPeer('grub-editenv', path, 'list').trim().split('\n');
    assert.deepEqual(listed, ['drover_boot=B,3', 'drover_boot_again=B,3']);
    runPeer('grub-editenv', path, 'set', 'drover_boot=B,2');
    assert.equal(parseGrubEnv(await readFile(path)), null, 'one half alone counts for nothing');
    runPeer('grub-editenv', path, 'set', 'drover_boot_again=B,2');
    const changed = await readFile(path);
    assert.deepEqual(parseGrubEnv(changed), { confirmed: B, other: '2' });
    const same = Buffer.from(encodeGrubEnv({ confirmed: B, other: '2' }));
    assert.deepEqual(changed, same, 'each mark stays in a sector of its own');
  });

  it('is read by grub-editenv as by us, whatever a block holds', async (t) => {
    if (requirePeer(t, 'grub-editenv') === null) return;
    const folder = await tempFolder(t);
    const mark = fc.constantFrom('A,x', 'B,3', 'A,+', 'B,x\r', 'B,\\3', 'C,x', '');
    const name = fc.constantFrom('drover_boot', 'drover_boot_again', 'saved_entry', ' drover_boot');
    const line = fc
      .tuple(name, fc.constantFrom('=', '\r=', '=', ''), mark)
      .map((all) => all.join(''));
    const end = fc.constantFrom('\n', '\r\n', '\n\n', '#\n', '\u2028\n', '\0\n', '');
    const piece = fc.oneof(fc.tuple(line, end), fc.tuple(fc.constantFrom('#', '# B\\C'), end));
    const both = fc.tuple(mark, end).map(([value, after]) => {
      return `drover_boot=${value}${after}drover_boot_again=${value}${after}`;
    });
    const text = fc.oneof(
      fc.array(piece, { maxLength: 5 }).map((all) => all.flat().join('')),
      both,
    );
    const blocks = fc.sample(fc.tuple(text, both, text), { numRuns: 60, seed: 7 }).map((all) => {
      // A listing of a value with a line end in it would be read as two.
      const inner = all.join('').replaceAll('\\\n', '\n');
      const start = '# GRUB Environment Block\n';
      return Buffer.from(`${start}${inner}`.padEnd(1024, '#').slice(0, 1024), 'latin1');
    });
    for (const [at, block] of blocks.entries()) await writeFile(join(folder, `${at}`), block);
    const script =
      'cd "$0"; for at in $(seq 0 59); do grub-editenv $at list; printf "\\0end\\0"; done';
    const { stdout } = spawnSync('sh', ['-c', script, folder], { encoding: 'latin1' });
    const listings = stdout.split('\0end\0');
    const seen = new Set<string>();
    for (const [at, block] of blocks.entries()) {
      // A row without a sign is the begin of a name that has a line end in it.
      const rows = (listings[at] ?? '').replaceAll(/(?<=\n|^)([^=\n]*)\n/g, '$1\0').split('\n');
      const said = (wanted: string): string | undefined =>
        rows.findLast((row) => row.startsWith(`${wanted}=`))?.slice(wanted.length + 1);
      const [first, second] = [said('drover_boot'), said('drover_boot_again')];
      const marks =
        first !== undefined && first === second ? /^([AB]),([x+0-9])$/.exec(first) : null;
      const read = parseGrubEnv(block);
      const got = read && `${read.confirmed},${read.other}`;
      assert.equal(got, marks?.[0] ?? null, JSON.stringify(block.toString('latin1').slice(0, 300)));
      seen.add(got === null ? 'damaged' : 'whole');
    }
    assert.deepEqual([...seen].sort(), ['damaged', 'whole']);
  });

  it('is read from the second copy when the first lies on a sector that cannot be read', async (t) => {
    const folder = await tempFolder(t);
    const [first, second] = [join(folder, 'drover-1.env'), join(folder, 'drover-2.env')];
    for (const path of [first, second]) {
      await writeFile(path, encodeGrubEnv({ confirmed: A, other: '2' }));
    }
    const sick: Disk = {
      ...realDisk,
      readFile: (path, bytesMax) =>
        path === first
          ? Promise.reject(new DroverError('DISK_WRITE_FAILED', `read ${path}: EIO`))
          : realDisk.readFile(path, bytesMax),
    };
    const mark = await new GrubMark(sick, folder).read();
    assert.deepEqual(mark, { confirmed: A, other: '2' });
  });

  it('is written again by the slot that runs when both copies are gone, and refused before', async (t) => {
    const slots = new MarkedSlots(B, new GrubMark(realDisk, await tempFolder(t)));
    assert.equal((await slots.look()).confirmed, null);
    await assert.rejects(slots.spoil(A), { code: 'BOOT_STATE_DAMAGED' });
    await assert.rejects(slots.tryNext(A, 3), { code: 'BOOT_STATE_DAMAGED' });
    await slots.confirm(B);
    const { confirmed, next, spoiled } = await slots.look();
    assert.deepEqual([confirmed, next, spoiled], [B, B, [A]]);
  });
});

describe('the memory of U-Boot', () => {
  it('survives the loss of either copy, and is refused when both are gone', async (t) => {
    if (requirePeer(t, 'fw_setenv') === null) return;
    const folder = await tempFolder(t);
    await makeUBoot(folder);
    const { config, copies } = uBootFiles(folder);
    const mark = new UBootMark(config);
    await mark.write({ confirmed: A, other: '3' });
    await mark.write({ confirmed: A, other: '2' });
    const whole = await Promise.all(copies.map((path) => readFile(path)));
    const seen: (string | undefined)[] = [];
    for (const [at, path] of copies.entries()) {
      const damaged = Buffer.from(whole[at] as Buffer).fill(0, 4, 400);
      await writeFile(path, damaged);
      seen.push((await mark.read())?.other);
      await writeFile(path, whole[at] as Buffer);
    }
    assert.deepEqual(seen.sort(), ['2', '3'], 'the other copy, which is new or one step behind');
    for (const path of copies) await writeFile(path, Buffer.alloc(0x2000, 0x55));
    await assert.rejects(mark.read(), { code: 'BOOT_STATE_DAMAGED' });
    await assert.rejects(mark.write({ confirmed: A, other: 'x' }), { code: 'BOOT_TOOL_FAILED' });
  });

  it('keeps the variables of others', async (t) => {
    if (requirePeer(t, 'fw_setenv') === null) return;
    const folder = await tempFolder(t);
    await makeUBoot(folder);
    const { config } = uBootFiles(folder);
    await new UBootMark(config).write({ confirmed: B, other: '+' });
    assert.match(runPeer('fw_printenv', '-c', config), /^bootcmd=run drover$/m);
  });
});

describe('a program of the boot side', () => {
  it('that the system refuses to start is named with why', async (t) => {
    const path = join(await tempFolder(t), 'tool');
    await writeFile(path, '#!/bin/sh\n', { mode: 0o755 });
    const busy = await open(path, 'r+'); // ETXTBSY, which Node throws as it does ENOMEM
    t.after(() => busy.close());
    const failure = { code: 'BOOT_TOOL_FAILED', message: /ETXTBSY/ };
    await assert.rejects(runBootProgram(path, []), failure);
  });

  it('that is not there, fails or prints without end is named with its last words', async (t) => {
    const folder = await tempFolder(t);
    await assert.rejects(runBootProgram(`${folder}/absent`, []), { code: 'BOOT_TOOL_FAILED' });
    const failing = ['-c', 'echo "no such slot" >&2; exit 3'];
    await assert.rejects(runBootProgram('sh', failing), /exit code 3, no such slot/);
    await assert.rejects(runBootProgram('sh', ['-c', 'yes']), /printed more than|took more than/);
  });

  for (const start of ['', 'setsid ', 'timeout 600 ']) {
    it(`that is late is killed with all that it started: "${start}sleep"`, async (t) => {
      const folder = await tempFolder(t);
      const [path, child] = [join(folder, 'late'), join(folder, 'child')];
      const sleeper = `${start}sh -c 'echo $$ > "${child}"; exec sleep 600'`;
      await writeFile(path, `#!/bin/sh\n${sleeper} &\nwait\n`);
      await chmod(path, 0o755);
      await assert.rejects(runBootProgram(path, [], 500), /took more than 0.5 s$/);
      const stat = await readFile(`/proc/${Number(await readFile(child, 'utf8'))}/stat`, 'utf8')
        .then((text) => text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3))
        .catch(() => 'gone');
      assert.match(stat, /^(gone|Z)$/, 'before the time-out is told');
    });
  }
});

describe('a program that cannot be run', () => {
  it('is found before an image is taken, and named with what to do', async (t) => {
    const folder = await tempFolder(t);
    const program = async (name: string, text: string, mode = 0o755): Promise<void> => {
      await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
      await chmod(join(folder, name), mode);
    };
    await program('running', 'echo A');
    await program('other', 'echo B');
    const slots = await OwnPrograms.open(folder);
    const found = async (): Promise<string> => {
      const problem = await failureOf(slots.assertComplete());
      return problem ? `${problem.code} ${problem.message}: ${problem.hint}` : 'complete';
    };
    assert.match(await found(), /^BOOT_TOOL_FAILED .*\/spoil: it is not there/);
    for (const verb of ['spoil', 'try-next']) await program(verb, 'exit 0');
    await program('confirm', 'exit 0', 0o644);
    assert.match(await found(), /\/confirm: it is not executable: run chmod \+x .*\/confirm$/);
    await program('confirm', 'exit 0');
    assert.equal(await found(), 'complete');
  });

  it('is found of the command that restarts the machine, in PATH or by its path', async (t) => {
    const path = join(await tempFolder(t), 'restart');
    await writeFile(path, '');
    const devices = new Map<string, string>();
    const found = async (command: string): Promise<string> => {
      const rebootCommand = command.split(' ');
      const boot = { kind: 'rauc', path: '' } as const;
      const side = new MachineSide({ boot, devices, rebootCommand });
      const problem = await failureOf(side.assertCanReboot());
      return problem ? `${problem.code} ${problem.message}` : 'runs';
    };
    assert.match(await found('no-such-prog now'), /^BOOT_REBOOT_FAILED .*it is not in PATH/);
    assert.match(await found(path), /it is not executable/);
    assert.match(await found(`${path}.sh`), /it is not there/);
    assert.equal(await found('sh -c true'), 'runs');
  });
});

describe('a slot that a boot loader does not know', () => {
  it('is refused before anything is written, whatever says its name', async (t) => {
    const folder = await tempFolder(t);
    const grub = new GrubMark(realDisk, folder);
    await grub.write({ confirmed: B, other: '+' });
    for (const name of ['b', 'a', 'C']) {
      const slot = name as unknown as typeof A;
      const unknown = {
        code: 'BOOT_SLOT_UNKNOWN',
        message: new RegExp(`got ${name}, want A or B`),
      };
      assert.throws(() => new MarkedSlots(slot, grub), unknown);
      assert.throws(() => new SystemdBoot(slot, realDisk, folder), unknown);
      for (const answers of [
        { running: slot, other: B },
        { running: A, other: slot },
      ]) {
        const devices = new Map([
          ['A', '/dev/a'],
          ['B', '/dev/b'],
        ]);
        assert.throws(() => assertConfigured(answers, devices), unknown);
      }
    }
    assert.deepEqual(await grub.read(), { confirmed: B, other: '+' });
  });

  it('is not taken from a value of U-Boot that only looks like one', async (t) => {
    if (requirePeer(t, 'fw_setenv') === null) return;
    const folder = await tempFolder(t);
    await makeUBoot(folder);
    const { config } = uBootFiles(folder);
    const mark = new UBootMark(config);
    await mark.write({ confirmed: B, other: '+' });
    assert.deepEqual(await mark.read(), { confirmed: B, other: '+' });
    runPeer('fw_setenv', '-c', config, 'note', 'x\ndrover_slot=A');
    assert.equal(await mark.read(), null, 'which of both lines is the variable is not known');
    runPeer('fw_setenv', '-c', config, 'note');
    runPeer('fw_setenv', '-c', config, 'drover_other', '+\r');
    assert.equal(await mark.read(), null);
  });
});

describe('the slot that runs', () => {
  it('is the last one that the kernel command line names, and unknown without', async (t) => {
    const path = join(await tempFolder(t), 'cmdline');
    await writeFile(path, 'quiet drover.slot=A root=/dev/vda3 drover.slot=B panic=1\n');
    assert.equal(await readRunningSlot(path), B);
    await writeFile(path, 'quiet xdrover.slot=A\n');
    await assert.rejects(readRunningSlot(path), { code: 'BOOT_SLOT_UNKNOWN' });
    await writeFile(path, 'drover.slot=../etc\n');
    await assert.rejects(readRunningSlot(path), { code: 'BOOT_SLOT_UNKNOWN' });
  });
});
