/** Each page that a hint names exists, and has what the hint promises. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ROLES } from '../../broker/access/credentials.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { allSources } from '../helpers/sources.ts';

const PAGE = /\bdocs\/[\w-]+\.md\b/g;

/** Texts that each page must have for the hints that name it. */
const PROMISED: Readonly<Record<string, readonly string[]>> = {
  'docs/operations.md': ['## Roles', ...ROLES.map((role) => `| \`${role}\` |`)],
  'docs/network.md': ['LINK_SLOW'],
  'docs/tls.md': ['TLS_CLIENT_REFUSED', 'certificate'],
  'docs/enrolment.md': ['ENROLMENT_OFF', '--credentials', 'mosquitto', 'Change the authority'],
  'docs/engines.md': ['tested', '| topics | read | write |'],
  'docs/members.md': ['drover-robot pair', '--pair'],
  'docs/robot-integration.md': ['local API', '## 9. An agent that updates itself', 'drover-launch'],
  'docs/rollouts.md': ['### Approvals that are signed', 'drover-broker approval-key', 'P-6.13'],
  'docs/modules.md': ['## Verbs', '--modules'],
  'docs/system-images.md': ['--boot', '--slot-device'],
};

const read = (page: string): string => readFileSync(repositoryFile(page), 'utf8');

test('each page that a hint of the catalogue names has what the hint says', () => {
  const hints = Object.values(CATALOGUE).map(({ hint }) => hint);
  const pages = [...new Set(hints.flatMap((hint) => hint.match(PAGE) ?? []))];
  assert.deepEqual(pages.sort(), Object.keys(PROMISED).sort());
  const missing = pages.flatMap((page) =>
    (PROMISED[page] ?? []).filter((words) => !read(page).includes(words)).map((one) => [page, one]),
  );
  assert.deepEqual(missing, []);
});

test('each page that a program names is there', () => {
  const programs = allSources().filter(({ path }) =>
    /^(broker|publisher|robot-client|shared)\//.test(path),
  );
  const gone = programs.flatMap(({ path, code }) =>
    (code.match(PAGE) ?? [])
      .filter((page) => !existsSync(repositoryFile(page)))
      .map((page) => `${path}: ${page}`),
  );
  assert.deepEqual(gone, []);
});
