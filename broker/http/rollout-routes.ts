/**
 * Routes of the rollouts: their state, their history, and commands of an operator. A command
 * requires a publisher's token; a technician may pause, because stopping is always safe. A web page
 * must not be able to send commands to a broker on loopback.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { isLoopback } from '../../shared/base/broker-urls.ts';
import { toSecond } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ATTACHMENT_KINDS, type AttachmentKind } from '../../shared/formats/attachments.ts';
import { parseDocument } from '../../shared/formats/schema.ts';
import { noController, type Led } from '../../shared/rules/presence.ts';
import type { Identity } from '../access/access.ts';
import {
  ROLLOUT_COMMANDS,
  type RolloutCommand,
  type RunView,
  type Speaker,
  type RolloutWords,
} from '../rollout/rollout-view.ts';
import type { Fleet } from '../control/fleet.ts';
import type { ExpiryView } from '../control/expiry.ts';
import type { WholeAttachment } from '../rollout/attachment-reader.ts';
import type { ControllerPort, RolloutFacts } from '../rollout/rollout-facts.ts';
import { previewCommands, type CommandPreview } from '../rollout/command-preview.ts';
import type { RolloutClasses } from '../rollout/rollout-classes.ts';
import { classifiedReached, describeEnded, type RolloutView } from '../rollout/views.ts';
import { budgetLines } from '../../shared/rules/budget.ts';
import { endedWave, robotCounts, statusWord, waitsFor } from '../../shared/rules/rollout-words.ts';
import { failuresOf, listRobots, unmetOnRobots } from '../rollout/rollout-robots.ts';
import { rolloutsOfSet, unknownRollout } from '../rollout/set-names.ts';
import { addRolloutRobotRoutes } from './rollout-robot-routes.ts';
import { JSON_HINT, REQUEST_HINT } from './http-refusals.ts';
import { saidSchema } from './route-schemas.ts';

/** Documents that were published with a rollout. */
export interface AttachmentsPort {
  read(rollout: string, kind: AttachmentKind): Promise<WholeAttachment>;
}

export interface RolloutRoutesOptions {
  readonly attachments: AttachmentsPort;
  rollouts(): Promise<readonly RolloutView[]>;
  /** Counts the robots of a rollout that is not announced any more. */
  readonly classes: Pick<RolloutClasses, 'catchUp' | 'of'>;
  /** Null for a rollout that this broker does not know. */
  rolloutFacts(id: string): RolloutFacts | null;
  expiry?(): ExpiryView | undefined;
  readonly fleet: Fleet;
  readonly controller: ControllerPort | null;
  /** True for a relay: the upstream broker leads. */
  readonly isRelay?: boolean;
  /** The identity of a request; `anyone` where there are no credentials. */
  identify(request: FastifyRequest): Identity;
}

const SAID = {
  what: 'body of the command',
  schema: saidSchema,
  bytesMax: LIMITS.localRequestBytesMax,
  code: 'ROLLOUT_COMMAND_INVALID',
} as const;

/** A rollout as the API answers it. */
interface ShownRollout extends RolloutView {
  readonly run: RunView | null;
  readonly led: Led;
  /** Seconds until the first wave may open, where this broker leads and none is open; else null. */
  readonly first_wave_in_s: number | null;
  readonly words: RolloutWords;
}

/** Answer about the name of a set. */
interface ShownSet extends Pick<RolloutView, 'id' | 'set'> {
  readonly rollouts: readonly ShownRollout[];
}

interface ById {
  Params: { id: string };
}

/** The options, and the facts that most routes need. */
interface Shared extends RolloutRoutesOptions {
  readonly elsewhere: Exclude<Led, 'here'>;
  readonly led: Led;
  notFound(id: string): Promise<DroverError>;
}

export function addRolloutRoutes(app: FastifyInstance, options: RolloutRoutesOptions): void {
  const { controller } = options;
  const elsewhere = options.isRelay === true ? 'above' : 'nobody';
  const led: Led = controller ? 'here' : elsewhere;
  const notFound = async (id: string): Promise<DroverError> =>
    unknownRollout(`find rollout ${id.slice(0, 80)}`, id, await options.rollouts());
  const shared: Shared = { ...options, elsewhere, led, notFound };
  const show = (one: RolloutView): ShownRollout =>
    withWords({ ...one, ...ledBy(controller, one.id), led });
  // The list walks the fleet, so it is made only where there is something to group.
  const groupsIn = ({ id, robots }: Pick<RolloutView, 'id' | 'robots'>) => {
    const facts = options.rolloutFacts(id);
    const mayBeUnmet = Object.keys(facts?.plan?.manifest.requires ?? {}).length > 0;
    if (!facts || (robots.failed === 0 && !mayBeUnmet)) return { failures: [], unmet: [] };
    const all = listRobots(facts);
    return { failures: failuresOf(all), unmet: unmetOnRobots(all) };
  };
  app.get('/rollouts', async () => {
    const expires = options.expiry?.();
    return { rollouts: (await options.rollouts()).map(show), ...(expires && { expires }) };
  });
  app.get<ById>('/rollouts/:id', async ({ params }) => {
    const announced = await options.rollouts();
    const found = announced.find((one) => one.id === params.id);
    if (found) return { ...show(found), ...groupsIn(found) };
    const set = showSet(params.id, announced.map(show));
    if (set) return set;
    const run = controller?.view(params.id);
    if (!run) throw await notFound(params.id);
    const reached = classifiedReached(params.id, run);
    await options.classes.catchUp([reached]);
    const ended = describeEnded(params.id, run, options.classes.of(reached));
    const shown = withWords({ ...ended, run, led, first_wave_in_s: null });
    return { ...shown, ...groupsIn(ended) };
  });
  addHistoryRoute(app, shared);
  addRolloutRobotRoutes(app, shared);
  for (const kind of ATTACHMENT_KINDS) {
    app.get<ById>(`/rollouts/:id/${kind}`, async ({ params }, reply) => {
      if (rolloutsOfSet(params.id, await options.rollouts()).length > 0)
        throw await notFound(params.id);
      const { mediaType, bytes } = await options.attachments.read(params.id, kind);
      // A browser must not display what a publisher attached.
      void reply.type(mediaType).header('content-disposition', 'attachment');
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    });
  }
  addCommandRoutes(app, shared);
}

function ledBy(
  controller: ControllerPort | null,
  id: string,
): Pick<ShownRollout, 'run' | 'first_wave_in_s'> {
  const facts = controller?.facts(id) ?? null;
  const run = facts && controller ? controller.view(id) : null;
  const isAwaited = facts !== null && facts.leading && (run === null || isUnopenedView(run));
  return { run, first_wave_in_s: isAwaited ? Math.ceil(facts.startsInMs / 1000) : null };
}

const isUnopenedView = ({ status, opened }: RunView): boolean => status === 'rolling' && !opened;

/** The rollouts of a set, by its name; null for a name of none. */
function showSet(name: string, announced: readonly ShownRollout[]): ShownSet | null {
  const ids = rolloutsOfSet(name, announced);
  const rollouts = ids.flatMap((id) => announced.find((one) => one.id === id) ?? []);
  return rollouts.length === 0 ? null : { id: name, set: rollouts[0]?.set ?? null, rollouts };
}

function withWords(view: Omit<ShownRollout, 'words'>): ShownRollout {
  const [status, waits] = [statusWord(view), waitsFor(view, Date.now())];
  const robots = robotCounts(view.robots);
  const budget = budgetLines(view.budget, view.run?.places ?? null);
  const words = { status, waits, robots, wave: endedWave(view) ?? 'open', budget };
  return { ...view, words };
}

function addHistoryRoute(app: FastifyInstance, options: Shared): void {
  const { controller, led, notFound } = options;
  app.get<ById & { Querystring: { after?: string; limit?: string } }>(
    '/rollouts/:id/history',
    async ({ params, query }) => {
      const after = Number(query.after ?? 0);
      const limit = Math.min(Number(query.limit ?? Infinity), LIMITS.historyPageMax);
      const { id } = params;
      const entries = (await controller?.history(id, after, limit)) ?? [];
      const isKnown = async (): Promise<boolean> =>
        controller?.view(id) != null || (await options.rollouts()).some((one) => one.id === id);
      if (entries.length === 0 && !(await isKnown())) throw await notFound(id);
      return { entries: entries.map((one) => ({ ...one, at: toSecond(one.at) })), led };
    },
  );
}

function addCommandRoutes(app: FastifyInstance, options: Shared): void {
  const { controller, elsewhere, led, notFound } = options;
  app.get<ById>('/rollouts/:id/commands', async (request) => {
    const { id } = request.params;
    const facts = controller?.facts(id) ?? null;
    if (!facts && !options.rolloutFacts(id)) throw await notFound(id);
    const identity = options.identify(request);
    const isUser = identity.kind === 'user';
    const user = isUser ? identity.username : null;
    const key = isUser ? (identity.approvalKey ?? null) : null;
    const announced = await options.rollouts();
    const others = announced.find((one) => one.id === id)?.set?.members ?? [];
    const beside = others.flatMap(({ rollout }) =>
      rollout === id ? [] : (controller?.facts(rollout) ?? []),
    );
    const all = facts ? previewCommands(facts, { user, key }, beside) : [];
    return { commands: all.map((one) => forUser(one, identity)), led };
  });
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    (_request: FastifyRequest, body: Buffer, done: (error: null, body: Buffer) => void) =>
      done(null, body),
  );
  for (const command of ROLLOUT_COMMANDS) {
    app.post<ById>(`/rollouts/:id/${command}`, async (request) => {
      const by = speakerOf(options.identify(request), request, command);
      const { id } = request.params;
      if (!controller) throw noController(`${command} rollout ${id.slice(0, 80)}`, elsewhere);
      const members = rolloutsOfSet(id, await options.rollouts());
      const refused = await controller.command(id, command, by);
      const runs = members.map((one) => ({ rollout: one, run: controller.view(one) }));
      const [first = { rollout: id, run: controller.view(id) }] = runs;
      const unsigned = refused.length > 0 && { refused };
      return {
        ...first,
        command,
        ...unsigned,
        ...(runs.length > 0 && { set: id, rollouts: runs }),
      };
    });
  }
}

function speakerOf(identity: Identity, request: FastifyRequest, command: RolloutCommand): Speaker {
  assertNotFromAPage(request);
  const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
  const said = readSaid(body.byteLength === 0 ? EMPTY_OBJECT : body);
  const { reason, wave } = said;
  const signed = said.signed.length > 0 && { signed: said.signed };
  if (identity.kind === 'anyone') {
    return { who: said.by === '' ? 'local' : said.by, reason, wave, ...signed };
  }
  const denied = denialOf(identity, command);
  if (denied) throw denied;
  // A token names its user; the name in the request stands behind it.
  const aside = said.by === '' || said.by === identity.username ? '' : ` (${said.by})`;
  const { username: user, approvalKey: key } = identity;
  const own = key !== undefined && { key };
  return { who: `${user}${aside}`, reason, wave, user, ...own, ...signed };
}

/** Null for a user who may give the command. */
function denialOf(identity: Identity, command: RolloutCommand): DroverError | null {
  if (identity.kind === 'anyone' || identity.role === 'publisher') return null;
  if (identity.role === 'technician' && command === 'pause') return null;
  return new DroverError(
    'ACCESS_DENIED',
    `${command} a rollout: the role ${identity.role} may not`,
  );
}

function forUser(preview: CommandPreview, identity: Identity): CommandPreview {
  const denied = denialOf(identity, preview.command);
  return denied ? { ...preview, refusal: { code: denied.code, message: denied.message } } : preview;
}

/** For the API this is an invalid request, not an invalid file. */
function readSaid(body: Uint8Array): z.infer<typeof saidSchema> {
  try {
    return parseDocument(SAID, body);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw new DroverError(cause.code, cause.message, { cause, hint: REQUEST_HINT });
  }
}

const EMPTY_OBJECT = new TextEncoder().encode('{}');

/** @throws DroverError ACCESS_DENIED for a user with another role */
export function assertPublisher(identity: Identity, what: string): void {
  if (identity.kind !== 'user' || identity.role === 'publisher') return;
  throw new DroverError('ACCESS_DENIED', `${what}: the role ${identity.role} may not`);
}

/** A page of another origin cannot send this content type without a preflight, which is refused. */
export function assertNotFromAPage({ headers }: FastifyRequest): void {
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new DroverError(
      'ROLLOUT_COMMAND_INVALID',
      `steer rollouts: want content-type application/json (got ${type?.slice(0, 60) ?? 'none'})`,
      { hint: JSON_HINT },
    );
  }
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin') return;
  const isProgram = headers.origin === undefined && (site === undefined || site === 'none');
  if (isProgram || (site === undefined && isOwnOrigin(headers))) return;
  throw new DroverError('ACCESS_DENIED', 'steer rollouts: a web page of another origin may not', {
    hint: 'send it from the page of this broker, or from a program: without Origin and Sec-Fetch-Site',
  });
}

/**
 * Over plain HTTP to another machine a browser names the origin of the page and no site. That
 * origin proves little by itself, and such a broker has credentials: the session has to be proven.
 */
function isOwnOrigin({ origin, host }: FastifyRequest['headers']): boolean {
  if (typeof origin !== 'string' || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  return url.host === host && !isLoopback(url.hostname.replace(/^\[|\]$/g, ''));
}
