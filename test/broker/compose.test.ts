import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { it, type TestContext } from 'node:test';
import { startBroker } from '../../broker/compose.ts';
import type { BrokerSettings, EmbeddedSettings } from '../../broker/settings.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { fixedSeed, makeFleet } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { seedSigner } from '../../shared/crypto/ed25519.ts';

const HOST = '127.0.0.1';

const ENGINE: EmbeddedSettings = {
  kind: 'embedded',
  doors: { mqttPort: 0, mqttsPort: null, wsPort: 0 },
  ...{ connectionsMax: 10, wsOrigins: [], bytesPerSecondMax: null, upstream: null },
};

function settingsOf(dataFolder: string, engine: Partial<EmbeddedSettings> = {}): BrokerSettings {
  return {
    ...{
      dataFolder,
      host: HOST,
      httpPort: 0,
      publicMqtt: null,
      certificateFiles: null,
      credentialsFile: null,
      authorityFiles: null,
      logPolicy: null,
    },
    ...{ trust: null, storeBytesMax: 1e9, keepUnannouncedMs: null, lead: null },
    webhooks: [],
    engine: { ...ENGINE, ...engine },
    log: makeLog('test', 'silent'),
  };
}

/** A port that something else listens on until the test ends. */
async function takenPort(t: TestContext): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

it('a broker that cannot start gives its data folder and its ports back', async (t) => {
  const folder = await tempFolder(t);
  const settings = settingsOf(folder);
  const port = await takenPort(t);
  const { trust } = makeFleet();
  const upstream = { address: { url: `mqtt://${HOST}:${port}` }, name: null };
  const lead = { signers: [seedSigner(fixedSeed(99))], notify: null, times: {} };
  for (const [code, wrong] of [
    ['LISTEN_FAILED', { ...settings, httpPort: port }],
    ['LISTEN_FAILED', settingsOf(folder, { doors: { ...ENGINE.doors, wsPort: port } })],
    ['ENVELOPE_KEY_UNKNOWN', { ...settings, trust, lead }],
    ['USAGE', settingsOf(folder, { upstream: { ...upstream, bytesPerSecondMax: null } })],
  ] as const) {
    await assert.rejects(startBroker(wrong), { code });
    const broker = await startBroker(settings);
    await broker.close();
  }
});
