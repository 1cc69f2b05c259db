/**
 * Facts about the machine in every report: its names and tags, the end of its certificate, and the
 * capabilities that a publisher asks for before it announces.
 */

import { ORDER_CAPABILITIES, SET_IMAGES_CAPABILITY } from '../../shared/formats/announcement.ts';
import {
  MANIFEST_CAPABILITIES,
  SLOT_CAPABILITY,
  slotsOf,
} from '../../shared/formats/apply-strategy.ts';
import { LOG_CAPABILITY } from '../../shared/tlog/logged.ts';
import type { AgentOptions } from '../agent-options.ts';
import { SystemImage } from '../boot/system-image.ts';
import { endingOf } from '../enrolment/renewal-plan.ts';
import { layoutOf } from '../install/layout.ts';
import { NO_MODULES } from '../modules/module-folder.ts';
import { patchCapabilities } from '../update/delta.ts';

export class MachineReport {
  readonly #options: AgentOptions;
  /** The boot loader, which components of a set with an image follow; undefined without slots. */
  readonly image: SystemImage | undefined;
  #takesSetImages = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { system, roots, disk } = options;
    const root = roots.find(({ component }) => component === system?.component)?.root;
    this.image =
      system && root !== undefined ? new SystemImage({ ...system, root, disk }) : undefined;
  }

  /** Asks whether `recover` follows the boot loader on this robot: that holds until the next boot. */
  async open(): Promise<void> {
    const { image } = this;
    if (!image || this.#options.roots.length < 2) return;
    const found = this.#options.roots.map(({ root }) => image.unready(layoutOf(root)));
    const problems = (await Promise.all(found)).filter((one) => one !== null);
    this.#takesSetImages = problems.length === 0;
    const [problem] = problems;
    if (problem) this.#options.log.info({ problem }, 'no set with a system image is taken');
  }

  get value() {
    const { arch, model, tags, logPolicy, system, compatible = [] } = this.#options;
    const { modules = NO_MODULES } = this.#options;
    const caps = [
      ...patchCapabilities(this.#options),
      ...(logPolicy ? [LOG_CAPABILITY] : []),
      ...[...MANIFEST_CAPABILITIES, ...ORDER_CAPABILITIES],
      ...(system ? [SLOT_CAPABILITY, ...slotsOf(system.component)] : []),
      ...(this.#takesSetImages ? [SET_IMAGES_CAPABILITY] : []),
    ];
    const certificateEndsMs = endingOf(this.#options.certificate?.());
    return { arch, model, tags, caps, compatible, modules: modules.names, certificateEndsMs };
  }
}
