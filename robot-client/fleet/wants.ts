/** Publishes requests for packages that this robot can take; each once over one connection. */

import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Log, Wire } from '../../shared/base/ports.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import { reportWant } from './report.ts';

export interface Want {
  readonly component: string;
  readonly wanted: { readonly version: string; readonly minCurrentVersion: string };
  /** Active version; null for none. */
  readonly version: string | null;
}

export class Wants {
  readonly #robot: { readonly robot: RobotId; readonly arch: string; readonly log: Log };
  readonly #wire: () => Wire | null;
  /** The last request of each component. */
  readonly #asked = new Map<string, string>();

  constructor(robot: { robot: RobotId; arch: string; log: Log }, wire: () => Wire | null) {
    this.#robot = robot;
    this.#wire = wire;
  }

  /** A new connection: the earlier requests may not have arrived. */
  forget(): void {
    this.#asked.clear();
  }

  /** Sends the request of another computer of this robot. @throws DroverError BROKER_UNREACHABLE */
  async send(bytes: Uint8Array): Promise<void> {
    const wire = this.#wire();
    if (!wire) throw new DroverError('BROKER_UNREACHABLE', 'request a package: not connected yet');
    await wire.send(robotTopic(this.#robot.robot, 'want'), bytes, { retain: false, qos: 1 });
  }

  ask(want: Want, now: EpochMs): void {
    const { robot, arch, log } = this.#robot;
    const wire = this.#wire();
    const key = `${want.wanted.version} ${want.version}`;
    if (key === this.#asked.get(want.component) || wire?.isUp !== true) return;
    this.#asked.set(want.component, key);
    const bytes = encodeMessage(reportWant({ robot, arch, ...want, now }));
    wire
      .send(robotTopic(robot, 'want'), bytes, { retain: false, qos: 1 })
      .catch((error: unknown) => {
        log.debug({ error: String(error) }, 'could not request a package');
      });
  }
}
