import { describe, expect, it } from 'vitest';
import { type Meaning, PHASES } from '../sql/meaning.js';
import {
  ERROR_NUMBERS,
  databaseErrorIn,
  errnoOf,
  isTemporaryMariaDbRefusal,
  meaningOf,
  refusalOf,
  remedyOf,
} from './errno.js';

const LOST = ['failed', 'failed', 'unknown', 'retry', 'retry'] as const;
const REFUSED = ['failed', 'refused', 'refused', 'retry', 'retry'] as const;
const OPERATOR = ['failed', 'failed', 'unknown', 'operator', 'operator'] as const;
const ENDED = ['failed', 'refused', 'refused', 'not-found', 'not-found'] as const;
const HELD = ['held', 'refused', 'refused', 'retry', 'retry'] as const;

/** Every row: the meaning of an error in the phases begin, work, prepare, commit and rollback. */
const EXPECTED: Record<number, readonly Meaning[]> = {
  1062: ['exists', 'refused', 'refused', 'retry', 'retry'],
  1397: ['failed', 'failed', 'unknown', 'not-found', 'not-found'],
  1440: ['held', 'failed', 'unknown', 'retry', 'retry'],
  ...Object.fromEntries([1205, 1969, 3024].map((errno) => [errno, HELD])),
  ...Object.fromEntries([1213, 1402, 1613, 1614].map((errno) => [errno, ENDED])),
  ...Object.fromEntries([1044, 1045, 1049, 1142, 1146, 1290].map((errno) => [errno, OPERATOR])),
  ...Object.fromEntries([1040, 1053, 1203, 1317, 1400, 1401, 1637, 1792, 1927].map((errno) => [errno, LOST])),
  ...Object.fromEntries(
    [
      1020, 1021, 1022, 1048, 1114, 1264, 1265, 1292, 1364, 1366, 1399, 1406, 1451, 1452, 1644, 1690, 3572,
      3819, 4025,
    ].map((errno) => [errno, REFUSED]),
  ),
};

const meanings = (error: unknown): Meaning[] => PHASES.map((phase) => meaningOf(error, phase));

describe('the table of error numbers', () => {
  it('has no row that is not expected here', () => {
    expect(Object.keys(ERROR_NUMBERS)).toEqual(Object.keys(EXPECTED));
  });

  it.each(Object.entries(EXPECTED))(
    '%s means %j in the phases begin, work, prepare, commit, rollback',
    (errno, expected) => {
      expect(meanings({ errno: Number(errno) })).toEqual(expected);
    },
  );

  it.each([
    { errno: 9_999 },
    { errno: -111, code: 'ECONNREFUSED' },
    { code: 'PROTOCOL_CONNECTION_LOST' },
    { errno: 'text' },
    'a string',
    null,
    undefined,
  ])('proves nothing by %j', (error) => {
    expect(meanings(error)).toEqual(LOST);
  });

  it('has a code and a reason for every refusal, and a remedy for every operator', () => {
    for (const [errno, row] of Object.entries(ERROR_NUMBERS)) {
      const error = { errno: Number(errno) };
      const isRefused = Object.values(row.means).includes('refused');
      expect([errno, row.refusal !== undefined]).toEqual([errno, isRefused]);
      if (isRefused) expect(refusalOf(error)).toMatchObject({ vote: 'abort', code: row.refusal!.code });
      else expect(() => refusalOf(error)).toThrow(TypeError);
      expect(remedyOf(error) !== undefined).toBe(Object.values(row.means).includes('operator'));
    }
  });

  it('says which refusals may be tried again, and quotes only what a procedure has raised', () => {
    expect(refusalOf({ errno: 1205 })).toMatchObject({ conflict: true, temporary: true });
    expect(refusalOf({ errno: 1644, sqlMessage: 'the shop is closed' }).reason).toContain(
      'the shop is closed',
    );
    expect(refusalOf({ errno: 1062, sqlMessage: 'the name of a person' }).reason).not.toContain('person');
    expect(['LOCK_TIMEOUT', 'DISK_FULL'].every(isTemporaryMariaDbRefusal)).toBe(true);
    expect([undefined, 'CONSTRAINT_VIOLATED'].some(isTemporaryMariaDbRefusal)).toBe(false);
  });

  it('finds the error of the database in that of an ORM', () => {
    const said = Object.assign(new Error('duplicate'), { errno: 1062 });
    expect(databaseErrorIn(new Error('outer', { cause: new Error('inner', { cause: said }) }))).toBe(said);
    const other = new Error('no cause');
    expect(databaseErrorIn(other)).toBe(other);
    expect(errnoOf(said)).toBe(1062);
  });
});
