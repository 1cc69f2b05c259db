/** Runs tasks beside the caller, at most so many of them at once. Sans-I/O. */

export class BoundedTasks {
  readonly #tasksMax: number;
  #running = 0;
  #failure: { readonly error: unknown } | null = null;
  /** Called when a task has ended. */
  #onEnd: (() => void)[] = [];

  constructor(tasksMax: number) {
    this.#tasksMax = tasksMax;
  }

  /** Starts a task when there is room; rejects with the failure of an earlier one. */
  async add(run: () => Promise<void>): Promise<void> {
    this.#running += 1;
    run().then(this.#ended, (error: unknown) => {
      this.#failure ??= { error };
      this.#ended();
    });
    while (this.#running >= this.#tasksMax) await this.#nextEnd();
    this.#throwFailure();
  }

  /** Resolves when all tasks have ended; rejects with the first failure of any. */
  async settled(): Promise<void> {
    await this.idle();
    this.#throwFailure();
  }

  /** Resolves when no task runs, whatever came of them. */
  async idle(): Promise<void> {
    while (this.#running > 0) await this.#nextEnd();
  }

  readonly #ended = (): void => {
    this.#running -= 1;
    for (const resume of this.#onEnd.splice(0)) resume();
  };

  #nextEnd(): Promise<void> {
    return new Promise((resolve) => this.#onEnd.push(resolve));
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
