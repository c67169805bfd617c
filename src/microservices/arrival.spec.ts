import { Logger } from '@nestjs/common';
import { type MessageHandler, type Server, ServerNats, ServerRMQ, ServerRedis } from '@nestjs/microservices';
import { EMPTY, NEVER, Observable, from, throwError } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Arrival, HOST_HANDLER, type HostOfServer, HostsOfServer } from './arrival.js';
import { NatsHostServer } from './nats-host-server.js';
import { RabbitMqHostServer } from './rabbit-mq-host-server.js';
import { RedisHostServer } from './redis-host-server.js';

type Answer = (arrival: unknown) => Observable<unknown> | Promise<Observable<unknown>>;

/** A server with the messages of a host, and with others. */
function serverOf(answer: Answer): Pick<Server, 'getHandlers' | 'transformToObservable'> {
  const others: MessageHandler = Object.assign(
    () => Promise.reject(new Error('this is no message of the host')),
    { extras: {} },
  );
  const handler: MessageHandler = Object.assign((data: unknown) => Promise.resolve(answer(data)), {
    extras: { queue: 'stock.calls', ...HOST_HANDLER },
  });
  return {
    getHandlers: () =>
      new Map([
        ['others', others],
        ['stock.calls', handler],
      ]),
    transformToObservable: (value: unknown) => from(value as Observable<never>),
  } as Pick<Server, 'getHandlers' | 'transformToObservable'>;
}

describe('A server of a broker', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });
  const leave = () => Promise.resolve();

  it('finds the host of its application, which knows then how the server leaves', async () => {
    const host = { stopsFirst: vi.fn<HostOfServer['stopsFirst']>(), stop: vi.fn<HostOfServer['stop']>() };
    const hosts = new HostsOfServer();
    await hosts.find(
      serverOf((arrival) => {
        (arrival as Arrival).meet(host);
        return EMPTY;
      }),
      leave,
    );
    expect(host.stopsFirst).toHaveBeenCalledExactlyOnceWith(leave);
    expect(host.stop).not.toHaveBeenCalled();
    await hosts.stop();
    expect(host.stop).toHaveBeenCalledOnce();
  });

  it.each<[by: string, answer: Answer]>([
    ['refuses it', () => throwError(() => new Error('no\ntoken'))],
    ['answers in its place', () => EMPTY],
  ])('warns when a guard of the application %s, and starts', async (_by, answer) => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    const hosts = new HostsOfServer();
    await hosts.find(serverOf(answer), leave);
    await hosts.stop();
    expect(warn).toHaveBeenCalledOnce();
    const [line] = warn.mock.calls[0]!;
    expect(line).toContain('Let the messages of the host pass.');
    expect(line).not.toContain('\n');
  });

  it('does not wait for an interceptor whose stream never ends, once the host knows it', async () => {
    const host = { stopsFirst: vi.fn<HostOfServer['stopsFirst']>(), stop: vi.fn<HostOfServer['stop']>() };
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    const hosts = new HostsOfServer();
    const isLeft = vi.fn<() => void>();
    await hosts.find(
      serverOf((arrival) => {
        (arrival as Arrival).meet(host);
        return new Observable(() => isLeft);
      }),
      leave,
    );
    expect([warn.mock.calls, isLeft.mock.calls.length]).toEqual([[], 1]);
    await hosts.stop();
    expect(host.stop).toHaveBeenCalledOnce();
  });

  it.each<[by: string, answer: Answer]>([
    ['a guard that never answers', () => new Promise(() => {})],
    ['an interceptor whose stream never ends', () => NEVER],
  ])('waits for %s a limited time, warns, and starts', async (_by, answer) => {
    vi.useFakeTimers();
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    const found = new HostsOfServer().find(serverOf(answer), leave);
    await vi.advanceTimersByTimeAsync(5_000);
    await found;
    expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('not answered within 5000 ms'));
  });

  it('waits for every host that it stops, also when one cannot be stopped', async () => {
    const gate = Promise.withResolvers<void>();
    const unable = new Error('this host cannot be stopped');
    const hosts = new HostsOfServer();
    for (const stop of [() => Promise.reject(unable), () => gate.promise])
      await hosts.find(
        serverOf((arrival) => {
          (arrival as Arrival).meet({ stopsFirst: vi.fn<HostOfServer['stopsFirst']>(), stop });
          return EMPTY;
        }),
        leave,
      );
    const stopped = vi.fn<() => void>();
    const stopping = hosts.stop().finally(stopped);
    stopping.catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).not.toHaveBeenCalled();
    gate.resolve();
    await expect(stopping).rejects.toBe(unable);
  });

  it.each([
    ['NATS', NatsHostServer, ServerNats],
    ['Redis', RedisHostServer, ServerRedis],
    ['RabbitMQ', RabbitMqHostServer, ServerRMQ],
  ])('of %s closes its connection, also when its host cannot be stopped', async (_broker, Own, Nest) => {
    const unable = new Error('this host cannot be stopped');
    vi.spyOn(HostsOfServer.prototype, 'stop').mockRejectedValue(unable);
    const close = vi.spyOn(Nest.prototype, 'close').mockResolvedValue(undefined);
    await expect(new Own({}).close()).rejects.toBe(unable);
    expect(close).toHaveBeenCalledOnce();
  });

  it('stops a host that it has met late', async () => {
    vi.useFakeTimers();
    vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    const host = { stopsFirst: vi.fn<HostOfServer['stopsFirst']>(), stop: vi.fn<HostOfServer['stop']>() };
    const guard = Promise.withResolvers<Observable<unknown>>();
    const hosts = new HostsOfServer();
    const server = serverOf((arrival) => {
      void guard.promise.then(() => (arrival as Arrival).meet(host));
      return guard.promise;
    });
    const found = hosts.find(server, leave);
    await vi.advanceTimersByTimeAsync(5_000);
    await found;
    guard.resolve(EMPTY);
    await vi.advanceTimersByTimeAsync(0);
    await hosts.stop();
    expect(host.stop).toHaveBeenCalledOnce();
  });
});
