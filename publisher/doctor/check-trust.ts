/** Judges trust.json and the private keys. Sans-I/O. */

import { timeLeft } from '../../shared/base/durations.ts';
import { countOf, shellWord } from '../../shared/base/printable.ts';
import { keyIdOf } from '../../shared/crypto/ed25519.ts';
import { rolesOfKey, type RoleName, type TrustRoot } from '../../shared/formats/trust.ts';
import { isTrustExpired, trustProblem } from '../../shared/rules/trust-life.ts';
import { sharedKeys } from '../trust/plan-trust.ts';
import type { DoctorFacts, KeyFact } from './facts.ts';
import { about, fail, ok, problemText, skip, caution, type Finding } from './finding.ts';

export function checkTrustAndKeys(facts: DoctorFacts): Finding[] {
  return [
    ...checkTrust(facts),
    ...facts.keys.flatMap((key) => checkKey(key, facts)),
    ...(facts.keys.length === 0 ? [skip('key', 'private keys', 'none was given (--key)')] : []),
  ];
}

const ROLES: readonly RoleName[] = ['root', 'release', 'rollout'];

function checkTrust({ trust: fact, trustUnsafe, broker, now }: DoctorFacts): readonly Finding[] {
  return about('trust', 'trust.json', fact, (trust) => [
    checkTrustLife(trust, now),
    ...(trustUnsafe ? [caution('trust', `trust.json: ${trustUnsafe.why}`, trustUnsafe.mend)] : []),
    ...checkSharedKeys(trust),
    ...(broker.control.kind === 'known' ? newerTrust(trust, broker.control.value) : []),
  ]);
}

function checkTrustLife(trust: TrustRoot, now: number): Finding {
  const problem = trustProblem(trust, now);
  if (problem) {
    const verdict = isTrustExpired(trust, now) ? fail : caution;
    return verdict('trust', problemText(problem), problem.hint);
  }
  const roles = ROLES.map((name) => {
    const { keys, threshold } = trust.roles[name];
    return `${name} ${threshold} of ${countOf(keys.length, 'key')}`;
  });
  const { version, fleet, expires } = trust;
  const left = timeLeft(expires - now);
  return ok('trust', `trust.json ${version} of fleet ${fleet}: ${left} left; ${roles.join(', ')}`);
}

function checkSharedKeys({ roles: { release, rollout } }: TrustRoot): Finding[] {
  if (sharedKeys(release.keys, rollout.keys).length === 0) return [];
  const text = 'one key of trust.json is both release and rollout: who steals it can sign code';
  const hint = 'give rollout a key of its own: drover keygen, then drover trust rotate';
  return [caution('trust', text, hint)];
}

function newerTrust(
  { version }: TrustRoot,
  { trustVersions }: { readonly trustVersions: readonly number[] },
): Finding[] {
  const newest = Math.max(0, ...trustVersions);
  if (newest <= version) return [];
  const text = `trust.json ${version} is not the newest: the broker has an update to ${newest}`;
  return [caution('trust', text, 'get the newest trust.json from the person who rotated the keys')];
}

function checkKey({ path, key }: KeyFact, { trust }: DoctorFacts): readonly Finding[] {
  return about('key', `key ${path}`, key, ({ publicKey, openMode }) => {
    const open = openMode === null ? [] : [openKey(path, openMode)];
    const name = `key ${path} (${keyIdOf(publicKey)})`;
    if (trust.kind !== 'known') {
      const why = 'its role is not known without a trust.json (--trust)';
      return [...open, skip('key', name, why)];
    }
    const roles = rolesOfKey(trust.value, publicKey);
    if (roles.length === 0) {
      const hint = 'give the key that trust.json names, or the trust.json that names this key';
      return [...open, fail('key', `${name} has no role in trust.json`, hint)];
    }
    const only = openMode === null ? '; only its owner may read it' : '';
    return [...open, ok('key', `${name} signs as ${roles.join(' and ')}${only}`)];
  });
}

function openKey(path: string, mode: number): Finding {
  const text = `key ${path} is open to other users (mode ${mode.toString(8)})`;
  return caution('key', text, `chmod 600 ${shellWord(path)}`);
}
