/**
 * The page of a broker. It follows the address (`#/`, `#/rollouts/ID`, `#/robots/ID`), reads the
 * API again after events and at intervals, and draws what has changed.
 */

import { Api, ApiError, messageOf } from './api.ts';
import { ConfirmDialog } from './commands.ts';
import { byId } from './dom.ts';
import { showFleet, showRobots } from './fleet-page.ts';
import { showRobotPage } from './robot-page.ts';
import { RolloutPage } from './rollout-page.ts';
import { SignIn } from './sign-in.ts';

const POLL_MS = 5_000;
/** Between two readings, however many events come. */
const PAUSE_MS = 500;
const PARTS = ['fleet', 'rollout', 'robot'] as const;

interface Place {
  readonly part: (typeof PARTS)[number];
  readonly id: string;
}

const api = new Api();
let wake = (): void => undefined;
const problem = (error: unknown): void => {
  byId('notice').textContent = messageOf(error);
};
const signIn = new SignIn(api, () => wake());
const dialog = new ConfirmDialog(api, (text) => {
  byId('notice').textContent = text;
  wake();
});
const rolloutPage = new RolloutPage(api, dialog, problem);
let nowKnown = (): void => undefined;
/** No stream is asked for before it is known whether a person has to sign in. */
const known = new Promise<void>((resolve) => (nowKnown = resolve));
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function placeOf(hash: string): Place {
  const [, kind = '', name = ''] = hash.split('/');
  const id = decoded(name);
  if (kind === 'rollouts' && id !== '') return { part: 'rollout', id };
  if (kind === 'robots' && id !== '') return { part: 'robot', id };
  return { part: 'fleet', id: '' };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return ''; // an address that somebody typed
  }
}

async function draw({ part, id }: Place): Promise<void> {
  if (part === 'rollout') await rolloutPage.show(id);
  else if (part === 'robot') await showRobotPage(api, id);
  else await showFleet(api);
}

async function refresh(): Promise<void> {
  const { hash } = location;
  const place = placeOf(hash);
  let missing = '';
  try {
    if (api.user.user === null) await signIn.refresh();
    nowKnown();
    if (!signIn.isNeeded) await draw(place);
    if (byId('link').dataset['problem']) clearProblem();
  } catch (error) {
    if (error instanceof ApiError && error.isUnknown) missing = messageOf(error);
    showProblem(error);
    if (error instanceof ApiError && error.isSignedOut) await signOutHere().catch(problem);
  }
  if (location.hash !== hash) return wake();
  showPart(place.part, missing);
  if (signIn.isNeeded) byId('link').textContent = 'sign in to see the fleet';
}

/** @param missing the refusal of an id that the broker does not know, which stands alone */
function showPart(part: Place['part'], missing = ''): void {
  byId('back').hidden = signIn.isNeeded || part === 'fleet';
  byId('missing').textContent = missing;
  const isShown = !signIn.isNeeded && missing === '';
  for (const name of PARTS) byId(name).hidden = !isShown || name !== part;
}

/** The session has ended: the credential was changed, or it was too old. */
async function signOutHere(): Promise<void> {
  if (api.user.user !== null) return location.reload(); // nothing that was shown is left
  await signIn.refresh();
}

function showProblem(error: unknown): void {
  byId('link').textContent = error instanceof Error ? error.message : String(error);
  byId('link').dataset['problem'] = 'yes';
}

function clearProblem(): void {
  delete byId('link').dataset['problem'];
}

/** Reads after an event and at intervals; never twice at once. */
async function keepFresh(): Promise<never> {
  for (;;) {
    const woken = new Promise<void>((resolve) => (wake = resolve));
    await refresh();
    await sleep(PAUSE_MS);
    await Promise.race([woken, sleep(POLL_MS)]);
  }
}

async function follow(): Promise<never> {
  await known;
  for (;;) {
    try {
      if (!signIn.isNeeded) await readEvents();
    } catch {
      // polling goes on, and the page shows the problem
    }
    await sleep(POLL_MS);
  }
}

async function readEvents(): Promise<void> {
  const reader = (await api.open('events')).body?.getReader();
  while (reader && !(await reader.read()).done) wake();
  wake(); // the broker ends the stream of a session that has ended
}

window.addEventListener('hashchange', () => {
  byId('notice').textContent = '';
  dialog.close();
  const { part } = placeOf(location.hash);
  showPart(part);
  byId(part === 'fleet' ? 'main' : `${part}-title`).focus();
  wake();
});
byId('find').addEventListener('input', showRobots);
keepFresh().catch(problem);
follow().catch(problem);
