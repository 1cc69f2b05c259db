/**
 * Counts the tests of a run from the events of node:test. Pure, so that the one number people
 * trust is itself tested. It must never let a run look better than it was: a file that ended
 * without a test, a cancelled test and (where every peer program must exist) a skipped one count
 * as failures.
 */

/** The part of a `test:pass` or `test:fail` event that counting needs. */
export interface TestEnd {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string | undefined;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  /** `suite` for a describe block. */
  readonly type?: string | undefined;
  /** node:test's word for why: `subtestsFailed`, `hookFailed`, `cancelledByParent`, … */
  readonly failureType?: string | undefined;
}

/** A test that cannot run on this operating system may be skipped anywhere, CI included. */
const EXCUSED_SKIP = 'not on this platform';

export class Tally {
  readonly #skipsFail: boolean;
  /** For each file, how many tests ended one level below since the last end on each level. */
  readonly #below = new Map<string, number[]>();
  readonly #complaints: string[] = [];
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  /** @param options.skipsFail true where a missing peer program must not go unnoticed */
  constructor(options: { skipsFail: boolean }) {
    this.#skipsFail = options.skipsFail;
  }

  pass(end: TestEnd): void {
    const hadSubtests = this.#close(end);
    if (end.name === end.file) return this.#fail(`${end.name}: ended without running a test`);
    if (end.type === 'suite' || hadSubtests) return;
    if (end.skip === undefined && end.todo === undefined) this.#passed += 1;
    else this.#skip(end);
  }

  fail(end: TestEnd): void {
    const hadSubtests = this.#close(end);
    // The subtest that failed has been counted; the parent adds nothing.
    if (end.failureType === 'subtestsFailed' && hadSubtests) return;
    this.#failed += 1;
  }

  /** Reasons why the run failed, beside failing tests. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  get isGood(): boolean {
    return this.#failed === 0 && this.#passed > 0;
  }

  get failed(): number {
    return this.#failed;
  }

  /**
   * Counts what failed by what came of it when its files ran again, alone.
   * @param again of those files; one that ran nothing changes nothing
   */
  replaceFailures(again: Tally): void {
    if (again.#passed + again.#failed === 0) return;
    this.#passed += Math.max(0, this.#failed - again.#failed);
    this.#failed = again.#failed;
    this.#complaints.push(...again.#complaints);
  }

  /** `3 passed, 0 failed`, with `, 1 skipped` when any was. */
  get line(): string {
    const skipped = this.#skipped > 0 ? `, ${this.#skipped} skipped` : '';
    return `${this.#passed} passed, ${this.#failed} failed${skipped}`;
  }

  #skip(end: TestEnd): void {
    const reason = typeof end.skip === 'string' ? end.skip : 'no reason given';
    if (this.#skipsFail && !reason.startsWith(EXCUSED_SKIP)) {
      this.#fail(
        `${end.file ?? ''}: skipped "${end.name}" where nothing may be skipped: ${reason}`,
      );
    } else {
      this.#skipped += 1;
    }
  }

  #fail(complaint: string): void {
    this.#failed += 1;
    this.#complaints.push(complaint);
  }

  /** node:test reports children before their parent, in order within a file. */
  #close({ file = '', nesting }: TestEnd): boolean {
    const below = this.#below.get(file) ?? [];
    this.#below.set(file, below);
    const hadSubtests = (below[nesting + 1] ?? 0) > 0;
    below[nesting + 1] = 0;
    below[nesting] = (below[nesting] ?? 0) + 1;
    return hadSubtests;
  }
}
