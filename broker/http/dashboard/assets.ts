/**
 * The files of the page, as `npm run build` makes them (packaging/page.ts). In a bundled program
 * they are part of it: packaging/bundle.ts puts them in the place of this module.
 */

import { readFileSync } from 'node:fs';

export interface PageAssets {
  readonly html: string;
  readonly css: string;
  readonly js: string;
  readonly svg: string;
}

let read: PageAssets | null = null;

/** @throws Error when only `tsc` has run */
export function pageAssets(): PageAssets {
  const load = (name: string): string =>
    readFileSync(new URL(`../../../page/${name}`, import.meta.url), 'utf8');
  read ??= {
    html: load('page.html'),
    css: load('page.css'),
    js: load('page.js'),
    svg: load('page.svg'),
  };
  return read;
}
