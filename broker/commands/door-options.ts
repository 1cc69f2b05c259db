/** Options of where a broker listens, and of how it knows who connects. */

import type { Argv } from 'yargs';
import { LIMITS } from '../../shared/base/limits.ts';

export const withDoors = <T>(args: Argv<T>) =>
  args
    .option('host', {
      type: 'string',
      default: '127.0.0.1',
      describe: 'address to listen on; 0.0.0.0 for all',
    })
    .option('mqtt', {
      type: 'number',
      describe: 'TCP port, 0 for any (default: 1883, none with --mqtts)',
    })
    .option('mqtts', { type: 'number', describe: 'TLS port, 0 for any; needs --tls-cert' })
    .option('ws', { type: 'number', describe: 'WebSocket port, 0 for any' })
    .option('tls-cert', {
      type: 'string',
      implies: 'tls-key',
      describe: "PEM of the broker's certificate; WebSocket and HTTP speak TLS then as well",
    })
    .option('tls-key', { type: 'string', implies: 'tls-cert', describe: 'PEM of its key' })
    .option('client-ca', {
      type: 'string',
      implies: 'tls-cert',
      describe: 'PEM of who signs the certificates of robots: nobody stays nameless then',
    })
    .option('http', {
      type: 'number',
      default: 8080,
      describe: 'API and dashboard port, 0 for any',
    })
    .option('credentials', {
      type: 'string',
      describe: 'file of users and roles; see drover-broker passwd',
    })
    .option('allow-anonymous', {
      type: 'boolean',
      default: false,
      describe: 'listen beyond loopback without credentials',
    })
    .option('max-connections', { type: 'number', default: LIMITS.connectionsMaxDefault })
    .option('ws-origin', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe:
        'web page that may connect over WebSocket, such as https://tools.example; repeatable',
    });
