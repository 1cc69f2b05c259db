/** `drover fleet robot ID`: shows all that is known about one robot. */

import type { Argv } from 'yargs';
import { paintRobot } from '../../shared/base/tints.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { parseRobotId, type RobotId } from '../../shared/base/ids.ts';
import {
  openAnnouncement,
  peekAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import { RELAY_FILTER, robotTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { readTrust } from '../../shared/io/trust-file.ts';
import { FleetView } from '../rollout/fleet-report.ts';
import { answeredDetails } from '../rollout/robot-answer.ts';
import { robotFields, robotLines, type RobotDetails } from '../rollout/robot-details.ts';
import { retainedDetails, type SeenAnnouncement } from '../rollout/robot-retained.ts';
import { Subscription } from '../rollout/subscription.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { brokerOptions, commandLog, withOptionalBroker } from './options.ts';
import { openApi, withApi } from './rollout-options.ts';

const withOptions = (argv: Argv) =>
  withApi(withOptionalBroker(argv))
    .positional('robot', { type: 'string', demandOption: true, describe: 'its id' })
    .option('trust', { ...TEXT, describe: 'trust.json, to check what is announced (--broker)' })
    .example('$0 fleet robot r1 --api http://host:8080', 'with its last events')
    .example('$0 fleet robot r1 --broker mqtt://host --trust trust.json', 'on any MQTT engine');

type RobotArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

export const withRobotCommand = (argv: Argv): Argv =>
  argv.command(
    'robot <robot>',
    'show all that is known about one robot',
    withOptions,
    async (args) => {
      const robot = await readDetails(args);
      makeOutput(args.json).result(robotFields(robot), robotLines(robot, Date.now()), paintRobot);
    },
  );

async function readDetails(args: RobotArgs): Promise<RobotDetails> {
  const id = parseRobotId(args.robot);
  const { broker } = args;
  if (broker !== undefined && args.api !== undefined) {
    throw new DroverError('USAGE', 'show robot: want --broker or --api, not both');
  }
  return broker === undefined ? await askApi(id, args) : await askBroker(id, { ...args, broker });
}

async function askApi(id: RobotId, args: RobotArgs): Promise<RobotDetails> {
  const api = openApi(args);
  const [robot, rollouts] = await Promise.all([
    api.get(`/robots/${encodeURIComponent(id)}`),
    api.get('/rollouts'),
  ]);
  return answeredDetails(robot, rollouts);
}

async function askBroker(
  id: RobotId,
  args: RobotArgs & { readonly broker: string },
): Promise<RobotDetails> {
  const trust = args.trust === undefined ? null : readTrust(args.trust);
  const link = await BrokerLink.open(await brokerOptions(args), commandLog());
  try {
    const view = new FleetView();
    let updates: Uint8Array | null = null;
    const subscription = await Subscription.open(link, {
      filters: [robotTopic(id, 'state'), robotTopic(id, 'online'), RELAY_FILTER, UPDATES_TOPIC],
      onMessage: (topic, payload) => {
        if (topic === UPDATES_TOPIC) updates = payload.slice();
        else view.take(topic, payload);
      },
    });
    await subscription.settle();
    subscription.close();
    const seen = view.get(id);
    if (!seen) throw notFound(id, view);
    const announced = readAnnounced(updates, trust);
    return retainedDetails(id, seen, { announced, now: Date.now() });
  } finally {
    await link.close();
  }
}

function notFound(id: RobotId, { invalid }: FleetView): DroverError {
  const [topic] = invalid;
  if (topic === undefined) {
    return new DroverError('NOT_FOUND', `find robot ${id}: it has not reported to this broker`);
  }
  return new DroverError('JSON_INVALID', `read robot ${id}: the message on ${topic} is no report`);
}

const NOTHING: Pick<Announcement, 'rollouts'> = { rollouts: [] };

/** Null when this fleet did not sign it, or when it cannot be read. */
function readAnnounced(bytes: Uint8Array | null, trust: TrustRoot | null): SeenAnnouncement | null {
  if (bytes === null || bytes.byteLength === 0) return { announcement: NOTHING, isVerified: true };
  const announcement = nullIfRefused(() =>
    trust === null ? peekAnnouncement(bytes) : openAnnouncement(bytes, trust),
  );
  return announcement && { announcement, isVerified: trust !== null };
}
