/**
 * Connects the local socket to the agent: each route is one call, answered when the roots were
 * read. The socket is open before that, and an unread root is never shown as "nothing installed".
 */

import { DroverError, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { endsWithin } from '../../shared/io/within.ts';
import type { Agent } from '../agent.ts';
import type { Component } from '../component.ts';
import type { ComponentView } from '../fleet/report.ts';
import type { Computers } from '../members/computers.ts';
import { slotProblem } from '../install/slots.ts';
import { startLocalApi, type LocalHandlers } from './api.ts';

export async function serveLocalApi(
  agent: Agent,
  socketPath: string,
  log: Log,
  computers: Pick<Computers, 'gone'> | undefined = ALONE,
): Promise<{ close(): Promise<void> }> {
  return await startLocalApi({
    socketPath,
    log,
    handlers: onceRead(agent, {
      status: async () => {
        await lookAgain(agent);
        return agent.status();
      },
      explain: async () => {
        await lookAgain(agent);
        return { lines: agent.explain() };
      },
      telemetry: (delta) => {
        const { component, ...counts } = delta;
        agent.telemetry.add(counts, component);
        return { ...agent.telemetry.totals };
      },
      ready: async ({ ready, reason, component, holder, hold_s: holdS }) => {
        const holdMs = holdS === undefined ? undefined : holdS * 1000;
        const said = { ready, reason: reason ?? '', holder, holdMs };
        await Promise.all(chosen(agent, component).map((one) => one.ready(said)));
        return { ready, ...(holdS !== undefined && { hold_s: holdS }) };
      },
      confirm: ({ component }) => ({
        confirmed: chosen(agent, component).filter((one) => one.confirm()).length,
      }),
      retry: async ({ component }) => {
        let retried = 0;
        await agent.refreshModules();
        const problems: object[] = [];
        for (const one of chosen(agent, component)) {
          const { lastProblem: before } = one.view.state;
          await one.refresh();
          const { lastProblem } = one.view.state;
          const isByHand = lastProblem !== before && lastProblem?.code === 'ACTIVE_CHANGED';
          const byHand = isByHand ? { code: lastProblem.code, message: lastProblem.message } : null;
          const problem = byHand ?? standingProblem(one.view);
          if (problem) problems.push({ component: one.name, ...problem });
          // The caller may not know what another person did by hand: the first call reports it, a
          // second one undoes it.
          if (!byHand && (await one.retry())) retried += 1;
        }
        return { retried, looked: true, problems };
      },
      unblock: async ({ version, component }) => {
        let lifted = 0;
        for (const one of chosen(agent, component)) if (await one.unblock(version)) lifted += 1;
        if (lifted > 0) return { unblocked: version };
        throw new DroverError('NOT_FOUND', `unblock ${version}: it is not blocked here`);
      },
      gone: (said) => computers.gone({ computers: said.computers, isSaid: said.for_good }),
    }),
  });
}

/** A robot of one computer. */
const ALONE: Pick<Computers, 'gone'> = {
  gone: () => {
    const hint = 'say it where the agent runs with --members; an empty folder will do';
    const message = 'go on without another computer: this one leads none';
    return Promise.reject(new DroverError('NOT_FOUND', message, { hint }));
  },
};

/** @throws DroverError ROBOT_STARTING from each route while a disk does not answer */
function onceRead(agent: Agent, handlers: LocalHandlers): LocalHandlers {
  const read = async (): Promise<void> => {
    if (await endsWithin(agent.components.whenRead, LIMITS.localReadMs)) return;
    throw new DroverError('ROBOT_STARTING', 'answer: the disk of a root was not read yet');
  };
  const after = Object.entries(handlers).map(([route, answer]) => [
    route,
    async (request: never) => {
      await read();
      return await (answer as (request: never) => object | Promise<object>)(request);
    },
  ]);
  return Object.fromEntries(after) as LocalHandlers;
}

/** People change links and disks at any time: an answer has to show their current state. */
async function lookAgain({ components }: Agent): Promise<void> {
  await endsWithin(components.refresh(), LIMITS.localLookMs);
}

/** A problem that blocks everything, and not a single failure. */
function standingProblem({ slots, live }: ComponentView): Problem | null {
  return slotProblem(slots) ?? live.refusal?.problem ?? null;
}

/** All components, or the named one. @throws DroverError NOT_FOUND */
function chosen({ components: { all } }: Agent, name: string | undefined): readonly Component[] {
  if (name === undefined) return all;
  const found = all.filter((one) => one.name === name);
  if (found.length > 0) return found;
  const known = all.map((one) => one.name).join(', ');
  throw new DroverError('NOT_FOUND', `component ${name}: not on this computer, which has ${known}`);
}
