/**
 * Progress that this robot cannot follow: it was refused, and nothing that holds has come on its
 * topic since. While that lasts the robot obeys no stop, no recall and no new wave of that rollout,
 * so the fleet has to see it. Sans-I/O.
 */

import { nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Announcement } from '../../shared/formats/announcement.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { RobotStateFields } from '../../shared/formats/messages.ts';
import type { ComponentView, Held } from './report.ts';

interface Refused extends Held {
  /** The `seq` that it had; null when it could not be read. */
  readonly seq: number | null;
}

type Announced = Pick<Announcement, 'rollouts'> | null;

export class Unheard {
  readonly #refused = new Map<string, Refused>();

  /** @returns true when this was not known */
  note(rollout: string, refused: Refused): boolean {
    const known = this.#refused.get(rollout);
    const isSame = known?.problem.code === refused.problem.code && known.seq === refused.seq;
    if (isSame) return false;
    this.#refused.delete(rollout);
    this.#refused.set(rollout, refused);
    const [oldest] = this.#refused.keys();
    if (this.#refused.size > LIMITS.rolloutsMax && oldest !== undefined)
      this.#refused.delete(oldest);
    return true;
  }

  /** Progress of it was accepted, or taken back. @returns true when one was refused before */
  heard(rollout: string): boolean {
    return this.#refused.delete(rollout);
  }

  /** For the state report: of rollouts that are announced, the others are over. */
  fields(announced: Announced): NonNullable<RobotStateFields['progress_refused']> {
    return this.#of(announced).map(([{ id }, { problem, seq }]) => ({
      rollout: id,
      code: problem.code,
      ...(seq === null ? {} : { seq }),
    }));
  }

  /** Components as they are told: with what stands between them and a rollout that is for them. */
  over(views: readonly ComponentView[], announced: Announced): ComponentView[] {
    const all = this.#of(announced).map(([{ manifest }, held]) => ({
      component: nullIfRefused(() => parseManifest(manifest))?.name,
      held,
    }));
    return views.map((view) => {
      const unheard = all.findLast(({ component }) => component === view.name)?.held;
      return unheard ? { ...view, unheard } : view;
    });
  }

  #of(announced: Announced): [Announcement['rollouts'][number], Refused][] {
    return (announced?.rollouts ?? []).flatMap((rollout) => {
      const refused = this.#refused.get(rollout.id);
      return refused ? [[rollout, refused]] : [];
    });
  }
}
