import { Logger } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ParticipantAccessor } from '../coordinator/participant/participant.accessor.js';
import { resolveHostOptions } from './options.js';
import { ParticipantHost } from './participant-host.js';

function hostOf(...found: object[]): ParticipantHost {
  const accessor = { findDecorated: () => found } as unknown as ParticipantAccessor;
  return new ParticipantHost(
    resolveHostOptions({ guard: 'memory', credentials: 'a-token-of-thirty-two-characters' }),
    accessor,
  );
}

describe('a participant host that stops', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('waits for the other brokers when one cannot be left, and warns of that one', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    const host = hostOf();
    const gate = Promise.withResolvers<void>();
    host.stopsFirst(() => Promise.reject(new Error('the connection is lost')));
    host.stopsFirst(() => {
      throw new Error('there is no connection');
    });
    host.stopsFirst(() => gate.promise);
    let isStopped = false;
    const stopped = host.stop().then(() => (isStopped = true));
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(isStopped).toBe(false);
    gate.resolve();
    await stopped;
    expect(warn.mock.calls.map(([line]) => String(line))).toEqual([
      expect.stringContaining('the connection is lost'),
      expect.stringContaining('there is no connection'),
    ]);
  });
});

describe('a participant host that starts', () => {
  it('refuses a last resource, which the coordinator must call itself', async () => {
    const instance = { commit: () => 'committed', inquire: () => 'unknown' };
    const host = hostOf({ instance, className: 'Shop', options: { name: 'shop', lastResource: true } });
    await expect(host.onModuleInit()).rejects.toThrow(
      'Shop cannot be a participant: it is a last resource, and a participant host serves none. ' +
        'Provide it in the application of the coordinator, from where it reaches its resource over the network.',
    );
  });
});
