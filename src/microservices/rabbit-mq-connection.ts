import { ClientRMQ, type RmqOptions } from '@nestjs/microservices';

import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { watched } from './watched.js';

interface Connection {
  createChannel(options: unknown): { on(event: 'error', listener: (error: unknown) => void): unknown };
}

/**
 * A connection whose channels end no process: an error of a channel, such as a connection that is lost while
 * the channel is set up, is logged. The connection sets its channels up again when it is back.
 */
export function carefulConnection<C>(connection: C): C {
  const manager = connection as Connection;
  const createChannel = manager.createChannel.bind(connection);
  const logger = new SafeLogger('RabbitMQ');
  manager.createChannel = (options) => {
    const channel = watched(createChannel(options), ['sendToQueue', 'publish']);
    channel.on('error', (error) => logger.error(`A channel has failed: ${oneLine(messageOf(error))}`));
    return channel;
  };
  return connection;
}

type SocketOptions = NonNullable<NonNullable<RmqOptions['options']>['socketOptions']>;

/**
 * @returns options with which a connection is made again once a second, and sends each message at once. The
 * client library would wait for the acknowledgement of the one before, and the broker takes 40 ms for that
 * where few messages are under way.
 */
export function promptSocket({ connectionOptions, ...options }: SocketOptions = {}): SocketOptions {
  return {
    reconnectTimeInSeconds: 1,
    ...options,
    connectionOptions: { noDelay: true, ...connectionOptions },
  };
}

/** The client of one kind of call over RabbitMQ. */
export class CarefulClientRmq extends ClientRMQ {
  override createClient(): unknown {
    return carefulConnection(super.createClient() as unknown);
  }
}
