/** Credentials for a broker under test. The program that makes them is tried by other tests. */

import { makeToken, putCredentialUser } from '../../broker/access/credentials.ts';
import { hashPassword } from '../../broker/access/passwords.ts';

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** Adds a user to the file, with a token or, when one is given, with a password. */
export async function addUser(
  file: string,
  username: string,
  role: 'publisher' | 'robot' | 'technician' | 'relay',
  password?: string,
): Promise<Login> {
  const { token, sha256 } = makeToken();
  const secret =
    password === undefined
      ? { token_sha256: sha256 }
      : { password_scrypt: await hashPassword(Buffer.from(password)) };
  const robot = role === 'robot' ? { robot_id: username } : {};
  await putCredentialUser(file, { username, role, ...robot, ...secret });
  return { username, password: password ?? token };
}
