/**
 * Networks of their own in one machine: a centre and places around it, each a network namespace,
 * each place with one cable to the centre and no other way anywhere. The kernel counts the bytes
 * that go over a cable. Everything is taken away again, also after a failure.
 */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { startChild, type Child, type ChildOptions } from './child.ts';
import { programFile, type DroverProgram } from './program-file.ts';
import type { Scope } from './scope.ts';

export interface Place {
  /** Address of the centre, as this place sees it. */
  readonly centre: string;
  /** Of the cable to the centre, in both directions. */
  readonly traffic: Traffic;
  run(program: DroverProgram | URL, args: readonly string[], options?: ChildOptions): Child;
}

export interface Traffic {
  /** To this place. */
  readonly down: number;
  /** From it. */
  readonly up: number;
}

interface LinkReport {
  readonly stats64: { readonly rx: { bytes: number }; readonly tx: { bytes: number } };
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export class NetStage {
  readonly #scope: Scope;
  readonly #name = `dn${randomBytes(3).toString('hex')}`;
  readonly #names: string[] = [];
  /** The address at which the test process itself reaches the centre. */
  readonly centre: string;

  /** Needs root. */
  constructor(scope: Scope) {
    this.#scope = scope;
    scope.after(() => this.#close());
    this.#add('c');
    // One cable from outside, so that the test can ask the API of the centre.
    this.centre = this.#cable(0, null);
  }

  /** @param program one of ours, or a script */
  run(program: DroverProgram | URL, args: readonly string[], options?: ChildOptions): Child {
    return this.#run('c', program, args, options);
  }

  /** A place with a number of its own, from 1 to 200. */
  place(number: number): Place {
    const key = `s${number}`;
    this.#add(key);
    const centre = this.#cable(number, key);
    const traffic = (): Traffic => this.#traffic(key);
    return {
      centre,
      get traffic() {
        return traffic();
      },
      run: (...args) => this.#run(key, ...args),
    };
  }

  #add(key: string): void {
    const name = `${this.#name}-${key}`;
    ip('netns', 'add', name);
    this.#names.push(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }

  /** @returns the address of the centre's end */
  #cable(number: number, key: string | null): string {
    const [inner, outer] = [`${this.#name}c${number}`, `${this.#name}o${number}`];
    const centre = `${this.#name}-c`;
    ip('link', 'add', inner, 'type', 'veth', 'peer', 'name', outer);
    ip('link', 'set', inner, 'netns', centre);
    const far = key === null ? [] : ['-n', `${this.#name}-${key}`];
    if (key !== null) ip('link', 'set', outer, 'netns', `${this.#name}-${key}`);
    // Of a range for tests (RFC 2544), so that no network of this machine is hidden.
    const prefix = `198.18.${number}`;
    ip('-n', centre, 'addr', 'add', `${prefix}.1/30`, 'dev', inner);
    ip('-n', centre, 'link', 'set', inner, 'up');
    ip(...far, 'addr', 'add', `${prefix}.2/30`, 'dev', outer);
    ip(...far, 'link', 'set', outer, 'up');
    return `${prefix}.1`;
  }

  #traffic(key: string): Traffic {
    const device = `${this.#name}o${key.slice(1)}`;
    const text = ip('-n', `${this.#name}-${key}`, '-j', '-s', 'link', 'show', 'dev', device);
    const [report] = JSON.parse(text) as LinkReport[];
    if (!report) throw new Error(`no counters of ${device}`);
    return { down: report.stats64.rx.bytes, up: report.stats64.tx.bytes };
  }

  #run(
    key: string,
    program: DroverProgram | URL,
    args: readonly string[],
    options: ChildOptions = {},
  ): Child {
    const file = program instanceof URL ? fileURLToPath(program) : programFile(program);
    const command = [process.execPath, file, ...args];
    return startChild(
      this.#scope,
      'ip',
      ['netns', 'exec', `${this.#name}-${key}`, ...command],
      options,
    );
  }

  #close(): void {
    // A cable goes with either of its ends, as soon as the last process there has ended.
    for (const name of this.#names) ip('netns', 'del', name);
  }
}
