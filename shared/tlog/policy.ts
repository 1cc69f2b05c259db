/**
 * Policies (C2SP tlog-policy): the accepted logs, the known witnesses, and how many of them must
 * have seen a checkpoint. A text file that every verifier has of its own. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import type { Checkpoint } from './checkpoint.ts';
import { parseVerifier, signatureOf, type Verifier } from './note-keys.ts';

/** Counts as having seen a checkpoint when at least `want` of its members have. */
interface Group {
  readonly want: number;
  readonly members: readonly string[];
}

export interface LogPolicy {
  readonly logs: readonly Verifier[];
  readonly witnesses: ReadonlyMap<string, Verifier>;
  readonly groups: ReadonlyMap<string, Group>;
  /** Name of a witness or a group; null: no witness is asked for. */
  readonly quorum: string | null;
}

const NONE = 'none';

/** [P-14.5] @throws DroverError LOG_POLICY_INVALID */
export function parseLogPolicy(bytes: Uint8Array): LogPolicy {
  const reader = new PolicyReader();
  for (const [at, line] of policyLines(bytes).entries()) {
    const words = line.split(/[ \t]+/).filter((word) => word !== '');
    if (words[0] === undefined || words[0].startsWith('#')) continue;
    try {
      reader.take(words);
    } catch (error) {
      if (!(error instanceof DroverError)) throw error;
      const why = error.message.replace(/^read (?:signed note|log policy): /, '');
      throw invalid(`line ${at + 1}: ${why}`);
    }
  }
  return reader.done();
}

const invalid = (why: string): DroverError =>
  new DroverError('LOG_POLICY_INVALID', `read log policy: ${why}`);

function policyLines(bytes: Uint8Array): string[] {
  if (bytes.byteLength > LIMITS.logPolicyBytesMax) {
    throw invalid(`too large (want at most ${LIMITS.logPolicyBytesMax} bytes)`);
  }
  if (bytes.some((byte) => (byte < 0x20 && byte !== 0x09 && byte !== 0x0a) || byte === 0x7f)) {
    throw invalid('it holds a control character');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).split('\n');
  } catch {
    throw invalid('it is not UTF-8');
  }
}

class PolicyReader {
  readonly #logs: Verifier[] = [];
  readonly #witnesses = new Map<string, Verifier>();
  readonly #groups = new Map<string, Group>();
  readonly #used = new Set<string>();
  #quorum: string | null | undefined;

  take([word = '', ...rest]: readonly string[]): void {
    if (word === 'log') return this.#takeLog(rest);
    if (word === 'witness') return this.#takeWitness(rest);
    if (word === 'group') return this.#takeGroup(rest);
    if (word === 'quorum') return this.#takeQuorum(rest);
    throw invalid(`want log, witness, group or quorum (got ${shown(word)})`);
  }

  #takeLog([key = '', , ...more]: readonly string[]): void {
    if (key === '' || more.length > 0) throw invalid('want log VKEY');
    const log = parseVerifier(key, 'log');
    assertOther(log, [...this.#logs, ...this.#witnesses.values()]);
    if (this.#logs.length >= LIMITS.logPolicyNamesMax) throw invalid('too many logs');
    this.#logs.push(log);
  }

  #takeWitness([name = '', key = '', , ...more]: readonly string[]): void {
    if (key === '' || more.length > 0) throw invalid('want witness NAME VKEY');
    this.#assertFree(name, this.#witnesses.size);
    const witness = parseVerifier(key, 'witness');
    assertOther(witness, [...this.#logs, ...this.#witnesses.values()]);
    this.#witnesses.set(name, witness);
  }

  #takeGroup([name = '', count = '', ...members]: readonly string[]): void {
    if (members.length === 0) throw invalid('want group NAME COUNT MEMBER...');
    this.#assertFree(name, this.#groups.size);
    for (const member of members) {
      if (!this.#isNamed(member)) throw invalid(`there is no ${shown(member)} before this line`);
      if (this.#used.has(member)) throw invalid(`${shown(member)} is a member twice`);
      this.#used.add(member);
    }
    const want = wantOf(count, members.length);
    if (want === null) throw invalid(`want all, any or 1 to ${members.length} (${shown(count)})`);
    this.#groups.set(name, { want, members });
  }

  #takeQuorum([name = '', ...more]: readonly string[]): void {
    if (name === '' || more.length > 0) throw invalid('want quorum NAME');
    if (this.#quorum !== undefined) throw invalid('there is a quorum already');
    if (name !== NONE && !this.#isNamed(name)) throw invalid(`there is no ${shown(name)}`);
    this.#quorum = name === NONE ? null : name;
  }

  #isNamed(name: string): boolean {
    return this.#witnesses.has(name) || this.#groups.has(name);
  }

  #assertFree(name: string, count: number): void {
    if (name === NONE || this.#isNamed(name)) throw invalid(`the name ${shown(name)} is taken`);
    if (count >= LIMITS.logPolicyNamesMax) throw invalid('too many of them');
  }

  done(): LogPolicy {
    if (this.#quorum === undefined) throw invalid('there is no quorum line');
    if (this.#logs.length === 0) throw invalid('it names no log');
    const [logs, witnesses, groups] = [this.#logs, this.#witnesses, this.#groups];
    return { logs, witnesses, groups, quorum: this.#quorum };
  }
}

const shown = (word: string): string => JSON.stringify(printable(word.slice(0, 60)));

function wantOf(count: string, members: number): number | null {
  if (count === 'all') return members;
  if (count === 'any') return 1;
  const value = /^[1-9]\d{0,2}$/.test(count) ? Number(count) : 0;
  return value >= 1 && value <= members ? value : null;
}

/** Two names of one key would let it count twice, and a log be its own witness. */
function assertOther(added: Verifier, others: readonly Verifier[]): void {
  if (others.every(({ publicKey }) => publicKey !== added.publicKey)) return;
  throw invalid(`the key of ${shown(added.name)} is there already`);
}

export interface SeenCheckpoint {
  /** Why the checkpoint must not be trusted; null when a log of the policy signed it. */
  readonly fault: string | null;
  /** Witnesses whose cosignatures hold, by their names in the policy. */
  readonly witnesses: readonly string[];
  /** True when they meet the quorum. */
  readonly isWitnessed: boolean;
}

/** Reads a checkpoint by a policy: its log, and who has seen it. */
export function seenBy(checkpoint: Checkpoint, policy: LogPolicy): SeenCheckpoint {
  const { note, origin } = checkpoint;
  const no = (fault: string): SeenCheckpoint => ({ fault, witnesses: [], isWitnessed: false });
  const log = policy.logs.find((one) => one.name === origin && signatureOf(note, one) !== 'absent');
  if (!log) return no(`no log of the policy has signed for ${shown(origin)}`);
  if (signatureOf(note, log) === 'fails') return no(`the signature of ${shown(origin)} is bad`);
  const names: string[] = [];
  for (const [name, witness] of policy.witnesses) {
    const state = signatureOf(note, witness);
    if (state === 'fails') return no(`the cosignature of ${shown(name)} is bad`);
    if (state === 'holds') names.push(name);
  }
  const { quorum } = policy;
  const isWitnessed = quorum === null || hasSeen(quorum, policy, new Set(names));
  return { fault: null, witnesses: names, isWitnessed };
}

/** Groups name only what stands before them, so this ends. */
function hasSeen(name: string, policy: LogPolicy, names: ReadonlySet<string>): boolean {
  const group = policy.groups.get(name);
  if (!group) return names.has(name);
  return group.members.filter((one) => hasSeen(one, policy, names)).length >= group.want;
}
