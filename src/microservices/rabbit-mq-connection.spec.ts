import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { carefulConnection } from './rabbit-mq-connection.js';

class Channel extends EventEmitter {
  constructor(readonly options: unknown) {
    super();
  }

  sendToQueue(): Promise<void> {
    return Promise.reject(new Error('channel closed'));
  }

  publish(): Promise<void> {
    return Promise.reject(new Error('channel closed'));
  }
}

describe('A connection to RabbitMQ', () => {
  it('outlives the errors of its channels', async () => {
    const channel = carefulConnection({
      createChannel: (options: unknown) => new Channel(options),
    }).createChannel({ json: false });
    expect(channel.options).toEqual({ json: false });
    expect(() => channel.emit('error', new Error('Channel ended'))).not.toThrow();
    // The rejection of an answer that could not be sent is handled, and is passed on to those that look at it.
    void channel.publish();
    await expect(channel.sendToQueue()).rejects.toThrow('channel closed');
  });
});
