import { Logger } from '@nestjs/common';
import type { MessageHandler, Server } from '@nestjs/microservices';
import { EMPTY, type Observable, from, throwError } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Arrival, HOST_HANDLER, type HostOfServer, HostsOfServer } from './arrival.js';

type Answer = (arrival: unknown) => Observable<unknown>;

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
  afterEach(() => void vi.restoreAllMocks());
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
});
