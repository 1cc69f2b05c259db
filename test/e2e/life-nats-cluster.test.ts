import { startNatsCluster } from '../helpers/nats-cluster.ts';
import { describeLife } from './life.ts';

describeLife('three nats-servers', startNatsCluster);
