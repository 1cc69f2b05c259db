/** The part of a test context that runs clean-up after a test; node:test's own `after` fits too. */
export interface Scope {
  after(run: () => void | Promise<void>): void;
}
