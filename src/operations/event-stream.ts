import type { IncomingMessage, ServerResponse } from 'node:http';
import type { MessageEvent } from '@nestjs/common';
import type { Observable } from 'rxjs';

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'private, no-cache, no-store, must-revalidate, max-age=0, no-transform',
  // A proxy that collects what it passes on would hold the events back.
  'X-Accel-Buffering': 'no',
};

/** A request or response of the platform. That of Fastify stands around the one of Node. */
type Native<T> = T | { readonly raw: T; hijack?(): unknown };

/**
 * Sends server-sent events until they end or the client leaves. Global interceptors of the application do not
 * see them, and so cannot wrap them.
 *
 * @param response as the handler got it by `@Res()`; and so is the request.
 */
export function sendEvents(
  events: Observable<MessageEvent>,
  request: Native<IncomingMessage>,
  response: Native<ServerResponse>,
): void {
  // Headers that the application has set before stay: those for other origins, for instance.
  const set = 'getHeaders' in response ? response.getHeaders() : {};
  if ('hijack' in response) response.hijack?.();
  const raw = 'raw' in response ? response.raw : response;
  const { socket } = 'raw' in request ? request.raw : request;
  socket.setTimeout(0);
  socket.setNoDelay(true);
  for (const [name, value] of Object.entries({ ...set, ...HEADERS })) {
    if (value !== undefined) raw.setHeader(name, value);
  }
  raw.writeHead(200);
  raw.flushHeaders();
  const subscription = events.subscribe({
    next: ({ type, data }) => {
      // A client that reads slowly misses overviews: each is the whole state, and nothing piles up.
      if (!raw.writableNeedDrain) raw.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
    },
    error: () => raw.destroy(),
    complete: () => raw.end(),
  });
  raw.once('close', () => subscription.unsubscribe());
}
