/** Options for the addresses of a broker and for the authentication of its clients. */

import type { Argv } from 'yargs';
import { formatDurationMs } from '../../shared/base/durations.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { port, TEXT, wholeNumber } from '../../shared/io/cli-options.ts';

export const withListeners = <T>(args: Argv<T>) =>
  args
    .option('host', {
      ...TEXT,
      default: '127.0.0.1',
      describe: 'address to listen on; 0.0.0.0 for all',
    })
    .option('mqtt', {
      ...port('mqtt'),
      describe: 'TCP port, 0 for any (default: 1883, none with --mqtts)',
    })
    .option('mqtts', { ...port('mqtts'), describe: 'TLS port, 0 for any; needs --tls-cert' })
    .option('ws', { ...port('ws'), describe: 'WebSocket port, 0 for any' })
    .option('tls-cert', {
      ...TEXT,
      implies: 'tls-key',
      describe: "PEM of the broker's certificate; WebSocket and HTTP speak TLS then as well",
    })
    .option('tls-key', { ...TEXT, implies: 'tls-cert', describe: 'PEM of its key' })
    .option('client-ca', {
      ...TEXT,
      implies: 'tls-cert',
      describe: 'CA of client certificates (PEM); every client must then authenticate',
    })
    .option('http', {
      ...port('http'),
      default: 8080,
      describe: 'API and dashboard port, 0 for any',
    })
    .option('credentials', {
      ...TEXT,
      describe: 'file of users and roles; see drover-broker passwd',
    })
    .option('enrol-ca-cert', {
      ...TEXT,
      implies: 'enrol-ca-key',
      describe: 'PEM of the authority of certificates that robots get when they enrol',
    })
    .option('enrol-ca-key', { ...TEXT, implies: 'enrol-ca-cert', describe: 'PEM of its key' })
    .option('enrol-cert-life', {
      ...TEXT,
      default: formatDurationMs(LIMITS.certificateLifeMsDefault),
      describe: 'such a certificate is good for this long; robots renew it after two thirds',
    })
    .option('allow-anonymous', {
      type: 'boolean',
      default: false,
      describe: 'listen beyond loopback without credentials',
    })
    .option('max-connections', {
      ...wholeNumber('max-connections', { least: 1, most: LIMITS.connectionsMax }),
      default: LIMITS.connectionsMaxDefault,
      describe: 'MQTT connections at once',
    })
    .option('ws-origin', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe:
        'web page that may connect over WebSocket, such as https://tools.example; repeatable',
    });
