/** Whatever can clean up when a test is over: the context of a test, or node:test's own `after`. */
export interface Scope {
  after(run: () => void | Promise<void>): void;
}
