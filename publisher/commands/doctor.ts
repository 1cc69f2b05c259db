/** `drover doctor`: collects the facts of ../doctor and prints the findings. */

import type { Argv } from 'yargs';
import { assertBrokerUrl, splitBrokerUrls } from '../../shared/base/broker-urls.ts';
import { BROKER_URL, LIST, TEXT } from '../../shared/io/cli-options.ts';
import { paintFindings } from '../../shared/base/tints.ts';
import { makeOutput, PRODUCT_VERSION } from '../../shared/io/cli.ts';
import { whyUnsafe } from '../../shared/io/owned-file.ts';
import { readTrustFile } from '../../shared/io/trust-file.ts';
import { examine, findingLines, hasFailed } from '../doctor/examine.ts';
import { factOf, unknown, type DoctorFacts } from '../doctor/facts.ts';
import { knock } from '../doctor/knock.ts';
import { readApi } from '../doctor/read-api.ts';
import { noBroker, readBroker } from '../doctor/read-broker.ts';
import { readBundle, readDisk, readKey } from '../doctor/read-here.ts';
import { brokerAddress, brokerOptions, commandLog, withOptionalBroker } from './options.ts';
import { openApi, withApi } from './rollout-options.ts';

const withOptions = (argv: Argv) =>
  withApi(withOptionalBroker(argv))
    .positional('bundle', { type: 'string', describe: 'what robots would say to it' })
    .option('broker', {
      ...BROKER_URL,
      defaultDescription: 'that of --url, DROVER_URL or the profile',
    })
    .option('api', {
      ...TEXT,
      describe: 'HTTP API of a broker',
      defaultDescription: 'that of --url, DROVER_API, DROVER_URL or the profile',
    })
    .option('trust', {
      ...TEXT,
      describe: 'trust.json of the fleet',
      defaultDescription: 'that of the profile',
    })
    .option('key', { ...LIST, describe: 'private key file to check; may be given again' })
    .example('$0 doctor --trust trust.json --key keys/rollout.key', 'this machine alone')
    .example(
      '$0 doctor --broker mqtt://host --api http://host:8080 --trust trust.json bundles/1.4.2',
      'exit 3 when something has to be fixed first',
    );

type DoctorArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

export function doctorCommand(yargs: Argv): Argv {
  return yargs.command(
    'doctor [bundle]',
    'check keys, trust, broker, clock and robots before a release; it changes nothing',
    withOptions,
    runDoctor,
  );
}

async function runDoctor(argv: DoctorArgs): Promise<void> {
  const findings = examine(await collect(argv));
  const failed = hasFailed(findings);
  makeOutput(argv.json).result({ ok: !failed, findings }, findingLines(findings), paintFindings);
  if (failed) process.exitCode = 3;
}

async function collect(argv: DoctorArgs): Promise<DoctorFacts> {
  const { trust: trustPath } = argv;
  const trust =
    trustPath === undefined
      ? unknown('none was given (--trust)')
      : await factOf(() => readTrustFile(trustPath));
  const trustUnsafe = trustPath === undefined ? null : whyUnsafe(trustPath);
  const [keys, bundle, broker, api] = await Promise.all([
    Promise.all((argv.key ?? []).map(readKey)),
    readBundle(argv.bundle, trust),
    collectBroker(argv),
    collectApi(argv),
  ]);
  return {
    ...{ now: Date.now(), node: process.versions.node, drover: PRODUCT_VERSION },
    ...{ disk: await readDisk('.'), trust, trustUnsafe, keys, bundle, ...broker, ...api },
  };
}

/** An address that cannot be one is a mistake of the command line, not a finding. */
async function collectBroker(
  argv: DoctorArgs,
): Promise<Pick<DoctorFacts, 'broker' | 'brokerDoors'>> {
  const { broker, ca } = argv;
  if (broker === undefined) {
    return { broker: noBroker('none was given (--broker)'), brokerDoors: [] };
  }
  if (broker !== argv.url) assertBrokerUrl(broker);
  const found = await factOf(() => brokerAddress({ ...argv, broker }));
  if (found.kind !== 'known') {
    const door = { address: broker, reach: found };
    return { broker: noBroker('its MQTT address is not known'), brokerDoors: [door] };
  }
  const url = found.value;
  const options = await brokerOptions({ ...argv, broker: url });
  const urls = splitBrokerUrls(url).map((one) => new URL(one));
  const brokerDoors = await Promise.all(urls.map((one) => knock(one, ca)));
  const isReached = brokerDoors.some(({ reach }) => reach.kind === 'known');
  const read = isReached
    ? await readBroker(options, commandLog())
    : noBroker('no address of it answers');
  return { broker: read, brokerDoors };
}

async function collectApi(argv: DoctorArgs): Promise<Pick<DoctorFacts, 'api' | 'apiDoor'>> {
  const url = argv.api ?? process.env['DROVER_API'];
  if (url === undefined) return { api: unknown('none was given (--api)'), apiDoor: null };
  const api = openApi({ ...argv, api: url });
  const apiDoor = await knock(new URL(url), argv.ca);
  const isReached = apiDoor.reach.kind === 'known';
  return { api: isReached ? await readApi(api) : unknown('it does not answer'), apiDoor };
}
