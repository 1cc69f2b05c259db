/**
 * The pages and parts of pages that are generated from the code. `generate.ts` writes them, and a
 * test compares them with those in the repository.
 */

import { renderCommandLines } from './cli-page.ts';
import { renderEnvironment } from './environment-page.ts';
import { renderErrors } from './errors-page.ts';
import { renderHttp } from './http-page.ts';
import { renderMetrics } from './metrics-page.ts';
import { renderRobotStates } from './state-diagram.ts';
import { renderWorkedExample } from './worked-example-page.ts';

export const PROTOCOL_PAGE = 'docs/protocol.md';

/** @returns the text of each generated page by its path; the protocol page is filled in */
export async function renderPages(protocolText: string): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['docs/cli.md', await renderCommandLines()],
    ['docs/environment.md', renderEnvironment()],
    ['docs/errors.md', renderErrors()],
    ['docs/http.md', renderHttp()],
    ['docs/metrics.md', renderMetrics()],
    ['docs/robot-states.md', renderRobotStates()],
    [PROTOCOL_PAGE, replaceBlock(protocolText, 'worked example', await renderWorkedExample())],
  ]);
}

/** Puts `body` between `<!-- begin NAME -->` and `<!-- end NAME -->`, which stay. */
export function replaceBlock(text: string, name: string, body: string): string {
  const [begin, end] = [`<!-- begin ${name} -->\n`, `<!-- end ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new TypeError(`replaceBlock: no block ${name} in the page`);
  return `${text.slice(0, from + begin.length)}${body}${text.slice(to)}`;
}
