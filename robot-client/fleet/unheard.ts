/**
 * Tracks progress that this robot refused, until a valid one arrives on its topic. Meanwhile the
 * robot obeys no stop, no recall and no new wave of that rollout, so the fleet has to see it.
 * Sans-I/O.
 */

import { nullIfRefused } from '../../shared/base/errors.ts';
import type { Announcement } from '../../shared/formats/announcement.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { RefusedProgressFields } from '../../shared/formats/messages.ts';
import {
  fieldsOf,
  RefusedProgress,
  type RefusedWord,
} from '../../shared/rules/refused-progress.ts';
import type { ComponentView, Held } from './report.ts';

type Refused = Held & RefusedWord;

type Announced = Pick<Announcement, 'rollouts'> | null;

export class Unheard extends RefusedProgress<Refused> {
  /** For the state report: only announced rollouts, the others are over. */
  fieldsOf(announced: Announced): RefusedProgressFields {
    return this.#of(announced).map(([{ id }, refused]) => fieldsOf(id, refused));
  }

  /** Adds to each component the refused progress of a rollout for it. */
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
      const refused = this.get(rollout.id);
      return refused ? [[rollout, refused]] : [];
    });
  }
}
