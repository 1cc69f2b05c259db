/** Draws the QR code of a claim as SVG, with the id of its robot below for people. Sans-I/O. */

import { encode } from 'uqr';
import type { RobotId } from '../../shared/base/ids.ts';

/** Modules of white around a code: ISO/IEC 18004 wants four. */
const BORDER = 4;
const CAPTION = 5;

/** One path with a rectangle for each run of black modules. */
export function drawClaim(robot: RobotId, claim: string): string {
  const { data, size } = encode(claim, { ecc: 'M', border: BORDER });
  const runs = data.flatMap((row, y) => runsOf(row).map(({ x, width }) => runAt(x, y, width)));
  const [middle, line] = [size / 2, size + 1];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size + CAPTION}">`,
    `<title>${robot}</title>`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    `<path shape-rendering="crispEdges" d="${runs.join('')}"/>`,
    `<text x="${middle}" y="${line}" font-size="3" font-family="monospace" text-anchor="middle">${robot}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

const runAt = (x: number, y: number, width: number): string => `M${x} ${y}h${width}v1h-${width}z`;

function runsOf(row: readonly boolean[]): { x: number; width: number }[] {
  const runs: { x: number; width: number }[] = [];
  row.forEach((isBlack, x) => {
    const last = runs.at(-1);
    if (!isBlack) return;
    if (last && last.x + last.width === x) last.width += 1;
    else runs.push({ x, width: 1 });
  });
  return runs;
}
