/** `npm run docs`: writes the pages that are made from the code. Their contents are pages.ts. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROTOCOL_PAGE, renderPages } from './pages.ts';

/** Compiled code stands in a folder below the repository. */
function findRepository(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : findRepository(dirname(from));
}

const repository = findRepository(dirname(fileURLToPath(import.meta.url)));
const pages = await renderPages(readFileSync(join(repository, PROTOCOL_PAGE), 'utf8'));
for (const [path, text] of pages) {
  writeFileSync(join(repository, path), text);
  process.stdout.write(`${path}\n`);
}
