import { describeLaunchWorlds } from '../robot-client/self/launch-worlds.ts';

describeLaunchWorlds(1);
