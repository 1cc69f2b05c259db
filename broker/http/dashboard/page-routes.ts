/**
 * Serves the page and the documentation of the API: markup, style, script and icon, all from here.
 * The content policy allows nothing inline and nothing from elsewhere, and no text that becomes
 * markup.
 */

import type { FastifyInstance } from 'fastify';
import { readFileSync } from 'node:fs';

export const PAGE_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
  "frame-ancestors 'none'",
].join('; ');

const FILES = [
  ['/', 'page.html', 'text/html; charset=utf-8'],
  ['/page.css', 'page.css', 'text/css; charset=utf-8'],
  ['/page.js', 'page.js', 'text/javascript; charset=utf-8'],
  ['/page.svg', 'page.svg', 'image/svg+xml'],
  ['/docs', 'docs.html', 'text/html; charset=utf-8'],
  ['/page.docs.css', 'docs.css', 'text/css; charset=utf-8'],
  ['/page.docs.js', 'docs.js', 'text/javascript; charset=utf-8'],
] as const;

type PageFile = (typeof FILES)[number][1];

/** The files by name. packaging/bundle.ts puts them into the bundled program. */
declare const PAGE_FILES: Readonly<Record<PageFile, string>> | undefined;

/** @throws Error when only `tsc` has run: `npm run build` makes the page (packaging/page.ts) */
function pageFile(name: PageFile): string {
  if (typeof PAGE_FILES !== 'undefined') return PAGE_FILES[name];
  return readFileSync(new URL(`../../../page/${name}`, import.meta.url), 'utf8');
}

export function addPageRoutes(app: FastifyInstance): void {
  for (const [path, name, mediaType] of FILES) {
    app.get(path, async (_request, reply) => {
      void reply.type(mediaType).header('content-security-policy', PAGE_CSP);
      return pageFile(name);
    });
  }
}
