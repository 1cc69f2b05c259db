/** Calls the API of the broker that served the page, with the session that the browser holds. */

import type { ProblemAnswer, UserAnswer } from './answers.ts';

/** A refusal of the API, or a broker that cannot be reached (status 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: ProblemAnswer;

  constructor(status: number, problem: ProblemAnswer) {
    super(problem.message);
    this.status = status;
    this.problem = problem;
  }

  /** True when the request had no session, or one that has ended. */
  get isSignedOut(): boolean {
    return this.status === 401;
  }

  /** The broker knows nothing of that name. */
  get isUnknown(): boolean {
    return this.status === 404;
  }
}

const UNREACHABLE: ProblemAnswer = {
  code: 'BROKER_UNREACHABLE',
  message: 'the broker cannot be reached',
  hint: '',
};

export class Api {
  user: UserAnswer = { user: null, role: null, needs_sign_in: false, csrf: null };

  async get<T>(path: string): Promise<T> {
    return (await (await this.open(path)).json()) as T;
  }

  async post<T>(path: string, body: object): Promise<T> {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (this.user.csrf !== null) headers['x-drover-csrf'] = this.user.csrf;
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    return (await (await this.open(path, init)).json()) as T;
  }

  /** @throws ApiError */
  async open(path: string, init: RequestInit = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(path, init);
    } catch {
      throw new ApiError(0, UNREACHABLE);
    }
    if (response.ok) return response;
    throw new ApiError(response.status, await problemOf(response));
  }
}

async function problemOf(response: Response): Promise<ProblemAnswer> {
  const unknown = { code: '', message: `the broker answers ${response.status}`, hint: '' };
  try {
    const { error } = (await response.json()) as { error?: ProblemAnswer };
    return error ?? unknown;
  } catch {
    return unknown; // a page of a proxy in between
  }
}

/** For a person: the message of a refusal, or of a failure of the page itself. */
export const messageOf = (error: unknown): string =>
  error instanceof ApiError
    ? [error.message, error.problem.hint].filter((text) => text !== '').join('. ')
    : String(error);
