import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { robotOfCertificate } from '../../../broker/access/access.ts';
import { isRobotId } from '../../../shared/base/ids.ts';

const robotOf = (commonName: string | string[] | undefined, subjectAltName?: string) => {
  const identity = robotOfCertificate({ commonName, subjectAltName });
  return identity?.kind === 'user' ? identity.robot : null;
};

describe('a client certificate', () => {
  it('names the robot by its common name', () => {
    assert.equal(robotOf('r1'), 'r1');
    assert.equal(robotOf('r1', 'DNS:r1.plant.example'), 'r1');
  });

  it('names it by its only DNS name when the common name is no robot id', () => {
    assert.equal(robotOf(undefined, 'DNS:r2'), 'r2');
    assert.equal(robotOf('Robot number 2', 'DNS:r2, IP Address:10.0.0.7'), 'r2');
  });

  it('names no robot when it has two names, none, or one in quotes', () => {
    assert.equal(robotOf(undefined, 'DNS:r1, DNS:r2'), null);
    assert.equal(robotOf(['r1', 'r2']), null);
    assert.equal(robotOf(undefined, 'DNS:"r1, DNS:r2"'), null);
    assert.equal(robotOf('plant.example'), null);
    assert.equal(robotOf(undefined), null);
  });

  it('is never more than one robot, whatever stands in it', () => {
    fc.assert(
      fc.property(fc.option(fc.string()), fc.option(fc.string()), (name, alt) => {
        const identity = robotOfCertificate({
          commonName: name ?? undefined,
          subjectAltName: alt ?? undefined,
        });
        if (!identity) return;
        assert.ok(identity.kind === 'user' && identity.role === 'robot');
        assert.ok(identity.robot !== null && isRobotId(identity.robot));
      }),
    );
  });
});
