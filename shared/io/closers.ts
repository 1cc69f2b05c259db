/**
 * Closes in reverse what a program has opened. All of it is closed although one part fails:
 * a lock or a port that stayed behind would keep the next start out.
 */

type Close = () => Promise<void> | void;

export class Closers {
  readonly #closers: Close[] = [];

  /** Opens part by part. Parts opened before a failure are closed before it is thrown. */
  static async open<T extends object>(
    open: (closers: Closers) => Promise<T>,
  ): Promise<T & { close(): Promise<void> }> {
    const closers = new Closers();
    try {
      return { ...(await open(closers)), close: () => closers.close() };
    } catch (error) {
      // The failure of the start explains more than one of the close.
      await closers.close().catch(() => undefined);
      throw error;
    }
  }

  add(close: Close): void {
    this.#closers.push(close);
  }

  /** Registers a part to be closed, and returns it. */
  with<T extends { close(): Promise<void> | void }>(part: T): T {
    this.add(() => part.close());
    return part;
  }

  /** Idempotent. @throws the first failure, when everything else is closed */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
