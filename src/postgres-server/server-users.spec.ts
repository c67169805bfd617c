import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerUsers } from './server-users.js';

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'users-'));
  file = join(folder, 'users');
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

describe('The users of a server', () => {
  it('have a last one even if another one leaves at the same moment', () => {
    const users = ServerUsers.join(file);
    const leaving = new DatabaseSync(file);
    leaving.exec('BEGIN; SELECT count(*) FROM sqlite_schema');
    const wait = vi.spyOn(Atomics, 'wait').mockImplementationOnce(() => {
      leaving.close();
      return 'timed-out';
    });
    const whenLast = vi.fn<() => void>();

    users.leave(whenLast);

    expect(wait).toHaveBeenCalledTimes(1);
    expect(whenLast).toHaveBeenCalledTimes(1);
  });

  it('leave soon while another one stays, and none of them is the last', () => {
    const [leaving, staying] = [ServerUsers.join(file), ServerUsers.join(file)];
    const wait = vi.spyOn(Atomics, 'wait').mockReturnValue('timed-out');
    const whenLast = vi.fn<() => void>();

    leaving.leave(whenLast);

    expect(whenLast).not.toHaveBeenCalled();
    const pauses = wait.mock.calls.map(([, , , ms]) => ms!);
    expect(pauses.length).toBeGreaterThan(0);
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(500);
    staying.leave(whenLast);
    expect(whenLast).toHaveBeenCalledTimes(1);
  });
});
