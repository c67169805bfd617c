import { describe, expect, it } from 'vitest';
import { promptSocket } from './rabbit-mq-connection.js';

describe('The connection to RabbitMQ', () => {
  it('sends each message at once, and keeps what the application has set', () => {
    const ca = Buffer.from('authority');
    expect(promptSocket()).toEqual({ reconnectTimeInSeconds: 1, connectionOptions: { noDelay: true } });
    expect(promptSocket({ reconnectTimeInSeconds: 5, connectionOptions: { ca } })).toEqual({
      reconnectTimeInSeconds: 5,
      connectionOptions: { noDelay: true, ca },
    });
    expect(promptSocket({ connectionOptions: { noDelay: false } }).connectionOptions).toEqual({
      noDelay: false,
    });
  });
});
