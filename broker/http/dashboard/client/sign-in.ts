/** Signing in and out: the browser keeps the session in a cookie that no script can read. */

import type { UserAnswer } from './answers.ts';
import { messageOf, type Api } from './api.ts';
import { byId } from './dom.ts';

export class SignIn {
  readonly #api: Api;
  readonly #secret = byId<HTMLInputElement>('secret');
  readonly #username = byId<HTMLInputElement>('username');

  /** @param onChange somebody has signed in, or a session has ended */
  constructor(api: Api, onChange: () => void) {
    this.#api = api;
    const fail = (error: unknown): void => {
      byId('sign-in-problem').textContent = messageOf(error);
    };
    byId('sign-in-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#enter().then(onChange, fail);
    });
    byId('sign-out').addEventListener('click', () => {
      // The next person at this screen finds nothing of what was shown.
      this.#api.post('sign-out', {}).then(() => location.reload(), onChange);
    });
  }

  /** Asks whose session this is. */
  async refresh(): Promise<void> {
    this.#take(await this.#api.get<UserAnswer>('user'));
  }

  /** True when the form is shown, because nobody is signed in. */
  get isNeeded(): boolean {
    const { needs_sign_in: isNeeded, user } = this.#api.user;
    return isNeeded && user === null;
  }

  async #enter(): Promise<void> {
    const username = this.#username.value.trim();
    const secret = username === '' ? this.#secret.value.trim() : this.#secret.value;
    byId('sign-in-problem').textContent = '';
    this.#take(await this.#api.post<UserAnswer>('sign-in', { username, secret }));
    this.#secret.value = '';
  }

  #take(user: UserAnswer): void {
    this.#api.user = user;
    byId('account').hidden = user.csrf === null;
    byId('who').textContent = user.user === null ? '' : `${user.user}, ${user.role ?? ''}`;
    const wasHidden = byId('sign-in').hidden;
    byId('sign-in').hidden = !this.isNeeded;
    if (this.isNeeded && wasHidden) this.#username.focus();
  }
}
