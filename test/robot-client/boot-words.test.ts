/** `recover` at boot leaves out options that have a mistake. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bootWords } from '../../robot-client/commands/boot-words.ts';

const words = (text: string): string[] => text.split(' ');

describe('a mistake in the options of recover', () => {
  it('leaves the options that name places, in both spellings, and drops all others', () => {
    const given = words('recover --root /opt/a --hook-timeout 5 --modules=/m --root=b=/x --bogus');
    assert.deepEqual(bootWords(given, false), [
      ...['recover', '--root=/opt/a', '--modules=/m', '--root=b=/x'],
    ]);
  });

  it('keeps the first of two values, and no value that is an option', () => {
    const given = words('recover --modules /m --modules /n --socket --json --hooks /h');
    assert.deepEqual(bootWords(given, false), [
      ...['recover', '--modules=/m', '--json', '--hooks=/h'],
    ]);
  });

  it('stands for a person, for a release that was chosen, and for every other command', () => {
    const recover = words('recover --hook-timeout 5');
    assert.equal(bootWords(recover, true), null);
    for (const more of ['--no-boot', '--release=1.0.0', '--help', '--boot=false']) {
      assert.equal(bootWords([...recover, more], false), null, more);
    }
    assert.equal(bootWords(words('adopt --hook-timeout 5'), false), null);
    assert.equal(bootWords(words('--root /x --bogus'), false), null);
  });

  it('stands when it is in a place itself', () => {
    assert.equal(bootWords(words('recover --root=/a=b=c'), false), null);
  });

  it('is left out on a machine with two system slots, where the links follow the boot loader', () => {
    for (const boot of [['--boot', 'grub:/boot/grub'], ['--boot=rauc']]) {
      const given = [...words('recover --root=/opt/a --bogus'), ...boot];
      const kept = `--boot=${boot.at(-1)?.replace('--boot=', '')}`;
      assert.deepEqual(bootWords(given, false), ['recover', '--root=/opt/a', kept]);
    }
  });

  it('never adds a word, and never loses a root', () => {
    const word: fc.Arbitrary<string> = fc.constantFrom(
      '--root=/a',
      '--root=b=/b',
      '--max-boots',
      'x',
      '--json',
      '--tags=q',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (rest) => {
        const instead = bootWords(['recover', ...rest], false);
        if (instead === null) return;
        const roots = (all: readonly string[]): string[] =>
          all.filter((one) => one.startsWith('--root'));
        assert.deepEqual(roots(instead), roots(rest));
        for (const one of instead.slice(1)) assert.ok(rest.includes(one), one);
      }),
    );
  });
});
