/**
 * Serves the page: its markup, style, script and icon, all from here. The content policy allows
 * nothing inline and nothing from elsewhere, and no text that becomes markup.
 */

import type { FastifyInstance } from 'fastify';
import { pageAssets, type PageAssets } from './assets.ts';

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

const FILES: readonly (readonly [path: string, part: keyof PageAssets, mediaType: string])[] = [
  ['/', 'html', 'text/html; charset=utf-8'],
  ['/page.css', 'css', 'text/css; charset=utf-8'],
  ['/page.js', 'js', 'text/javascript; charset=utf-8'],
  ['/page.svg', 'svg', 'image/svg+xml'],
];

export function addPageRoutes(app: FastifyInstance): void {
  for (const [path, part, mediaType] of FILES) {
    app.get(path, async (_request, reply) => {
      void reply.type(mediaType).header('content-security-policy', PAGE_CSP);
      return pageAssets()[part];
    });
  }
}
