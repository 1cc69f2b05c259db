/**
 * Buttons that steer a rollout. The broker says which commands it would take now and what each does
 * to how many robots; a dialog shows that again before anything is sent. A command that is final
 * needs the typed id of the rollout.
 */

import type { CommandPreview, CommandsAnswer, RolloutOnPage } from './answers.ts';
import { messageOf, type Api } from './api.ts';
import { byId, make } from './dom.ts';

const LABELS: Readonly<Record<CommandPreview['command'], string>> = {
  approve: 'Approve',
  pause: 'Pause',
  resume: 'Resume',
  abort: 'Abort',
  rollback: 'Roll back',
};

/** A person with a key signs this in a terminal: the page has no key, and shows the command. */
const NEEDS_KEY = 'APPROVAL_UNSIGNED';

const labelOf = ({ command, wave }: CommandPreview): string =>
  wave === null ? LABELS[command] : `${LABELS[command]} wave ${wave}`;

const pathOf = (id: string): string => `rollouts/${encodeURIComponent(id)}`;

export function commandBlock(
  { commands, led }: CommandsAnswer,
  onCommand: (command: CommandPreview) => void,
): HTMLElement[] {
  if (led !== 'here') {
    const where = led === 'above' ? 'the broker above leads it' : 'this broker leads no rollouts';
    return [make('p', { class: 'soft', text: `It cannot be steered here: ${where}.` })];
  }
  const open = commands.filter(({ refusal }) => refusal === null);
  const typed = commands.filter(({ refusal }) => refusal?.code === NEEDS_KEY);
  const shut = commands.filter((one) => one.refusal !== null && !typed.includes(one));
  const rows = open.map((one) => {
    const button = make('button', {
      text: labelOf(one),
      type: 'button',
      class: one.final ? 'final' : '',
      'aria-describedby': `effect-${one.command}`,
    });
    button.addEventListener('click', () => onCommand(one));
    const effect = make('span', { id: `effect-${one.command}`, text: one.effect });
    return make('li', {}, button, effect);
  });
  const signed = typed.map((one) =>
    make('li', { text: `${labelOf(one)}: ${one.refusal?.message ?? ''}` }),
  );
  const refused = shut.map((one) =>
    make('li', { text: `${labelOf(one)}: ${one.refusal?.message ?? ''}` }),
  );
  return [
    ...(rows.length + signed.length > 0
      ? [make('ul', { class: 'commands' }, ...rows, ...signed)]
      : []),
    ...(refused.length > 0
      ? [
          make(
            'details',
            {},
            make('summary', { text: 'Not possible now' }),
            make('ul', { class: 'soft' }, ...refused),
          ),
        ]
      : []),
  ];
}

/** The dialog before a command. One at a time. */
export class ConfirmDialog {
  readonly #api: Api;
  readonly #onDone: (text: string) => void;
  readonly #dialog = byId<HTMLDialogElement>('confirm');
  readonly #reason = byId<HTMLInputElement>('reason');
  readonly #typed = byId<HTMLInputElement>('typed-id');
  readonly #go = byId<HTMLButtonElement>('go');
  #asked: { readonly id: string; readonly preview: CommandPreview } | null = null;

  constructor(api: Api, onDone: (text: string) => void) {
    this.#api = api;
    this.#onDone = onDone;
    byId('cancel').addEventListener('click', () => this.#dialog.close());
    this.#typed.addEventListener('input', () => this.#enable());
    this.#dialog.addEventListener('close', () => this.#returnFocus());
    byId('confirm-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send().catch((error: unknown) => this.#fail(error));
    });
  }

  /** Asks the broker once more: the numbers on the page may be some seconds old. */
  async open({ id }: Pick<RolloutOnPage, 'id'>, shown: CommandPreview): Promise<void> {
    const answer = await this.#api.get<CommandsAnswer>(`${pathOf(id)}/commands`);
    const preview = answer.commands.find(({ command }) => command === shown.command) ?? shown;
    this.#asked = { id, preview };
    const whose = preview.set === null ? id : `${id} and all of set ${preview.set}`;
    byId('confirm-title').textContent = `${labelOf(preview)}: ${whose}`;
    byId('confirm-effect').textContent = preview.refusal?.message ?? preview.effect;
    byId('confirm-problem').textContent = '';
    byId('typed').hidden = !preview.final;
    byId('typed-label').textContent = `No other command undoes it. To go on, type ${id}`;
    this.#go.textContent = labelOf(preview);
    this.#go.className = preview.final ? 'final' : '';
    this.#reason.value = '';
    this.#typed.value = '';
    this.#enable();
    this.#dialog.showModal();
    (preview.final ? this.#typed : this.#reason).focus();
  }

  close(): void {
    this.#dialog.close();
  }

  #enable(): void {
    const asked = this.#asked;
    const isTyped = !asked?.preview.final || this.#typed.value.trim() === asked.id;
    this.#go.disabled = !asked || asked.preview.refusal !== null || !isTyped;
  }

  async #send(): Promise<void> {
    const asked = this.#asked;
    if (!asked || this.#go.disabled) return;
    this.#go.disabled = true;
    const { id, preview } = asked;
    const wave = preview.wave === null ? {} : { wave: preview.wave };
    const body = { reason: this.#reason.value.trim(), ...wave };
    await this.#api.post(`${pathOf(id)}/${preview.command}`, body);
    this.#dialog.close();
    this.#onDone(`${labelOf(preview)}: the controller has taken it.`);
  }

  #fail(error: unknown): void {
    byId('confirm-problem').textContent = messageOf(error);
    this.#enable();
  }

  /** The button that opened it may have been drawn again since. */
  #returnFocus(): void {
    this.#asked = null;
    if (document.activeElement === document.body) byId('rollout-title').focus();
  }
}
