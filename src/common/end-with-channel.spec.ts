import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { endWithChannel } from './end-with-channel.js';

/**
 * A process that notes its signals, and ends by them as on its platform: on Windows without calling a
 * listener.
 */
function processOn(platform: NodeJS.Platform, events = new EventEmitter()) {
  const ends: string[] = [];
  const self = Object.assign(events, {
    pid: 4_711,
    platform,
    kill: (pid: number, signal?: string | number) => {
      const isHeard = platform !== 'win32' && events.emit(String(signal));
      if (!isHeard) ends.push(`${signal} to ${pid}`);
      return true as const;
    },
  });
  return { self, ends };
}

describe.each(['linux', 'darwin', 'win32'] as const)('a process with a channel, on %s', (platform) => {
  it.each([
    ['the channel is closed', 'disconnect'],
    ['it is asked to', 'message'],
  ])('ends cleanly when %s', (_, event) => {
    const { self, ends } = processOn(platform);
    self.on('SIGTERM', () => ends.push('clean'));
    endWithChannel(self);
    // Messages of others, also null, as a channel passes it on.
    for (const message of [{ arm: 'kill' }, null, 'arm']) self.emit('message', message);
    expect(ends).toEqual([]);
    self.emit(event, { stop: true });
    expect(ends).toEqual(['clean']);
  });

  it('ends at once when nothing listens yet', () => {
    const { self, ends } = processOn(platform);
    endWithChannel(self);
    self.emit('disconnect');
    expect(ends).toEqual(['SIGTERM to 4711']);
  });
});
