/** A broker at the far side of a shaped wire and robots at the near one, as real processes. */

import { join } from 'node:path';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { startDrover, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { ShapedWire } from '../helpers/shaped-wire.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import type { ComponentStatus, Site } from './site.ts';

const MQTT_PORT = 1883; // of a namespace that nothing else lives in

export class WiredSite {
  readonly #scope: Scope;
  readonly #site: Site;
  readonly #wire: ShapedWire;
  readonly url = `mqtt://${ShapedWire.FAR_ADDRESS}:${MQTT_PORT}`;

  constructor(scope: Scope, site: Site, wire: ShapedWire) {
    this.#scope = scope;
    this.#site = site;
    this.#wire = wire;
  }

  /** @param data folder of the broker; what was published to it over another link is there */
  async broker(data: string, more: readonly string[] = []): Promise<Child> {
    const open = ['--host', ShapedWire.FAR_ADDRESS, '--allow-anonymous', '--http', '0'];
    const args = ['--data', data, '--mqtt', String(MQTT_PORT), ...open, '--json', ...more];
    const child = startDrover(this.#scope, 'broker', args, this.#wire.on('far'));
    await child.waitForOutput(/^\{"mqtt":.*\}$/m);
    return child;
  }

  robot(id: string, more: readonly string[] = []): WiredRobot {
    const root = this.#site.path(id);
    const own = ['--id', id, '--root', root, '--hooks', this.#site.path('no-hooks')];
    const args = [...own, '--broker', this.url, '--trust', this.#site.path('trust.json'), ...more];
    const child = startDrover(this.#scope, 'robot-client', args, this.#wire.on('near'));
    return new WiredRobot(id, root, child);
  }
}

export class WiredRobot {
  readonly id: string;
  readonly #socket: string;
  readonly child: Child;

  constructor(id: string, root: string, child: Child) {
    this.id = id;
    this.#socket = join(root, 'state/agent.sock');
    this.child = child;
  }

  async runs(version: string, timeoutMs: number): Promise<ComponentStatus> {
    const settled = (s: ComponentStatus): boolean => s.version === version && s.phase === 'idle';
    return await this.#until(`run ${version}`, settled, timeoutMs);
  }

  async waitsFor(reason: RegExp, timeoutMs: number): Promise<ComponentStatus> {
    const waits = (s: ComponentStatus): boolean => reason.test(s.waiting_for ?? '');
    return await this.#until(`wait for ${String(reason)}`, waits, timeoutMs);
  }

  async #until(
    what: string,
    holds: (status: ComponentStatus) => boolean,
    timeoutMs: number,
  ): Promise<ComponentStatus> {
    let last: unknown;
    const found = await waitUntil(
      `${this.id} to ${what}`,
      async () => {
        if (this.child.ended) return this.child.ended;
        const status = await callLocalApi(this.#socket, 'GET', '/status');
        last = status;
        const [one] = (status as unknown as { components: ComponentStatus[] }).components;
        return one && holds(one) ? one : null;
      },
      { timeoutMs, look: () => `${JSON.stringify(last)}\n${this.child.describe()}` },
    );
    if ('phase' in found) return found;
    throw new Error(`ended before it could ${what}\n${this.child.describe()}`);
  }
}
