/**
 * The dashboard: one page, no build, nothing from elsewhere. Every text that a robot sent is set as
 * text, never as markup, and the policy allows just the script and style below, by their hashes.
 */

import { createHash } from 'node:crypto';

const STYLE = `
:root {
  color-scheme: light dark;
  --line: #8884; --soft: #8882;
  --good: #2a9d5c; --bad: #d1495b; --busy: #3a7bd5;
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 15px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline; }
h1 { margin: 0; font-size: 1.4rem; letter-spacing: -.01em; }
#link { color: #888; }
#counts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.count { padding: .5rem .9rem; border: 1px solid var(--line); border-radius: .6rem; }
.count b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 600; color: #888; font-size: .8rem; }
td, th {
  padding: .45rem .6rem .45rem 0;
  border-bottom: 1px solid var(--line);
  vertical-align: top;
}
td:first-child { white-space: nowrap; }
.dot {
  display: inline-block; width: .6em; height: .6em; margin-right: .5em;
  border-radius: 50%; background: #8888;
}
.dot.on { background: var(--good); }
.bar {
  height: .35rem; margin-top: .3rem; border-radius: 1rem;
  background: var(--soft); overflow: hidden;
}
.bar i { display: block; height: 100%; background: var(--busy); }
.why { color: var(--bad); }
.hint, .waits { color: #888; font-size: .85rem; }
form { margin: 1rem 0; display: flex; gap: .5rem; }
input { flex: 1; max-width: 30rem; padding: .4rem .6rem; font: inherit; }
button { padding: .4rem .9rem; font: inherit; }
[hidden] { display: none; }
@media (max-width: 40rem) { th:nth-child(4), td:nth-child(4) { display: none; } }
`;

const SCRIPT = `
'use strict';
const $ = (id) => document.getElementById(id);
const POLL_MS = 5000;
let token = sessionStorage.getItem('drover-token') || '';

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

async function ask(path) {
  const headers = token ? { authorization: 'Bearer ' + token } : {};
  const response = await fetch(path, { headers });
  $('login').hidden = response.status !== 401;
  if (!response.ok) throw new Error('the broker answers ' + response.status);
  return response;
}

function robotRow(robot) {
  const row = make('tr');
  const name = make('td');
  name.append(make('span', '', robot.online ? 'dot on' : 'dot'), robot.robot_id);
  const phase = make('td', robot.phase + (robot.target_version ? ' ' + robot.target_version : ''));
  if (robot.phase === 'downloading' && robot.transfer) {
    const bar = make('div', '', 'bar');
    const fill = make('i');
    fill.style.width = (100 * robot.transfer.bytes_done / robot.transfer.bytes_total) + '%';
    bar.append(fill);
    phase.append(bar);
  }
  if (robot.waiting_for) phase.append(make('div', robot.waiting_for, 'waits'));
  const error = make('td');
  if (robot.last_error) {
    error.append(make('div', robot.last_error.message + ' (' + robot.last_error.code + ')', 'why'));
    error.append(make('div', robot.last_error.hint, 'hint'));
  }
  const about = [robot.arch, ...robot.tags].filter(Boolean).join(' ');
  row.append(name, make('td', robot.version || 'nothing'), phase, make('td', about), error);
  return row;
}

function show(robots) {
  const counts = new Map();
  for (const robot of robots) {
    const version = robot.version || 'nothing';
    counts.set(version, (counts.get(version) || 0) + 1);
  }
  const cards = [...counts].sort().map(([version, count]) => {
    const card = make('div', version, 'count');
    card.prepend(make('b', String(count)));
    return card;
  });
  $('counts').replaceChildren(...cards);
  $('robots').replaceChildren(...robots.map(robotRow));
  $('empty').hidden = robots.length > 0;
}

let refreshing = false;
async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const { robots } = await (await ask('/robots')).json();
    show(robots);
    const online = robots.filter((robot) => robot.online).length;
    const at = new Date().toLocaleTimeString();
    $('link').textContent = online + ' of ' + robots.length + ' robots online, ' + at;
  } catch (error) {
    $('link').textContent = error.message;
  } finally {
    refreshing = false;
  }
}

async function follow() {
  for (;;) {
    try {
      const reader = (await ask('/events')).body.getReader();
      while (!(await reader.read()).done) refresh();
    } catch (error) {
      $('link').textContent = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value.trim();
  sessionStorage.setItem('drover-token', token);
  refresh();
});
refresh();
follow();
setInterval(refresh, POLL_MS);
`;

function policyHash(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** A bar's width is set from script through the CSSOM, which `style-src` hashes do not forbid. */
export const DASHBOARD_CSP = [
  "default-src 'none'",
  `style-src ${policyHash(STYLE)}`,
  `script-src ${policyHash(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export const DASHBOARD_HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drover</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>Drover</h1><span id="link">asking the broker</span></header>
<form id="login" hidden>
<input id="token" type="password" placeholder="token of a technician" autocomplete="off" aria-label="token">
<button>Show the fleet</button>
</form>
<div id="counts"></div>
<table>
<thead><tr><th>robot</th><th>version</th><th>phase</th><th>about</th><th>last problem</th></tr></thead>
<tbody id="robots"></tbody>
</table>
<p id="empty" class="hint" hidden>No robot has reported to this broker yet.</p>
<script>${SCRIPT}</script>
</body>
</html>
`;
