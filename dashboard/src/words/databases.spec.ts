import { describe, expect, it } from 'vitest';
import type { DatabaseView, LockHolder, LockWait } from '../api/views.js';
import { databasesWords, holderWords, sessionWords, waitersOf } from './databases.js';

function session(id: number, given: Partial<LockWait['session']> = {}): LockWait['session'] {
  return { id, user: null, application: null, state: null, ...given };
}

function wait(id: number, ...blockedBy: LockHolder[]): LockWait {
  return { session: session(id), waitMs: 1, lock: 'a row', blockedBy };
}

describe('What a database shows, in words', () => {
  it('names a session by its number and by what may be seen of it', () => {
    expect(sessionWords(session(7))).toBe('session 7');
    expect(sessionWords(session(7, { user: 'app', application: 'psql', state: 'active' }))).toBe(
      'session 7 (psql, user app, active)',
    );
  });

  it('names what holds a lock, as far as it is known', () => {
    expect(holderWords({ session: null, prepared: 'a/b/c' })).toBe('a/b/c');
    expect(holderWords({ session: session(7), prepared: null })).toBe('session 7');
    expect(holderWords({ session: session(7), prepared: 'a/b/c' })).toBe('a/b/c, in session 7');
    expect(holderWords({ session: null, prepared: null })).toMatch(/does not name/);
  });

  it('counts each session once that waits for a prepared transaction', () => {
    const held = { session: null, prepared: 'a' };
    const waits = [wait(1, held, held), wait(2, held), wait(3, { session: session(1), prepared: null })];
    expect([...waitersOf(waits)]).toEqual([['a', 2]]);
  });

  it('sums up all databases, and says how many cannot be seen', () => {
    const database: DatabaseView = {
      title: 'one',
      participants: ['order'],
      problem: null,
      prepared: [],
      preparedTotal: 2,
      waits: [],
      waitsTotal: 1,
      notes: [],
    };
    const view = { at: '', databases: [database, database], unseen: [] };
    expect(databasesWords(view)).toBe('4 prepared transactions, 2 waiting sessions.');
    const gone = { ...database, problem: 'down', preparedTotal: 0, waitsTotal: 0 };
    expect(databasesWords({ ...view, databases: [database, gone] })).toBe(
      '2 prepared transactions, 1 waiting session; 1 database cannot be seen now.',
    );
  });
});
