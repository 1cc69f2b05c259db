/** `drover-broker` without a command: runs the broker until a signal ends it. */

import type { Argv } from 'yargs';
import { inBackground } from '../../shared/base/in-background.ts';
import { makeLog, makeOutput } from '../../shared/io/cli.ts';
import { startBroker, type RunningBroker } from '../compose.ts';
import type { BrokerSettings } from '../settings.ts';
import { withServeOptions, type ServeArgs } from './serve-options.ts';
import { readSettings } from './serve-settings.ts';

const PROGRAM = 'drover-broker';

export const brokerCommand = (argv: Argv): Argv =>
  argv.command('$0', 'run the broker', withServeOptions, serve);

async function serve(args: ServeArgs): Promise<void> {
  const log = makeLog(PROGRAM);
  // The last defence: a site must not lose its broker to one rejection without an owner.
  process.on('unhandledRejection', (reason) => {
    const stack = reason instanceof Error ? reason.stack : undefined;
    log.error({ error: String(reason), stack }, 'unhandled failure, please report this');
  });
  const settings = await readSettings(args, log);
  const broker = await startBroker(settings);
  tell(args, settings, broker);
  const { reload } = broker;
  if (reload) process.on('SIGHUP', () => inBackground(log, 'reload credentials', reload()));
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await broker.close();
}

function tell(args: ServeArgs, { engine }: BrokerSettings, broker: RunningBroker): void {
  const output = makeOutput(args.json);
  const { mqttPort: mqtt, mqttsPort: mqtts, wsPort: ws, httpPort: http } = broker;
  const s = args['tls-cert'] === undefined ? '' : 's';
  if (engine.kind === 'attached') {
    const { address, profile } = engine;
    const line = `attached to ${address.url} (${profile.name}), http${s}://${args.host}:${http}`;
    return output.result({ engine: address.url, profile: profile.name, http }, [line]);
  }
  const doors = { mqtt, mqtts, [`ws${s}`]: ws, [`http${s}`]: http };
  const urls = Object.entries(doors).flatMap(([scheme, port]) =>
    port === null ? [] : [`${scheme}://${args.host}:${port}`],
  );
  output.result({ mqtt, mqtts, ws, http }, [`listening on ${urls.join(', ')}`]);
}
