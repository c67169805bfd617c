import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { resolveLogSettings } from './options.js';
import { LogWriter } from './writer.js';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('The writer of the log on PostgreSQL', () => {
  it.each(['released', 'ended'] as const)(
    'drops no note that something was %s when too many wait',
    (kind) => {
      const writer = new LogWriter({}, resolveLogSettings({}), 2);
      writer.useEpoch({ epoch: 1, ended: undefined } as never);
      writer.note(kind, { epoch: 1, sequence: 1 });
      writer.note(kind, { epoch: 1, sequence: 2 });
      // The caller writes it again, so it must not take the note for written.
      expect(() => writer.note(kind, { epoch: 1, sequence: 3 })).toThrow('2 such notes wait already');
      // A note that waits already may be given again without harm.
      expect(() => writer.note(kind, { epoch: 1, sequence: 2 })).not.toThrow();
    },
  );
});
