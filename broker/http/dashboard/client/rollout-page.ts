/** The page of one rollout: where it stands, what can be done, its robots, evidence and history. */

import type {
  AuditEntry,
  CommandsAnswer,
  HistoryOnPage,
  RolloutOnPage,
  RolloutRobot,
  RolloutRobotsAnswer,
  SetOnPage,
} from './answers.ts';
import type { Api } from './api.ts';
import { commandBlock, type ConfirmDialog } from './commands.ts';
import { byId, make, redraw, showHead, spaced, timeMark } from './dom.ts';
import { EvidenceOverTime, gateBlock } from './evidence.ts';
import { FILTERS, memberTable } from './members.ts';
import { setTag, statusTag, whyLines } from './rollout-card.ts';
import { legend, waveBar } from './wave-bars.ts';

const HISTORY_PAGES_MAX = 20;
const ATTACHMENT_LABELS: Readonly<Record<string, string>> = {
  sbom: 'software bill of materials',
  provenance: 'provenance',
  notes: 'release notes',
};

export class RolloutPage {
  readonly #api: Api;
  readonly #dialog: ConfirmDialog;
  readonly #onProblem: (error: unknown) => void;
  readonly #standing = byId<HTMLSelectElement>('standing');
  readonly #more = byId<HTMLButtonElement>('more');
  #id = '';
  #entries: AuditEntry[] = [];
  #evidence = new EvidenceOverTime();
  /** Further pages that a person asked for. */
  #pages = 1;

  constructor(api: Api, dialog: ConfirmDialog, onProblem: (error: unknown) => void) {
    this.#api = api;
    this.#dialog = dialog;
    this.#onProblem = onProblem;
    byId('legend').replaceChildren(...legend());
    const options = FILTERS.map(([value, text]) => make('option', { value, text }));
    this.#standing.replaceChildren(...options);
    this.#standing.addEventListener('change', () => {
      this.#pages = 1;
      this.#showMembers().catch(onProblem);
    });
    this.#more.addEventListener('click', () => {
      this.#pages += 1;
      this.#showMembers().catch(onProblem);
    });
  }

  /** The name of a set leads to its first rollout: from there a command is about all of them. */
  async show(id: string): Promise<void> {
    if (id !== this.#id) {
      const found = await this.#api.get<SetOnPage>(`rollouts/${encodeURIComponent(id)}`);
      const [first] = found.rollouts ?? [];
      if (first) return location.replace(`#/rollouts/${encodeURIComponent(first.id)}`);
      this.#begin(id);
    }
    const path = this.#path;
    const [rollout, commands, members] = await Promise.all([
      this.#api.get<RolloutOnPage>(path),
      this.#api.get<CommandsAnswer>(`${path}/commands`),
      this.#showMembers(),
      this.#readHistory(),
    ]);
    if (id !== this.#id) return; // another page was opened meanwhile
    this.#showSummary(rollout);
    const waves = members?.waves ?? [];
    redraw(byId('waves'), [waves, rollout.run], () => waves.map((one) => waveBar(one, rollout)));
    redraw(byId('commands'), commands, () =>
      commandBlock(commands, (one) => {
        this.#dialog.open(rollout, one).catch(this.#onProblem);
      }),
    );
    this.#evidence.addNow(rollout.run?.gate ?? null);
    this.#showEvidence(rollout);
    redraw(byId('history'), this.#entries.length, () => this.#entries.toReversed().map(entryLine));
  }

  #begin(id: string): void {
    this.#id = id;
    this.#entries = [];
    this.#evidence = new EvidenceOverTime();
    this.#pages = 1;
    this.#standing.selectedIndex = 0;
    byId('rollout-title').textContent = id;
    for (const part of ['summary', 'waves', 'commands', 'members', 'evidence', 'history']) {
      redraw(byId(part), id, () => []);
    }
  }

  get #path(): string {
    return `rollouts/${encodeURIComponent(this.#id)}`;
  }

  #showSummary(rollout: RolloutOnPage): void {
    const { run } = rollout;
    const name = `${rollout.component ?? '?'} ${rollout.version ?? '?'}`;
    byId('rollout-title').textContent = `${name} (${rollout.id})`;
    showHead([rollout.id]);
    redraw(byId('summary'), rollout, () => {
      const tags = make('p', { class: 'tags' }, statusTag(rollout));
      if (rollout.emergency) tags.append(make('span', { class: 'tag bad', text: 'emergency' }));
      tags.append(...setTag(rollout));
      tags.append(make('span', { class: 'soft', text: rollout.words.robots }));
      const can = run?.approval?.text ?? null;
      return [
        tags,
        make('p', { id: 'waits', text: `waits ${rollout.words.waits}` }),
        ...(can ? [make('p', { class: 'soft', text: `approval: ${can}` })] : []),
        ...rollout.words.budget.map((text) => make('p', { class: 'soft', text })),
        ...whyLines(rollout),
        ...attachmentLinks(rollout),
      ];
    });
  }

  #showEvidence({ run }: RolloutOnPage): void {
    const figures = this.#evidence.figures();
    const texts = figures.map(({ textContent }) => textContent);
    redraw(byId('evidence'), [run?.gate, texts], () => [
      ...(run?.gate ? [gateBlock(run.gate)] : [make('p', { class: 'soft', text: NO_GATE })]),
      make('div', { class: 'figures' }, ...figures),
    ]);
  }

  /** Null when another page was opened meanwhile. */
  async #showMembers(): Promise<RolloutRobotsAnswer | null> {
    const id = this.#id;
    const found: RolloutRobot[] = [];
    let answer: RolloutRobotsAnswer | null = null;
    for (let page = 0; page < this.#pages; page += 1) {
      const query = new URLSearchParams({ limit: '100' });
      if (this.#standing.value) query.set('state', this.#standing.value);
      if (answer?.next) query.set('after', answer.next);
      answer = await this.#api.get<RolloutRobotsAnswer>(`${this.#path}/robots?${String(query)}`);
      found.push(...answer.robots);
      if (answer.next === null) break;
    }
    if (answer === null || id !== this.#id) return null;
    const all: RolloutRobotsAnswer = { ...answer, robots: found };
    this.#more.hidden = answer.next === null;
    redraw(byId('members'), all, () => memberTable(all));
    return all;
  }

  async #readHistory(): Promise<void> {
    const id = this.#id;
    for (let page = 0; page < HISTORY_PAGES_MAX; page += 1) {
      const after = this.#entries.at(-1)?.seq ?? 0;
      const path = `${this.#path}/history?after=${after}`;
      const { entries } = await this.#api.get<HistoryOnPage>(path);
      if (id !== this.#id || entries.length === 0) return;
      this.#entries.push(...entries);
      this.#evidence.addHistory(entries);
    }
  }
}

const NO_GATE = 'The gate judges nothing now.';

function attachmentLinks({ id, attachments }: RolloutOnPage): HTMLElement[] {
  if (attachments.length === 0) return [];
  const links = attachments.map(({ kind }) =>
    make('a', {
      text: ATTACHMENT_LABELS[kind] ?? kind,
      href: `rollouts/${encodeURIComponent(id)}/${encodeURIComponent(kind)}`,
      download: `${id}-${kind}`,
    }),
  );
  return [make('p', { class: 'tags' }, 'published with it: ', ...links)];
}

const entryLine = ({ at, kind, by, text }: AuditEntry): HTMLElement =>
  make(
    'li',
    {},
    timeMark(at),
    make('b', { text: spaced(kind) }),
    make('span', { text }),
    make('span', { class: 'soft', text: `by ${by}` }),
  );
