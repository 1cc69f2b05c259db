/** The demo's folder, its processes and its output, which every part of the demo uses. */

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { FleetWatch } from './fleet-watch.ts';
import { Processes, type Started } from './processes.ts';

export const ROBOTS = ['r1', 'r2', 'r3', 'r4', 'r5'] as const;
/** Slow enough to be killed in mid-transfer. */
export const SLOW_ROBOT = 'r3';
const SLOW_RATE = '1M';
/** Has a calibration of the first generation, which 1.1.0 cannot work with. */
export const OLD_ROBOT = 'r4';
export const BUSY_ROBOT = 'r5';

export interface Carrier {
  readonly mqttUrl: string;
  readonly watch: FleetWatch;
  /** Token of each user. */
  readonly tokens: ReadonlyMap<string, string>;
}

export class World {
  readonly home: string;
  readonly processes: Processes;
  #steps = 0;

  private constructor(home: string) {
    this.home = home;
    this.processes = new Processes(join(home, 'logs'));
  }

  static async open(): Promise<World> {
    const home = await mkdtemp(join(tmpdir(), 'drover-demo-'));
    await mkdir(join(home, 'logs'));
    return new World(home);
  }

  path(...parts: string[]): string {
    return join(this.home, ...parts);
  }

  title(text: string): void {
    this.#steps += 1;
    console.log(`\n${this.#steps}. ${text}`);
  }

  /** The demo ends here, and not well, when what it shows did not happen. */
  check(what: string, holds: boolean): void {
    if (!holds) throw new Error(`not so: ${what}`);
    console.log(`    ok: ${what}`);
  }

  async drover(args: readonly string[], env: Record<string, string> = {}): Promise<void> {
    await this.processes.run('publisher', args, { show: true, env });
  }

  async startRobot(carrier: Carrier, id: string): Promise<Started> {
    const rate = id === SLOW_ROBOT ? ['--max-rate', SLOW_RATE] : [];
    const trust = ['--trust', this.path('trust.json'), '--hooks', this.path('hooks')];
    const args = ['--id', id, '--broker', carrier.mqttUrl, '--root', this.path(id), ...trust];
    const env = { DROVER_USERNAME: id, DROVER_PASSWORD: carrier.tokens.get(id) ?? '' };
    return await this.processes.start('robot-client', id, [...args, ...rate], { env });
  }

  /** The robot's own socket: what its application uses. */
  async askRobot(
    id: string,
    method: 'GET' | 'POST',
    path: string,
    body?: object,
  ): Promise<unknown> {
    return await callLocalApi(this.path(id, 'state/agent.sock'), method, path, body);
  }

  async close(keepFiles: boolean): Promise<void> {
    await this.processes.endAll();
    for (const id of ROBOTS) await this.#endApplication(id);
    if (!keepFiles) await rm(this.home, { recursive: true, force: true });
  }

  /**
   * The application of a robot is a child of its hooks, not of the demo: it is ended by its pid.
   */
  async #endApplication(id: string): Promise<void> {
    const pid = Number(await readFile(this.path(id, 'arm.pid'), 'utf8').catch(() => '0'));
    try {
      if (pid > 0) process.kill(pid, 'SIGTERM');
    } catch {
      // it has ended already
    }
  }
}
