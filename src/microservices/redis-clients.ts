import type { Socket } from 'node:net';

import { ClientRedis, type RedisOptions } from '@nestjs/microservices';
import { watched } from './watched.js';

/** Without it, a dead connection would be found after minutes: a command that waits longer breaks it. */
const REDIS_DEFAULTS = { socketTimeout: 10_000 };

/** The clients of one kind of call over Redis. */
export class CarefulClientRedis extends ClientRedis {
  constructor(options: NonNullable<RedisOptions['options']> = {}) {
    super({ ...REDIS_DEFAULTS, ...options });
  }

  override async createClient(): Promise<unknown> {
    return careful(await super.createClient());
  }
}

/** A client whose failing commands and connections end neither the process nor the wait at a stop. */
export function careful(client: unknown): unknown {
  const { disconnect } = client as { disconnect: () => void };
  // A server that is away would be waited for.
  const quit = async (): Promise<void> => disconnect.call(client);
  listenToEveryError(client as { stream?: Socket });
  return watched(Object.assign(client as object, { quit }), [
    'publish',
    'subscribe',
    'unsubscribe',
    'psubscribe',
  ]);
}

/**
 * The client listens to the first error of a connection only. TLS reports more than one, such as an alert of
 * the server to a connection that is ended while it is made, and an error that nothing listens to ends the
 * process. The first is seen anyway.
 */
function listenToEveryError(client: { stream?: Socket }): void {
  let { stream } = client;
  Object.defineProperty(client, 'stream', {
    get: () => stream,
    set: (made: Socket | undefined) => {
      stream = made;
      made?.on('error', () => {});
    },
  });
}
