/**
 * Server-sent events of robot transitions. A reader that does not keep up is disconnected: it
 * reconnects by itself and reads the state of the fleet again. So is a reader whose rights ended.
 */

import type { ServerResponse } from 'node:http';
import { LIMITS } from '../../shared/base/limits.ts';

export class EventStream {
  readonly #readers = new Map<ServerResponse, () => boolean>();
  readonly #beat: NodeJS.Timeout;

  constructor() {
    // Proxies close silent connections; a comment line is not an event.
    this.#beat = setInterval(() => {
      this.endOutdated(); // a session may have ended by itself
      this.#write(': still here\n\n');
    }, LIMITS.keepaliveS * 1000);
    this.#beat.unref();
  }

  get isFull(): boolean {
    return this.#readers.size >= LIMITS.eventStreamClientsMax;
  }

  /** @param mayRead called again whenever `endOutdated` is called */
  add(response: ServerResponse, mayRead: () => boolean): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.write(': connected\n\n');
    this.#readers.set(response, mayRead);
    const forget = (): void => void this.#readers.delete(response);
    response.on('close', forget).on('error', forget); // a reader that has left is no failure
  }

  send(kind: string, data: object): void {
    this.#write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  endOutdated(): void {
    for (const [reader, mayRead] of this.#readers) if (!mayRead()) reader.end();
  }

  close(): void {
    clearInterval(this.#beat);
    for (const reader of this.#readers.keys()) reader.end();
    this.#readers.clear(); // events may still come while the rest of the broker stops
  }

  #write(text: string): void {
    for (const reader of this.#readers.keys()) {
      if (reader.writableLength > LIMITS.eventStreamBufferBytesMax) reader.destroy();
      else reader.write(text);
    }
  }
}
