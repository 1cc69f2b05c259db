import { describeBrokenDisk } from '../robot-client/install/broken-disk.ts';

describeBrokenDisk(1);
