import { type RmqOptions, ServerRMQ } from '@nestjs/microservices';
import { carefulConnection } from './rabbit-mq-connection.js';
import { watched } from './watched.js';

/** The options of {@link RabbitMqHostServer}: those of `Transport.RMQ`. @publicApi */
export type RabbitMqHostOptions = Omit<NonNullable<RmqOptions['options']>, 'noAck'>;

/**
 * Serves messages over RabbitMQ. Replicas take them from one queue. It acknowledges a message when the broker sends it: one
 * that is lost with its host is sent again by the coordinator. An answer that fails with its connection does not end the
 * process, as it does with `Transport.RMQ`.
 *
 *     app.connectMicroservice({ strategy: new RabbitMqHostServer({ urls: ['amqp://rabbitmq'], queue: 'stock' }) });
 *
 * @publicApi
 */
export class RabbitMqHostServer extends ServerRMQ {
  /** @param options as for `Transport.RMQ`. It connects again once a second, unless `socketOptions` says otherwise. */
  constructor({ socketOptions, ...options }: RabbitMqHostOptions) {
    super({ ...options, noAck: true, socketOptions: { reconnectTimeInSeconds: 1, ...socketOptions } });
  }

  /** @internal */
  override async createClient<T>(): Promise<T> {
    return carefulConnection(await super.createClient<T>());
  }

  /** @internal */
  override setupChannel(channel: unknown, callback: () => void): Promise<void> {
    return super.setupChannel(watched(channel, ['consume']), callback);
  }
}
