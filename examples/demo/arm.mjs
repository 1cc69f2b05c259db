// The demo's application: a robot arm that plans with three.js and answers on a socket in the root.
// It is a real program with a real dependency, so that a release that lost a file would not start.
import { createServer } from 'node:http';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as THREE from './three/build/three.module.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = process.env.DROVER_ROOT;
const release = JSON.parse(readFileSync(join(here, 'release.json'), 'utf8'));
const calibration = JSON.parse(readFileSync(join(root, 'calibration.json'), 'utf8'));

const tool = new THREE.Mesh(new THREE.BoxGeometry(1, 2, 3));
tool.position.set(4, 5, 6);
tool.updateMatrixWorld();
const reach = new THREE.Box3().setFromObject(tool).max.length();

// 1.1.0 needs a calibration of the second generation; a robot without one is not healthy on it.
const healthy = calibration.generation >= release.needsCalibration && reach > 0;

const socket = join(root, 'arm.sock');
rmSync(socket, { force: true });
createServer((_request, response) => {
  response.statusCode = healthy ? 200 : 503;
  response.end(JSON.stringify({ version: release.version, healthy, reach }));
}).listen(socket);
process.on('SIGTERM', () => process.exit(0));
