import { NEVER } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Line } from './lines.js';
import { LineOfKind } from './microservice-transport.js';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('A connection whose client throws', () => {
  const line: Line = {
    open: () => {
      throw new Error('the client is\nclosed');
    },
    lost: NEVER,
    close: () => {
      throw new Error('it cannot be closed');
    },
  };

  it('ends the message at once, with the reason, and leaves no timer', async () => {
    const connection = new LineOfKind(line, () => 'Bearer token');
    const before = timers();
    await expect(connection.send('{}', () => {}, 600_000)).rejects.toThrow('the client is\\u000aclosed');
    await expect(connection.close()).rejects.toThrow('it cannot be closed');
    expect(timers()).toBe(before);
  });
});
