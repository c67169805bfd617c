import type { Observable } from 'rxjs';
import type { OutboxMessage } from './message.js';
import type { SendMessage } from './relay.js';

/** The part of a `ClientProxy` of `@nestjs/microservices` that is used. @publicApi */
export interface MessageClient {
  emit(pattern: string, data: unknown): Observable<unknown>;
  send(pattern: string, data: unknown): Observable<unknown>;
}

/** The arguments of a client for a message. @publicApi */
export interface ClientMessageOptions {
  /** @default its topic */
  readonly pattern?: (message: OutboxMessage) => string;
  /**
   * A record of the transport, such as one of `RmqRecordBuilder`, may carry the id as a header.
   *
   * @default the whole message
   */
  readonly data?: (message: OutboxMessage) => unknown;
}

/**
 * Sends messages as events: `client.emit`. A message has been sent when the client says so. With RabbitMQ,
 * Kafka and MQTT that is when the broker has it. With TCP, Redis and the core of NATS it is when the client
 * has passed it on: then no receiver may have it, and {@link sendWith} is the safe way.
 *
 * @publicApi
 */
export function emitWith(client: MessageClient, options: ClientMessageOptions = {}): SendMessage {
  return sending((pattern, data) => client.emit(pattern, data), options);
}

/**
 * Sends messages as requests: `client.send`. A message has been sent when its handler has answered, with any
 * value; an error of the handler is a failed attempt.
 *
 * @publicApi
 */
export function sendWith(client: MessageClient, options: ClientMessageOptions = {}): SendMessage {
  return sending((pattern, data) => client.send(pattern, data), options);
}

function sending(
  call: (pattern: string, data: unknown) => Observable<unknown>,
  { pattern = ({ topic }) => topic, data = (message) => message }: ClientMessageOptions,
): SendMessage {
  return (message, signal) => lastOf(call(pattern(message), data(message)), signal);
}

/**
 * @returns a promise that resolves when all is over, with or without a value. An aborted call is unsubscribed
 * from.
 */
function lastOf(observable: Observable<unknown>, signal: AbortSignal): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const subscription = observable.subscribe({ error: reject, complete: () => resolve(undefined) });
  signal.addEventListener(
    'abort',
    () => {
      subscription.unsubscribe();
      reject(signal.reason as Error);
    },
    { once: true },
  );
  return promise;
}
