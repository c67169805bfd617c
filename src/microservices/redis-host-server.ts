import { type RedisOptions, ServerRedis } from '@nestjs/microservices';
import { endAll, endInTurn } from '../coordinator/end-all.js';
import { HostsOfServer } from './arrival.js';
import { careful } from './redis-clients.js';

/**
 * A key of an answered message is dropped after this time. The replicas receive a message at nearly the same
 * moment.
 */
const TAKEN_MS = 60_000;
/** The ids that clients of Nest make are shorter. */
const MAX_ID_LENGTH = 100;

interface RedisCommands {
  set(key: string, value: string, unit: 'PX', ms: number, condition: 'NX'): Promise<'OK' | null>;
}

interface Subscriber {
  unsubscribe(): Promise<unknown>;
  punsubscribe(): Promise<unknown>;
}

/**
 * Serves messages over Redis for several replicas. Redis sends each message to all of them. Here the first replica that
 * writes the key of a message takes it, and the others drop it. Without it, every replica would take every message: the
 * guard makes that harmless, but a replica that finds the other one at work answers "try again". A replica that stops takes no
 * further message.
 *
 *     app.connectMicroservice({ strategy: new RedisHostServer({ host: 'redis', port: 6379 }) });
 *
 * @publicApi
 */
export class RedisHostServer extends ServerRedis {
  private readonly hosts = new HostsOfServer();
  /** The keys that are being written. */
  private readonly takes = new Set<Promise<boolean>>();

  /**
   * @param options as for `Transport.REDIS`. It goes on to connect, twice a second, unless `retryAttempts`
   * says otherwise.
   */
  constructor(options: NonNullable<RedisOptions['options']> = {}) {
    super({ retryAttempts: Number.MAX_SAFE_INTEGER, retryDelay: 500, ...options });
  }

  /** @internal */
  override async listen(callback: (error?: unknown, ...more: unknown[]) => void): Promise<void> {
    await this.hosts.find(this, () => this.leave());
    await super.listen(callback);
  }

  /** @internal */
  override async close(): Promise<void> {
    await endInTurn([() => this.hosts.stop(), () => super.close()]);
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
    if (id !== undefined && !(await this.take(pub, channel, id))) return undefined;
    return super.handleMessage(channel, buffer, pub, pattern) as Promise<unknown>;
  }

  /** Messages that Redis has sent before its answer arrive before it, and are served. */
  private async leave(): Promise<void> {
    const [, subscriber] = this.unwrap<[publisher: unknown, subscriber: Subscriber]>();
    await endInTurn([
      () => endAll([() => subscriber.unsubscribe(), () => subscriber.punsubscribe()]),
      () => Promise.allSettled(this.takes),
    ]);
  }

  /** @returns whether this replica is the first one. */
  private async take(redis: RedisCommands, channel: string, id: unknown): Promise<boolean> {
    if (typeof id !== 'string' || id.length > MAX_ID_LENGTH) return false;
    const written = redis
      .set(`${channel}/${id}`, '1', 'PX', TAKEN_MS, 'NX')
      .then((answer) => answer === 'OK')
      .finally(() => this.takes.delete(written));
    this.takes.add(written);
    return written;
  }
}
