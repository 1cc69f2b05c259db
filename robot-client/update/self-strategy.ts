/**
 * The strategy and the hooks of the component `drover-agent`: its application is the agent itself.
 * This process knows which release it is: a step for another release ends it, and drover-launch
 * starts the process that does the step again. docs/decisions/0032-agent-updates-itself.md explains
 * why.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { assertAgentStrategy } from '../../shared/rules/agent-bundle.ts';
import type { HookName, HookResult } from '../install/hooks.ts';
import { insteadProblem } from '../self/launch.ts';
import { assertAgentRelease, clearStarts } from '../self/own-release.ts';
import type { SelfSide } from '../self/self-side.ts';
import type { ApplyStrategy, ApplyTarget, RunsNow } from './apply-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import type { ModuleContext } from './module-strategy.ts';
import type { Job } from './state.ts';

export class SelfStrategy implements ApplyStrategy {
  readonly #self: SelfSide;
  readonly #on: ModuleContext;

  constructor(self: SelfSide, on: ModuleContext) {
    this.#self = self;
    this.#on = on;
  }

  /** @throws DroverError AGENT_NOT_LAUNCHED, AGENT_STRATEGY, AGENT_IN_SET */
  check(job: Job): Promise<void> {
    const what = `take agent ${job.version}`;
    this.#self.assertLaunched(what);
    assertAgentStrategy(job.strategy, what);
    if (job.set === null) return Promise.resolve();
    throw new DroverError('AGENT_IN_SET', `${what}: it is part of set ${job.set.id}`);
  }

  /** @throws DroverError AGENT_RELEASE_INVALID, AGENT_STATE_NEWER */
  async stage({ version }: Job): Promise<void> {
    await assertAgentRelease(this.#on.disk, this.#on.layout, version);
  }

  /** @throws DroverError AGENT_NOT_LAUNCHED, AGENT_RELEASE_INVALID, AGENT_STATE_NEWER */
  async prepare({ version }: ApplyTarget, to: string | null): Promise<void> {
    if (to !== version) return; // no way back is refused: drover-launch starts what can start
    this.#self.assertLaunched(`start agent ${version}`);
    await assertAgentRelease(this.#on.disk, this.#on.layout, version);
  }

  /** Its starts count from here on. `active` is led to it next, and `resume` starts it. */
  async switchTo(): Promise<void> {
    await clearStarts(this.#on.disk, this.#on.layout, null);
  }

  /**
   * Ends this process unless it is the agent on trial.
   * @throws DroverError AGENT_NOT_UP, BOOT_NOT_COUNTED, AGENT_NOT_LAUNCHED
   */
  async resume({ version }: ApplyTarget): Promise<void> {
    const { running, launch } = this.#self;
    if (running !== version && launch.instead?.version === version) {
      const { code, message, hint } = insteadProblem(launch.instead);
      throw new DroverError(code, message, { hint });
    }
    await this.#self.become(version, signalOf(this.#on));
  }

  verify(): Promise<HookResult> {
    return Promise.resolve({ kind: 'absent' });
  }

  async confirm(): Promise<void> {
    await clearStarts(this.#on.disk, this.#on.layout, null);
  }

  revert(): Promise<void> {
    return Promise.resolve();
  }

  said(): Promise<RunsNow> {
    return Promise.resolve({ kind: 'active' }); // settle.ts asks this process itself
  }
}

const signalOf = ({ signal }: ModuleContext): AbortSignal => signal ?? new AbortController().signal;

/**
 * Answers in place of a hook of the integrator, whose hooks stop and start applications. Only
 * `ready` is asked as well, after this one: a robot may have reasons of its own.
 * @param version that the hook is about; empty for the installed agent
 * @returns null when the integrator's hook is to be run
 */
export async function selfHook(
  { self, signal }: Pick<EffectContext, 'self' | 'signal'>,
  name: HookName,
  version: string,
): Promise<HookResult | null> {
  if (!self) return null;
  switch (name) {
    case 'ready':
      // The trial ends by a report to the broker: it begins while there is a link.
      return self.isLinkUp ? null : { kind: 'busy', output: 'no link to the broker' };
    case 'stop':
      return { kind: 'absent' };
    case 'start':
    case 'rolled-back':
      await self.become(version === '' ? null : version, signal);
      return { kind: 'absent' };
    case 'health': {
      const why = await self.whyUnwell();
      return why === null ? { kind: 'ok', output: '' } : { kind: 'busy', output: why };
    }
  }
}
