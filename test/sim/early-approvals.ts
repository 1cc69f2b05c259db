/**
 * For `node --import`: loads a controller without the rule of approvals, as it was before that rule. An
 * approval that comes early is kept, and ends its wave as `force-open` does. Only the control of the
 * simulation loads it: a judge that finds nothing there sees nothing at all.
 */

import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';

const CHANGES: readonly (readonly [file: string, from: string, to: string])[] = [
  [
    '/broker/rollout/operator-commands.js',
    "return refuse('APPROVAL_TOO_EARLY', approval.text);",
    'return { ...run, approved: [...run.approved, run.wave] };',
  ],
  [
    '/broker/rollout/transitions.js',
    'const isForced = run.forced.includes(run.wave);',
    'const isForced = [...run.forced, ...run.approved].includes(run.wave);',
  ],
];

const sources = CHANGES.map(([file, from, to]) => {
  const url = new URL(`../..${file}`, import.meta.url);
  const source = readFileSync(fileURLToPath(url), 'utf8');
  if (source.split(from).length !== 2) throw new TypeError(`${file} has not once: ${from}`);
  return [url.href, source.replace(from, to)];
});

const hooks = `const sources = new Map(${JSON.stringify(sources)});
export async function load(url, context, next) {
  const source = sources.get(url);
  return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
