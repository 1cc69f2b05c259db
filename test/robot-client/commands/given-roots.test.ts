import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { withGivenRoots } from '../../../robot-client/commands/given-roots.ts';
import { parseRoots } from '../../../robot-client/commands/options.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const app = { component: 'app', root: '/srv/app' };
const nav = { component: 'nav', root: '/srv/my nav' };
const defaultRoot = '/opt/robot';

const said = (line: string, roots = [app]): string =>
  withGivenRoots([line], { roots, defaultRoot })[0] ?? '';

describe('a command in a hint', () => {
  it('has the root that was given', () => {
    assert.equal(
      said('hint: drover-robot recover --root DIR --release 1.2.0 --no-boot; or publish a version'),
      'hint: drover-robot recover --root /srv/app --release 1.2.0 --no-boot; or publish a version',
    );
    assert.equal(
      said('lift with: drover-robot unblock 1.2.0'),
      'lift with: drover-robot unblock 1.2.0 --root /srv/app',
    );
    assert.equal(
      said('look (then: drover-robot retry)'),
      'look (then: drover-robot retry --root /srv/app)',
    );
    assert.equal(said('run drover-robot adopt, or'), 'run drover-robot adopt --root /srv/app, or');
  });

  it('has all of them where it asks the agent, and that of its component where it works on one', () => {
    const lines = [
      'app: runs 1.0.0',
      '  drover-robot adopt',
      'nav: runs 1.0.0',
      '  drover-robot adopt',
      '  drover-robot retry',
    ];
    assert.deepEqual(withGivenRoots(lines, { roots: [app, nav], defaultRoot }), [
      'app: runs 1.0.0',
      '  drover-robot adopt --root /srv/app',
      'nav: runs 1.0.0',
      "  drover-robot adopt --root 'nav=/srv/my nav'",
      "  drover-robot retry --root /srv/app --root 'nav=/srv/my nav'",
    ]);
  });

  it('has none where commands find the root without, unless it shows that one belongs there', () => {
    const roots = [{ component: 'app', root: defaultRoot }];
    assert.equal(said('drover-robot adopt', roots), 'drover-robot adopt');
    assert.equal(
      said('drover-robot recover --root DIR', roots),
      'drover-robot recover --root /opt/robot',
    );
  });

  it('has the socket that was given, where it asks the agent', () => {
    const given = { roots: [app], socket: '/run/a.sock', defaultRoot };
    assert.deepEqual(withGivenRoots(['drover-robot retry', 'drover-robot adopt'], given), [
      'drover-robot retry --root /srv/app --socket /run/a.sock',
      'drover-robot adopt --root /srv/app',
    ]);
  });
});

describe('a root that is given', () => {
  it('is refused below a folder whose name is not UTF-8, also by a link with a plain name', async (t) => {
    const folder = await tempFolder(t);
    await mkdir(Buffer.from(`${folder}/r\xe9/V`, 'latin1'), { recursive: true });
    await symlink(Buffer.from('r\xe9', 'latin1'), join(folder, 'plain'));
    for (const path of [`${folder}/plain/V`, `${folder}/plain/new/V`, `${folder}/r\uFFFD/V`]) {
      assert.throws(() => parseRoots([path]), { code: 'ROOT_NOT_UTF8' }, path);
    }
    assert.equal(parseRoots([`${folder}/é/new`])[0]?.root, `${folder}/é/new`);
  });
});
