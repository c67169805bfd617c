import { type RedisOptions, ServerRedis } from '@nestjs/microservices';
import { careful } from './redis-clients.js';

/** A key of an answered message is dropped after this time. The replicas receive a message at nearly the same moment. */
const TAKEN_MS = 60_000;
/** The ids that clients of Nest make are shorter. */
const MAX_ID_LENGTH = 100;

interface RedisCommands {
  set(key: string, value: string, unit: 'PX', ms: number, condition: 'NX'): Promise<'OK' | null>;
}

/**
 * Serves messages over Redis for several replicas. Redis sends each message to all of them. Here the first replica that
 * writes the key of a message takes it, and the others drop it. Without it, every replica would take every message: the
 * guard makes that harmless, but a replica that finds the other one at work answers "try again".
 *
 *     app.connectMicroservice({ strategy: new RedisHostServer({ host: 'redis', port: 6379 }) });
 *
 * @publicApi
 */
export class RedisHostServer extends ServerRedis {
  /** @param options as for `Transport.REDIS`. It goes on to connect, twice a second, unless `retryAttempts` says otherwise. */
  constructor(options: NonNullable<RedisOptions['options']> = {}) {
    super({ retryAttempts: Number.MAX_SAFE_INTEGER, retryDelay: 500, ...options });
  }

  /** @internal */
  override async createRedisClient(): Promise<unknown> {
    return careful(await super.createRedisClient());
  }

  /** @internal */
  override async handleMessage(
    channel: string,
    buffer: string,
    pub: RedisCommands,
    pattern: string,
  ): Promise<unknown> {
    const { id } = (this.parseMessage(buffer) ?? {}) as { readonly id?: unknown };
    // An event has no id: it is for every replica.
    if (id !== undefined && !(await take(pub, channel, id))) return undefined;
    return super.handleMessage(channel, buffer, pub, pattern) as Promise<unknown>;
  }
}

/** @returns whether this replica is the first one. */
async function take(redis: RedisCommands, channel: string, id: unknown): Promise<boolean> {
  if (typeof id !== 'string' || id.length > MAX_ID_LENGTH) return false;
  return (await redis.set(`${channel}/${id}`, '1', 'PX', TAKEN_MS, 'NX')) === 'OK';
}
