import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { endOnSignal } from './end-on-signal.js';

class Self extends EventEmitter {
  readonly codes: number[] = [];

  exit(code: number): never {
    this.codes.push(code);
    return undefined as never;
  }
}

describe.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('A process that brings its own server, at %s', (signal) => {
  it('ends at once, when the server is there', async () => {
    const self = new Self();
    expect(await endOnSignal(() => Promise.resolve('server'), self)).toBe('server');
    expect(self.codes).toEqual([]);
    self.emit(signal);
    expect(self.codes).toEqual([1]);
  });

  it.each(['starts', 'does not start'])('ends when a server that is being started %s', async (how) => {
    const self = new Self();
    const server = Promise.withResolvers<string>();
    const started = endOnSignal(() => server.promise, self).catch(() => {});
    self.emit(signal);
    self.emit(signal);
    await Promise.resolve();
    expect(self.codes).toEqual([]);
    if (how === 'starts') server.resolve('server');
    else server.reject(new Error('no room'));
    await started;
    expect(self.codes).toEqual([1]);
  });
});
