import { type NatsOptions, ServerNats } from '@nestjs/microservices';
import { endAll, endInTurn } from '../coordinator/end-all.js';
import { HostsOfServer } from './arrival.js';

/** A broker that is away is tried again, twice a second, and a connection that hangs is found. */
const NATS_DEFAULTS = { maxReconnectAttempts: -1, reconnectTimeWait: 500, pingInterval: 10_000 };

interface Subscription {
  /** Takes no further message. It resolves when the messages that have come before are delivered. */
  drain(): Promise<void>;
}

interface Client {
  subscribe(...args: unknown[]): Subscription;
}

/**
 * Serves messages over NATS. A replica that stops leaves its queue group first, so the others take what comes after. With
 * `Transport.NATS` it would take messages until it has stopped, and answer them "try again".
 *
 *     app.connectMicroservice({ strategy: new NatsHostServer({ servers: 'nats://nats:4222' }) });
 *
 * @publicApi
 */
export class NatsHostServer extends ServerNats {
  private readonly hosts = new HostsOfServer();
  private readonly taking: Subscription[] = [];

  /**
   * @param options as for `Transport.NATS`. It goes on to connect, unless `maxReconnectAttempts` says
   * otherwise.
   */
  constructor(options: NonNullable<NatsOptions['options']> = {}) {
    super({ ...NATS_DEFAULTS, ...options });
  }

  /** @internal */
  override async listen(callback: (error?: unknown, ...more: unknown[]) => void): Promise<void> {
    await this.hosts.find(this, () => this.leave());
    await super.listen(callback);
  }

  /** @internal */
  override async createNatsClient(): Promise<unknown> {
    const client = (await super.createNatsClient()) as Client;
    const subscribe = client.subscribe.bind(client);
    client.subscribe = (...args) => {
      const subscription = subscribe(...args);
      this.taking.push(subscription);
      return subscription;
    };
    return client;
  }

  /** @internal */
  override async close(): Promise<void> {
    await endInTurn([() => this.hosts.stop(), () => super.close()]);
  }

  private async leave(): Promise<void> {
    await endAll(this.taking.splice(0).map((subscription) => () => subscription.drain()));
  }
}
