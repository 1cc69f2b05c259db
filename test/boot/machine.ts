/** A PC in QEMU without KVM, seen through its serial line. Cutting its power is a SIGKILL. */

import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const MEMORY_MIB = 384;
/** A boot takes 15 s on a machine of one's own, and a start of the agent half of that. */
const PATIENCE_MS = 60_000;
/** Of a machine that boots, downloads and writes before its power is cut. */
const CUT_MS_MAX = 600_000;

export class Machine {
  readonly #child: Child;
  readonly #line: Socket;
  #seen = '';
  /** Length of the output that earlier waits have consumed. */
  #at = 0;
  #commands = 0;

  private constructor(child: Child, line: Socket) {
    this.#child = child;
    this.#line = line;
    line.setEncoding('latin1').on('data', (text: string) => {
      this.#seen += text;
    });
    line.on('error', () => undefined); // it ends with the machine
  }

  /** @param more options of QEMU */
  static async start(
    scope: Scope,
    diskPath: string,
    more: readonly string[] = [],
  ): Promise<Machine> {
    const socket = `${diskPath}.serial`;
    const child = startChild(scope, 'qemu-system-x86_64', [
      ...['-machine', 'pc', '-accel', 'tcg', '-m', String(MEMORY_MIB), '-nodefaults'],
      ...['-display', 'none', '-monitor', 'none', '-no-user-config'],
      // The log is for whoever watches a long run.
      ...['-chardev', `socket,id=line,path=${socket},server=on,wait=on,${logOf(diskPath)}`],
      ...['-serial', 'chardev:line'],
      ...['-drive', `file=${diskPath},format=raw,if=virtio`],
      ...more,
    ]);
    const line = await waitUntil('the serial line of QEMU', async () => {
      if (child.ended) throw new Error(child.describe());
      return await connect(socket);
    });
    return new Machine(child, line);
  }

  /** All that the serial line has said. */
  get seen(): string {
    return this.#seen;
  }

  get hasEnded(): boolean {
    return this.#child.ended !== null;
  }

  /** Everything since the last match. */
  get #unread(): string {
    return this.#seen.slice(this.#at);
  }

  /** Waits until the serial line has said it, and goes on behind it. */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    const found = await waitUntil(
      `the machine to say ${String(pattern)}`,
      () => pattern.exec(this.#unread) ?? (this.#child.ended ? 'ended' : null),
      { timeoutMs: PATIENCE_MS, look: () => this.#unread.slice(-3_000) },
    );
    if (typeof found === 'string') throw new Error(`${this.#child.describe()}\n${this.#unread}`);
    this.#at += found.index + found[0].length;
    return found;
  }

  /** Runs a command in the shell of the guest. @returns what it printed; it must end with 0 */
  async run(command: string): Promise<string> {
    this.#commands += 1;
    const mark = `end-${this.#commands}`;
    this.#line.write(`${command}; echo "${mark.slice(0, 1)}""${mark.slice(1)} $?"\n`);
    const start = this.#at;
    const [all, code] = await this.waitFor(new RegExp(`${mark} (\\d+)\\r?\\n`));
    const text = this.#seen.slice(start, this.#at - all.length).replaceAll('\r', '');
    if (code !== '0') throw new Error(`${command}: ended with ${code}\n${text}`);
    return text.slice(text.indexOf('\n') + 1);
  }

  /** Types a line and waits for nothing. */
  type(line: string): void {
    this.#line.write(`${line}\n`);
  }

  /** Cuts the power as soon as it holds, which is checked each millisecond. */
  async cutWhen(what: string, holds: () => boolean): Promise<void> {
    const deadline = performance.now() + CUT_MS_MAX;
    while (!holds()) {
      if (this.hasEnded) throw new Error(this.#child.describe());
      if (performance.now() > deadline) {
        throw new Error(
          `waited in vain to cut the power when ${what}\n${this.#seen.slice(-4_000)}`,
        );
      }
      await sleep(1);
    }
    await this.cut();
  }

  /** The power goes, this very moment. */
  async cut(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#child.exit;
    this.#line.destroy();
  }
}

const logOf = (diskPath: string): string => `logfile=${diskPath}.log,logappend=on`;

function connect(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const line = createConnection(path);
    line.once('connect', () => resolve(line));
    line.on('error', reject);
  });
}
