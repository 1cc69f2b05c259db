import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  mountedPlace,
  mountPointsIn,
  overlaps,
} from '../../../robot-client/install/mounted-place.ts';

const MOUNTS = [
  '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
  '40 22 8:2 / /srv rw shared:2 - ext4 /dev/sda2 rw',
  '41 22 8:2 /robot/nav /opt/nav rw shared:2 - ext4 /dev/sda2 rw',
  '42 22 8:2 /with\\040blank /mnt/with\\040blank rw - ext4 /dev/sda2 rw',
].join('\n');

const place = (path: string) => {
  const found = mountedPlace(path, MOUNTS);
  assert.ok(found, path);
  return found;
};

describe('where a folder lies on its file system', () => {
  it('is found through the mount with the longest path', () => {
    assert.deepEqual(place('/opt/robot'), { device: '8:1', path: '/opt/robot' });
    assert.deepEqual(place('/srv'), { device: '8:2', path: '' });
    assert.deepEqual(place('/srv/robot'), { device: '8:2', path: '/robot' });
    assert.deepEqual(place('/opt/nav/x'), { device: '8:2', path: '/robot/nav/x' });
    assert.deepEqual(place('/mnt/with blank/y'), { device: '8:2', path: '/with blank/y' });
    assert.deepEqual(place('/opt/navigation'), { device: '8:1', path: '/opt/navigation' });
  });

  it('tells folders that lie in each other through a bind mount from those that do not', () => {
    assert.ok(overlaps(place('/srv/robot'), place('/opt/nav')));
    assert.ok(overlaps(place('/opt/nav/sub'), place('/srv/robot')));
    assert.ok(overlaps(place('/srv'), place('/srv')));
    assert.ok(!overlaps(place('/srv/robot2'), place('/opt/nav')));
    assert.ok(!overlaps(place('/srv/robot'), place('/opt/robot')));
  });

  it('has mounts in it and on it, however near the names of others are', () => {
    assert.deepEqual(mountPointsIn('/opt/nav', MOUNTS), ['/opt/nav']);
    assert.deepEqual(mountPointsIn('/mnt', MOUNTS), ['/mnt/with blank']);
    assert.deepEqual(mountPointsIn('/opt/na', MOUNTS), []);
  });

  it('is unknown where no mount is shown', () => {
    assert.equal(mountedPlace('/opt', ''), null);
  });
});
