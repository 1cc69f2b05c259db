/** `drover fleet logs ROBOT`: shows why the last update of a robot failed, in its own words. */

import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { parseComponentName, parseRobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { oneLine, printable } from '../../shared/base/printable.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { assertNewFile, writeNewFile } from '../../shared/io/new-file.ts';
import { logsFromApi, logsFromRobot, type FailureLog } from '../rollout/failure-logs.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { brokerOptions, commandLog, warn, withOptionalBroker } from './options.ts';
import { openApi, withApi } from './rollout-options.ts';

const withOptions = (argv: Argv) =>
  withApi(withOptionalBroker(argv))
    .positional('robot', { type: 'string', demandOption: true, describe: 'its id' })
    .option('component', { ...TEXT, describe: 'of this component only (default: of all)' })
    .option('out', { ...TEXT, describe: 'write a new file instead' })
    .example('$0 fleet logs r1 --api http://host:8080', 'as the broker has it, or asks for it')
    .example('$0 fleet logs r1 --broker mqtt://host', 'from the robot, on any MQTT engine');

type LogsArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

export const withLogsCommand = (argv: Argv): Argv =>
  argv.command(
    'logs <robot>',
    'show the log that a robot kept of its last failed update',
    withOptions,
    showLogs,
  );

async function showLogs(args: LogsArgs): Promise<void> {
  const { out } = args;
  const file = out === undefined ? null : { path: out, what: 'log', option: '--out' };
  if (file) assertNewFile(file);
  const logs = await readLogs(args);
  const lines = logs.flatMap(logLines);
  const output = makeOutput(args.json);
  if (file === null) {
    return output.result({ robot_id: args.robot, logs: logs.map(fieldsOf) }, lines);
  }
  await writeNewFile(file, lines.map((line) => `${line}\n`).join(''));
  output.result({ robot_id: args.robot, out: file.path }, [`wrote ${file.path}`]);
}

async function readLogs(args: LogsArgs): Promise<FailureLog[]> {
  const { broker } = args;
  const robot = parseRobotId(args.robot);
  const component = args.component === undefined ? null : parseComponentName(args.component);
  const onOlder = ({ code, message }: DroverError): void =>
    warn(`${printable(message, 400)} (${code}): an older log follows, or not all of them`);
  const onElsewhere = ({ message, hint }: DroverError): void =>
    warn(printable(`${message}; ${hint}`, LIMITS.logLineCharsMax));
  const asked = { robot, component, onOlder, onElsewhere };
  if (broker === undefined) return await logsFromApi(openApi(args), asked);
  if (args.api !== undefined) {
    throw new DroverError('USAGE', 'show logs: want --broker or --api, not both');
  }
  const link = await BrokerLink.open(await brokerOptions({ ...args, broker }), commandLog());
  try {
    return await logsFromRobot(link, asked);
  } finally {
    await link.close();
  }
}

const fieldsOf = ({ head, text }: FailureLog): object => ({ ...head, text });

function logLines({ head, text }: FailureLog): string[] {
  const { component, version, rollout, code, failed_at: at, message = '' } = head;
  // The first line is the head of the file, as JSON.
  const lines = text.trimEnd().split('\n').slice(1);
  return [
    `${component} ${version} failed ${at}, rollout ${rollout}`,
    oneLine(`${message} (${code})`, LIMITS.logLineCharsMax),
    ...lines.map((line) => printable(line.replaceAll('\t', '    '), LIMITS.logLineCharsMax)),
  ];
}
