/**
 * Browser script of the dashboard: it calls the API, follows /events, and writes everything with
 * textContent. A page may show the words of a hostile robot; it must never run or format them.
 */

import { DASHBOARD_ROLLOUTS } from './rollouts.ts';

const DRAW = `
const $ = (id) => document.getElementById(id);
const ROWS_MAX = 500; // more rows help nobody, and slow the page down
const COLOURS = ['#3a7bd5', '#1f9d61', '#c98a1b', '#8e5bd0', '#1aa0a8', '#c2577b', '#7a8794'];
const COLOUR_NONE = '#b8bec6';

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function ago(instant) {
  if (!instant) return 'not since the broker started';
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 90) return seconds + ' s ago';
  if (seconds < 5400) return Math.round(seconds / 60) + ' min ago';
  return seconds < 129600 ? Math.round(seconds / 3600) + ' h ago'
    : Math.round(seconds / 86400) + ' d ago';
}

function phaseCell(robot) {
  const cell = make('td');
  const isBusy = !['idle', 'unknown', 'stuck', 'rolling_back'].includes(robot.phase);
  const isBad = robot.phase === 'stuck' || robot.phase === 'rolling_back';
  cell.append(make('span', robot.phase.replace('_', ' '),
    'tag' + (isBusy ? ' busy' : isBad ? ' bad' : '')));
  if (robot.target_version && robot.phase !== 'idle') cell.append(' to ' + robot.target_version);
  const { transfer } = robot;
  if (robot.phase === 'downloading' && transfer && transfer.bytes_total > 0) {
    const percent = Math.min(100, 100 * transfer.bytes_done / transfer.bytes_total);
    cell.append(' ' + Math.floor(percent) + ' %');
    const bar = make('div', '', 'bar');
    const fill = make('i');
    fill.style.width = percent + '%';
    bar.append(fill);
    cell.append(bar);
  }
  if (robot.waiting_for) cell.append(make('div', robot.waiting_for, 'soft'));
  return cell;
}

// Nothing where active alone is led to the release.
function applied({ strategy }) {
  return strategy && strategy !== 'atomic_swap' ? ' (' + strategy + ')' : '';
}

function robotRow(robot) {
  const row = make('tr');
  const name = make('td');
  const dot = make('span', '', robot.online ? 'dot on' : 'dot');
  dot.title = robot.online ? 'online' : 'offline';
  name.append(dot, make('span', robot.robot_id, 'name'));
  const about = [robot.model, robot.arch, ...robot.tags].filter(Boolean).join(' \\u00b7 ');
  if (about) name.append(make('div', about, 'soft'));
  if (!robot.online) name.append(make('div', 'last heard ' + ago(robot.last_seen), 'soft'));
  const version = make('td', (robot.version || 'nothing') + applied(robot));
  for (const part of robot.components) {
    if (part.name === robot.name) continue;
    version.append(make('div', part.name + ' ' + (part.version || 'nothing') + applied(part), 'soft'));
  }
  const isOne = robot.components.length < 2;
  if (!isOne) version.prepend(make('span', robot.name + ' '));
  const problem = make('td');
  const failures = [{ last_error: robot.twins }, ...robot.components];
  for (const { name: part, last_error: failure } of failures) {
    if (!failure) continue;
    const where = part && !isOne ? part + ': ' : '';
    problem.append(make('div', where + failure.message + ' (' + failure.code + ')', 'why'));
    problem.append(make('div', failure.hint, 'soft'));
  }
  const phase = phaseCell(robot);
  for (const part of robot.components) {
    if (part.name === robot.name || part.phase === 'idle') continue;
    phase.append(make('div', part.name + ' ' + part.phase.replace('_', ' '), 'soft'));
  }
  row.append(name, version, phase, problem);
  return row;
}

function showVersions(robots) {
  const counts = new Map();
  for (const { version } of robots) counts.set(version, (counts.get(version) || 0) + 1);
  const compare = new Intl.Collator('en', { numeric: true }).compare;
  const sorted = [...counts].sort(([a], [b]) => compare(b || '', a || ''));
  const colour = (version, at) => version ? COLOURS[at % COLOURS.length] : COLOUR_NONE;
  $('share').replaceChildren(...sorted.map(([version, count], at) => {
    const piece = make('i');
    piece.style.flexGrow = count;
    piece.style.background = colour(version, at);
    return piece;
  }));
  $('counts').replaceChildren(...sorted.map(([version, count], at) => {
    const card = make('div', version || 'nothing yet', 'count');
    card.style.borderLeftColor = colour(version, at);
    card.prepend(make('b', String(count)));
    return card;
  }));
}

function showRobots(robots) {
  const words = $('find').value.toLowerCase().split(' ').filter(Boolean);
  const found = robots.filter((robot) => {
    const link = robot.online ? 'online' : 'offline';
    const facts = [robot.robot_id, robot.version || 'nothing', robot.phase, robot.arch, link];
    if (robot.twins) facts.push(robot.twins.code);
    for (const part of robot.components) {
      facts.push(part.name, part.version || 'nothing', part.phase);
      if (part.last_error) facts.push(part.last_error.code);
    }
    const text = [...facts, ...robot.tags].join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
  $('robots').replaceChildren(...found.slice(0, ROWS_MAX).map(robotRow));
  $('note').textContent = robots.length === 0 ? 'No robot has reported to this broker yet.'
    : found.length === 0 ? 'No robot is like that.'
    : found.length > ROWS_MAX ? 'The first ' + ROWS_MAX + ' of ' + found.length + ' robots.' : '';
}
`;

const FOLLOW = `
const POLL_MS = 5000;
const PAUSE_MS = 500; // between two readings, however many events come
let token = sessionStorage.getItem('drover-token') || '';
let robots = [];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(path) {
  const headers = token ? { authorization: 'Bearer ' + token } : {};
  const response = await fetch(path, { headers });
  const isShut = response.status === 401 || response.status === 403;
  $('login').hidden = !isShut;
  $('fleet').hidden = isShut;
  if (isShut && !token) throw new Error('this broker wants a token');
  if (response.status === 401) throw new Error('that token is not known');
  if (isShut) throw new Error('want the token of a technician or publisher');
  if (!response.ok) throw new Error('the broker answers ' + response.status);
  return response;
}

function wayUp(upstream) {
  const { states, events } = upstream.backlog;
  const waiting = states + events > 0 ? ', ' + (states + events) + ' reports wait' : '';
  const missing = upstream.chunks_missing;
  return (upstream.up ? 'upstream reached ' : 'upstream lost ') + ago(upstream.since)
    + waiting + (missing > 0 ? ', ' + missing + ' chunks to come' : '')
    + (upstream.problem ? ': ' + upstream.problem.message : '');
}

async function refresh() {
  try {
    const paths = ['/robots', '/rollouts', '/engine', '/upstream'];
    const [fleet, announced, carrier, above] = await Promise.all(paths.map(ask));
    const { engine } = await carrier.json();
    const { upstream } = await above.json();
    robots = (await fleet.json()).robots;
    showVersions(robots);
    $('rollouts').replaceChildren(...(await announced.json()).rollouts.map(rolloutCard));
    showRobots(robots);
    const online = robots.filter((robot) => robot.online).length;
    $('link').textContent = online + ' of ' + robots.length + ' robots online \\u00b7 '
      + new Date().toLocaleTimeString() + (engine.up ? '' : ' \\u00b7 no link to the engine')
      + (engine.problem ? ' \\u00b7 ' + engine.problem.message : '')
      + (upstream ? ' \\u00b7 ' + wayUp(upstream) : '');
  } catch (error) {
    $('link').textContent = error instanceof TypeError ? 'the broker cannot be reached'
      : error.message;
  }
}

let wake = () => {};
/** Reads the fleet after an event and at intervals; never twice at once. */
async function keepFresh() {
  for (;;) {
    const woken = new Promise((resolve) => { wake = resolve; });
    await refresh();
    await sleep(PAUSE_MS);
    await Promise.race([woken, sleep(POLL_MS)]);
  }
}

async function follow() {
  for (;;) {
    try {
      if (!$('fleet').hidden) {
        const reader = (await ask('/events')).body.getReader();
        while (!(await reader.read()).done) wake();
      }
    } catch {
      // polling goes on, and the page shows the problem
    }
    await sleep(POLL_MS);
  }
}

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value.trim();
  sessionStorage.setItem('drover-token', token);
  $('token').value = '';
  wake();
});
$('find').addEventListener('input', () => showRobots(robots));
keepFresh();
follow();
`;

export const DASHBOARD_SCRIPT = `'use strict';${DRAW}${DASHBOARD_ROLLOUTS}${FOLLOW}`;
