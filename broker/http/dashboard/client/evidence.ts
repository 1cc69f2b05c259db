/**
 * The evidence of the gate: its verdict, one line for each test, and a plot over time. The broker
 * keeps the evidence of each decision, so the plot has those points, and the ones that came while
 * the page was open.
 */

import type { AuditEntry, RunView } from './answers.ts';
import { localTime, make, makeSvg, rounded } from './dom.ts';

type Gate = NonNullable<RunView['gate']>;
type Metric = Gate['evidence'][number];

const VERDICT_TAGS: Readonly<Record<string, string>> = {
  pass: 'tag good',
  hold: 'tag busy',
  halt: 'tag bad',
};
const NAMES: Readonly<Record<string, string>> = {
  apply: 'updates that failed',
  crash: 'crashes',
  task: 'tasks that failed',
};

/** A test without a verdict, in the words of the command line. */
const verdictWord = (verdict: string): string => (verdict === 'none' ? 'not judged' : verdict);

const verdictTag = (verdict: string, text = verdictWord(verdict)): HTMLElement =>
  make('span', { class: VERDICT_TAGS[verdict] ?? 'tag', text });

/** The verdict, its first reason, and one line for each test behind it. */
export function gateBlock(gate: Gate): HTMLElement {
  const head = make('p', {}, verdictTag(gate.kind, `gate: ${gate.kind}`));
  if (gate.kind !== 'pass') head.append(make('span', { text: gate.reasons[0] ?? '' }));
  const rows = gate.evidence.map(({ metric, against, verdict, text }) =>
    make(
      'tr',
      {},
      make('td', { class: 'soft', text: `${metric} / ${against}` }),
      make('td', {}, verdictTag(verdict)),
      make('td', { text }),
    ),
  );
  return make('div', { class: 'gate' }, head, make('table', {}, make('tbody', {}, ...rows)));
}

/** One sample of one test. */
interface Point {
  readonly atMs: number;
  readonly metric: Metric;
}

const POINTS_MAX = 500;

/** Collects points of one rollout: from its history, and whenever the page reads it again. */
export class EvidenceOverTime {
  readonly #points: Point[] = [];

  addHistory(entries: readonly AuditEntry[]): void {
    for (const { at, evidence } of entries) this.#add(Date.parse(at), evidence);
  }

  addNow(gate: Gate | null): void {
    if (gate) this.#add(Date.now(), gate.evidence);
  }

  /** A figure for each test that has numbers. */
  figures(): HTMLElement[] {
    const keys = [...new Set(this.#points.map(({ metric }) => keyOf(metric)))];
    return keys.flatMap((key) => {
      const points = this.#points
        .filter(({ metric }) => keyOf(metric) === key)
        .sort((a, b) => a.atMs - b.atMs);
      return points.length === 0 ? [] : [figure(points)];
    });
  }

  #add(atMs: number, evidence: readonly Metric[]): void {
    for (const metric of evidence) {
      if (metric.verdict === 'none' || metric.e_value === null || metric.e_halt === null) continue;
      const last = this.#points.findLast((one) => keyOf(one.metric) === keyOf(metric));
      const isSame = last && JSON.stringify(last.metric) === JSON.stringify(metric);
      if (!isSame) this.#points.push({ atMs, metric });
    }
    if (this.#points.length > POINTS_MAX) this.#points.splice(0, this.#points.length - POINTS_MAX);
  }
}

const keyOf = ({ metric, against }: Metric): string => `${metric} / ${against}`;

/** 0 for no evidence against the new version, 1 where the gate halts. */
function shareOf({ e_value: value, e_halt: halt }: Metric): number {
  if (value === null || halt === null || halt <= 1) return 0;
  return Math.min(1.1, Math.max(0, Math.log(Math.max(1, value)) / Math.log(halt)));
}

const WIDTH = 400;
const HEIGHT = 120;
const FLOOR = HEIGHT - 10;
const CEILING = 20;

function figure(points: readonly Point[]): HTMLElement {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return make('figure');
  const { metric } = last;
  const spanMs = Math.max(1, last.atMs - first.atMs);
  const x = ({ atMs }: Point): number => 10 + ((WIDTH - 20) * (atMs - first.atMs)) / spanMs;
  const y = (one: Point): number => FLOOR - (FLOOR - CEILING) * shareOf(one.metric);
  const path = points.map((one) => `${x(one).toFixed(1)},${y(one).toFixed(1)}`).join(' ');
  const name = `${NAMES[metric.metric] ?? metric.metric}, against ${metric.against}`;
  const percent = Math.round(100 * shareOf(metric));
  const summary = `${name}: ${percent} % of the evidence that halts`;
  const plot = makeSvg(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': summary, class: 'plot' },
    makeSvg('line', { x1: 0, y1: CEILING, x2: WIDTH, y2: CEILING, class: 'threshold' }),
    makeSvg('line', { x1: 0, y1: FLOOR, x2: WIDTH, y2: FLOOR, class: 'axis' }),
    makeSvg('polyline', { points: path, class: 'line' }),
    ...points.map((one) => makeSvg('circle', { cx: x(one), cy: y(one), r: 3, class: 'point' })),
  );
  const times = `${localTime(first.atMs)} to ${localTime(last.atMs)}; the dashed line halts`;
  return make(
    'figure',
    {},
    make('figcaption', {}, make('b', { text: summary }), ` (${times})`),
    plot,
    pointTable(points, name),
  );
}

const SHOWN_POINTS = 20;

/** The same numbers as text, with both groups. */
function pointTable(points: readonly Point[], name: string): HTMLElement {
  const head = ['time', 'new version', 'compared with', 'evidence', 'halts at', 'verdict'];
  const rows = points.slice(-SHOWN_POINTS).map(({ atMs, metric }) => {
    const { treated, reference, e_value, e_halt, verdict } = metric;
    const cells = [localTime(atMs), rounded(treated), rounded(reference), rounded(e_value)];
    const texts = [...cells, rounded(e_halt), verdictWord(verdict)];
    return make('tr', {}, ...texts.map((text) => make('td', { text })));
  });
  const titles = head.map((text) => make('th', { text, scope: 'col' }));
  return make(
    'details',
    {},
    make('summary', { text: 'The numbers' }),
    make(
      'div',
      { class: 'wide', tabindex: '0', role: 'region', 'aria-label': `numbers: ${name}` },
      make('table', {}, make('thead', {}, make('tr', {}, ...titles)), make('tbody', {}, ...rows)),
    ),
  );
}
