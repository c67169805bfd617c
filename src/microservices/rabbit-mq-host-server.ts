import { type RmqOptions, ServerRMQ } from '@nestjs/microservices';
import { endInTurn } from '../coordinator/end-all.js';
import { HostsOfServer } from './arrival.js';
import { carefulConnection, promptSocket } from './rabbit-mq-connection.js';
import { watched } from './watched.js';

/** The name of the consumer of a channel, which has no other one. */
const CONSUMER = 'participant-host';

interface Channel {
  cancel(consumer: string): Promise<unknown>;
}

/** The options of {@link RabbitMqHostServer}: those of `Transport.RMQ`. @publicApi */
export type RabbitMqHostOptions = Omit<NonNullable<RmqOptions['options']>, 'noAck'>;

/**
 * Serves messages over RabbitMQ. Replicas take them from one queue. It acknowledges a message when the broker sends it: one
 * that is lost with its host is sent again by the coordinator. An answer that fails with its connection does not end the
 * process, as it does with `Transport.RMQ`. A replica that stops cancels its consumer first: what comes after waits in the queue
 * for another one.
 *
 *     app.connectMicroservice({ strategy: new RabbitMqHostServer({ urls: ['amqp://rabbitmq'], queue: 'stock' }) });
 *
 * @publicApi
 */
export class RabbitMqHostServer extends ServerRMQ {
  private readonly hosts = new HostsOfServer();
  /** The channel that takes messages, while there is a connection. */
  private taking: Channel | undefined;
  private isLeaving = false;

  /**
   * @param options as for `Transport.RMQ`. It connects again once a second, unless `socketOptions` says
   * otherwise.
   */
  constructor({ socketOptions, ...options }: RabbitMqHostOptions) {
    super({
      consumerTag: CONSUMER,
      ...options,
      noAck: true,
      socketOptions: promptSocket(socketOptions),
    });
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
  override async createClient<T>(): Promise<T> {
    return carefulConnection(await super.createClient<T>());
  }

  /** @internal */
  override async setupChannel(channel: Channel, callback: () => void): Promise<void> {
    // A connection that is back while the host stops carries answers, and takes no message.
    if (this.isLeaving) return;
    this.taking = channel;
    await super.setupChannel(watched(channel, ['consume']), callback);
  }

  /** Messages that the broker has sent before its answer arrive before it, and are served. */
  private async leave(): Promise<void> {
    this.isLeaving = true;
    if (this.server?.isConnected() !== true) return;
    await this.taking?.cancel(this.options.consumerTag ?? CONSUMER);
  }
}
