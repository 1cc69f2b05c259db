/** Watches the fleet through the broker's HTTP API and prints what changes, a line a change. */

export interface RobotRow {
  readonly robot_id: string;
  readonly online: boolean;
  readonly version: string | null;
  readonly phase: string;
  readonly last_error: { readonly code: string; readonly message: string } | null;
  readonly transfer: { readonly bytes_done: number; readonly bytes_total: number } | null;
}

const POLL_MS = 200;
/** A bound on a demo that hangs; a machine with other work may take its time. */
const STEP_MS_MAX = 240_000;

export class FleetWatch {
  readonly #url: string;
  readonly #token: string;
  readonly #shown = new Map<string, string>();
  #rows: readonly RobotRow[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async get<T>(path: string): Promise<T> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const response = await fetch(`${this.#url}${path}`, { headers });
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#poll(), POLL_MS);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  row(robot: string): RobotRow | undefined {
    return this.#rows.find((row) => row.robot_id === robot);
  }

  /** True when it runs that version and does nothing else. */
  runs(robot: string, version: string): boolean {
    const row = this.row(robot);
    return row?.version === version && row.phase === 'idle';
  }

  /** Resolves once `holds`; rejects with what is the case instead. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const deadline = Date.now() + STEP_MS_MAX;
    while (!holds()) {
      if (Date.now() > deadline) {
        throw new Error(
          `${what}: not within ${STEP_MS_MAX / 1000} s: ${JSON.stringify(this.#rows)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS / 2));
    }
  }

  async #poll(): Promise<void> {
    try {
      this.#rows = (await this.get<{ robots: RobotRow[] }>('/robots')).robots;
    } catch {
      return; // the broker is starting or gone; `until` says so when it matters
    }
    for (const row of this.#rows) {
      const line = describe(row);
      if (this.#shown.get(row.robot_id) === line) continue;
      this.#shown.set(row.robot_id, line);
      console.log(`    ${row.robot_id}  ${line}`);
    }
  }
}

function describe(row: RobotRow): string {
  const version = (row.version ?? 'nothing').padEnd(7);
  const link = row.online ? '' : ' (offline)';
  const { transfer } = row;
  const percent = transfer ? Math.round((100 * transfer.bytes_done) / transfer.bytes_total) : 0;
  const part = row.phase === 'downloading' && transfer ? ` ${percent} %` : '';
  const error = row.last_error && row.phase === 'idle' ? `  [${row.last_error.code}]` : '';
  return `${version} ${row.phase}${part}${link}${error}`;
}
