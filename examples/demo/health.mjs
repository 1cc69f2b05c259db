// Health probe of the demo's application: asks it over its socket which version answers, and how
// it feels. Exit 0 healthy, 1 not (yet).
import { request } from 'node:http';

const { DROVER_ROOT, DROVER_VERSION } = process.env;
const ask = request({ socketPath: `${DROVER_ROOT}/arm.sock`, path: '/' }, (response) => {
  let text = '';
  response.on('data', (piece) => (text += piece));
  response.on('end', () => {
    const { version } = JSON.parse(text);
    console.log(`arm answers ${response.statusCode} as ${version}`);
    process.exit(response.statusCode === 200 && version === DROVER_VERSION ? 0 : 1);
  });
});
ask.on('error', (error) => {
  console.log(`arm does not answer: ${error.code}`);
  process.exit(1);
});
ask.end();
