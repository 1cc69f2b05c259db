/**
 * The two units of a robot get the same options from one file. The test runs the commands that
 * systemd would run, with the variables expanded as systemd does it.
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { startChild, startDrover } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const unit = (name: string): string =>
  readFileSync(repositoryFile(`packaging/units/${name}`), 'utf8');

/** As `systemd-analyze security` counts it, of 100; a unit without any of it has 95. */
const EXPOSURE_MAX_TENTHS = 66;

/** `NAME=value` and `NAME="value"` lines, as EnvironmentFile= and Environment= have them. */
function variables(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/^(?:Environment=)?"?([A-Z_]+)=(.*?)"?$/gm))
    found[name] = value.replace(/^"/, '');
  return found;
}

/** The words of ExecStart= behind the program: `$NAME` is split at spaces, as systemd does. */
function words(service: string, file: string): string[] {
  const text = unit(service);
  const values = { ...variables(text), ...variables(file) };
  const [, line = ''] =
    /^ExecStart=\/usr\/lib\/drover-robot\/robot-client\/drover-launch (.*)$/m.exec(text) ?? [];
  return line
    .replaceAll(/\$([A-Z_]+)/g, (_, name: string) => values[name] ?? '')
    .split(/\s+/)
    .filter((word) => word !== '');
}

describe('the units of a robot', () => {
  it('give recover the same words as the agent, with the file as it is shipped', () => {
    const file = unit('drover-robot.default');
    const agent = words('drover-robot.service', file);
    assert.deepEqual(words('drover-recover.service', file).slice(1), agent);
    assert.deepEqual(agent.slice(0, 2), ['--root', '/opt/robot']);
    const commented = file.replaceAll(/^#(?=DROVER_)/gm, '');
    const both = words('drover-recover.service', commented);
    assert.ok(both.includes('nav=/opt/nav') && both.includes('--max-boots'), both.join(' '));
  });

  it('recover two roots with the line of drover-recover.service', async (t) => {
    const folder = await tempFolder(t);
    const file = `DROVER_ROBOT_ROOTS="--root app=${folder}/a --root nav=${folder}/n"
DROVER_ROBOT_OPTIONS="--broker mqtts://b:8883 --trust /none/trust.json --require-log /none/policy.txt --window 22:00-05:00 --hooks ${folder} --hook-timeout 2m --max-boots 5"
`;
    const child = startDrover(t, 'robot-client', words('drover-recover.service', file));
    await child.exit;
    assert.equal(child.ended?.code, 0, child.describe());
    assert.match(child.stdout, /app: boots nothing[^]*nav: boots nothing/);
  });

  it('recover the root behind one that fails, and end with the failure', async (t) => {
    const folder = await tempFolder(t);
    writeFileSync(`${folder}/file`, 'not a folder');
    const roots = ['--root', `app=${folder}/file`, '--root', `nav=${folder}/n`];
    const child = startDrover(t, 'robot-client', ['recover', ...roots]);
    await child.exit;
    assert.equal(child.ended?.code, 3, child.describe());
    assert.match(child.stdout, /nav: boots nothing[^]*app: /);
  });

  it('are sound for systemd', async (t) => {
    if (requirePeer(t, 'systemd-analyze') === null) return;
    const paths = ['robot', 'recover'].map((name) =>
      repositoryFile(`packaging/units/drover-${name}.service`),
    );
    const child = startChild(t, 'systemd-analyze', ['verify', '--man=no', ...paths]);
    await child.exit;
    const ours = child.stderr.split('\n').filter((line) => !/is not executable/.test(line));
    assert.equal(ours.filter((line) => line.includes('drover-')).join('\n'), '', child.describe());
  });

  it('shut the same for recover as for the agent, but for folders: a root may stand anywhere', () => {
    const shut = (name: string): string[] =>
      unit(`drover-${name}.service`)
        .split('\n')
        .filter((line) =>
          /^(?:Protect|Private|Restrict|Lock|NoNew|SystemCall|Capability)/.test(line),
        );
    const isOfFolders = (line: string): boolean =>
      /^(?:PrivateTmp|ProtectSystem|ProtectHome)=/.test(line);
    const agent = shut('robot').filter((line) => !isOfFolders(line));
    assert.ok(agent.length > 10);
    assert.deepEqual(shut('recover'), agent);
  });

  it('stand open no further than hooks need', async (t) => {
    if (requirePeer(t, 'systemd-analyze') === null) return;
    for (const name of ['robot', 'recover']) {
      const path = repositoryFile(`packaging/units/drover-${name}.service`);
      const bound = `--threshold=${EXPOSURE_MAX_TENTHS}`;
      const child = startChild(t, 'systemd-analyze', ['security', '--offline=true', bound, path]);
      await child.exit;
      assert.equal(child.ended?.code, 0, child.describe());
    }
  });
});
