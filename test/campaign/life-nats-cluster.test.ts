import { startNatsCluster } from '../helpers/nats-cluster.ts';
import { describeLife } from '../e2e/life.ts';

describeLife('three nats-servers', startNatsCluster);
