/** Credentials for a broker under test, made by the program that operators use. */

import { startDrover } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** Adds a user to the file, with a token or, when one is given, with a password. */
export async function addUser(
  scope: Scope,
  file: string,
  username: string,
  role: 'publisher' | 'robot' | 'technician' | 'relay',
  password?: string,
): Promise<Login> {
  const args = ['passwd', '--file', file, '--user', username, '--role', role, '--json'];
  const child =
    password === undefined
      ? startDrover(scope, 'broker', args)
      : startDrover(scope, 'broker', [...args, '--password-stdin'], { input: `${password}\n` });
  await child.exit;
  if (child.ended?.code !== 0) throw new Error(child.describe());
  const { token } = JSON.parse(child.stdout) as { token: string | null };
  return { username, password: password ?? token ?? '' };
}
