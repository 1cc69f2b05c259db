/** A bench whose robot has one of the modules of examples/modules, and bundles for it. */

import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModuleFolder } from '../../robot-client/modules/module-folder.ts';
import { Bench, fleet } from '../robot-client/bench.ts';
import { repositoryFile } from './repository.ts';
import type { Scope } from './scope.ts';
import { tempFolder } from './temp-folder.ts';
import { waitUntil } from './wait-until.ts';

const MODULE_TIMEOUT_MS = 120_000;
const VERIFY_TIMEOUT_MS = 20_000;
/** A container takes seconds to be replaced on a machine that is busy. */
const REST_TIMEOUT_MS = 60_000;

export class ExampleModule {
  readonly bench: Bench;
  /** Of this test. */
  readonly folder: string;
  readonly #name: string;

  private constructor(bench: Bench, folder: string, name: string) {
    this.bench = bench;
    this.folder = folder;
    this.#name = name;
  }

  /** @param settings text of its .conf, with the folder of the test for FOLDER */
  static async open(scope: Scope, name: string, settings: string): Promise<ExampleModule> {
    const folder = await tempFolder(scope);
    const modules = join(folder, 'modules.d');
    await mkdir(modules);
    await copyFile(repositoryFile(`examples/modules/${name}`), join(modules, name));
    await writeFile(join(modules, `${name}.conf`), settings.replaceAll('FOLDER', folder));
    const bench = await Bench.open(scope, {
      modules: new ModuleFolder(modules),
      moduleTimeoutMs: MODULE_TIMEOUT_MS,
      hookTimeoutMs: VERIFY_TIMEOUT_MS,
      healthIntervalMs: 50,
    });
    return new ExampleModule(bench, folder, name);
  }

  /** @param release a folder */
  async offer(version: string, release: string, healthTimeoutS = 60): Promise<void> {
    const payload = join(this.folder, `${version}.tar.gz`);
    const packed = spawnSync('tar', ['-czf', payload, '-C', release, '.']);
    if (packed.status !== 0) throw new Error(packed.stderr.toString());
    const bundle = await fleet.makeBundle({
      version,
      payload: new Uint8Array(await readFile(payload)),
      manifest: { apply_strategy: `module/${this.#name}` },
    });
    this.bench.announce(bundle, version, { health_timeout_s: healthTimeoutS });
  }

  /** Resolves when the component is at rest on that version, and its module agrees. */
  async rests(version: string): Promise<void> {
    await waitUntil(
      `the component to rest on ${version}`,
      () => {
        const { state, version: active, live } = this.bench.component.view;
        return state.phase === 'idle' && active === version && !live.module;
      },
      { timeoutMs: REST_TIMEOUT_MS, look: () => this.#look() },
    );
  }

  #look(): string {
    const { state, version } = this.bench.component.view;
    return `${version} in ${state.phase}: ${JSON.stringify(state.lastProblem)}`;
  }

  /** The code of the block of that version, once it is blocked. */
  async blockOf(version: string): Promise<string> {
    return await waitUntil(
      `${version} to be blocked`,
      () => this.bench.component.view.state.blocked.find((one) => one.version === version)?.code,
      { timeoutMs: REST_TIMEOUT_MS, look: () => this.#look() },
    );
  }
}
