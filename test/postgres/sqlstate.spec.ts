import { describe, expect, it } from 'vitest';
import {
  ERRNOS,
  SQLSTATES,
  isTemporaryRefusal,
  meaningOf,
  remedyOf,
  refusalOf,
} from '../../src/postgres/sqlstate.js';
import { type Meaning, PHASES } from '../../src/sql/meaning.js';

/** Every row: what an error means in the phases begin, work, prepare, commit and rollback. */
const EXPECTED: Record<string, readonly Meaning[]> = {
  '08': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '0A000': ['failed', 'failed', 'refused', 'operator', 'operator'],
  '22': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '22023': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '23': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '23505': ['exists', 'refused', 'refused', 'retry', 'retry'],
  '25001': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '25006': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '25P02': ['failed', 'failed', 'refused', 'retry', 'retry'],
  '25P04': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '28': ['failed', 'failed', 'unknown', 'operator', 'operator'],
  '3D000': ['failed', 'failed', 'unknown', 'operator', 'operator'],
  '40001': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '40P01': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '42501': ['failed', 'failed', 'unknown', 'operator', 'operator'],
  '42704': ['failed', 'failed', 'unknown', 'not-found', 'not-found'],
  '42710': ['failed', 'failed', 'refused', 'retry', 'retry'],
  '53': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '53100': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '53200': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '53300': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '55000': ['failed', 'failed', 'refused', 'retry', 'retry'],
  '55P03': ['held', 'refused', 'refused', 'retry', 'retry'],
  '57014': ['failed', 'refused', 'refused', 'retry', 'retry'],
  '57P01': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '57P02': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '57P03': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '57P05': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  '58': ['failed', 'failed', 'unknown', 'retry', 'retry'],
  P0001: ['failed', 'refused', 'refused', 'retry', 'retry'],
  XX: ['failed', 'failed', 'unknown', 'retry', 'retry'],
};

const NOTHING_KNOWN: readonly Meaning[] = ['failed', 'failed', 'unknown', 'retry', 'retry'];

function meanings(error: unknown): Meaning[] {
  return PHASES.map((phase) => meaningOf(error, phase));
}

describe('the table of SQLSTATEs', () => {
  it('has no row that is not expected here', () => {
    expect(Object.keys(SQLSTATES).toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
  });

  it.each(Object.entries(EXPECTED))(
    '%s means %j in the phases begin, work, prepare, commit, rollback',
    (key, expected) => {
      const code = key.length === 2 ? `${key}Z99` : key;
      expect(meanings({ code })).toEqual(expected);
    },
  );

  it.each(['08000', '08003', '08006', '08P01', '53400', '58030', 'XX001'])(
    '%s has the meaning of its class: a connection or a server in trouble proves nothing',
    (code) => {
      expect(meanings({ code })).toEqual(NOTHING_KNOWN);
    },
  );

  it.each(Object.keys(ERRNOS))('%s proves nothing in any phase', (code) => {
    expect(meanings({ code })).toEqual(NOTHING_KNOWN);
  });

  it.each([
    ['a code in no row', { code: '42601' }],
    ['a code that is none', { code: '23' }],
    ['a number', { code: 23_505 }],
    ['a property of every object', { code: 'constructor' }],
    ['no code', new Error('42704: prepared transaction does not exist')],
    ['undefined', undefined],
    ['null', null],
  ])('%s proves nothing in any phase', (_what, error) => {
    expect(meanings(error)).toEqual(NOTHING_KNOWN);
  });

  it('only 42704 may mean that a branch has ended before', () => {
    const codes = Object.keys(SQLSTATES).filter(
      (code) =>
        meaningOf({ code }, 'commit') === 'not-found' || meaningOf({ code }, 'rollback') === 'not-found',
    );
    expect(codes).toEqual(['42704']);
  });

  it('never takes an error at BEGIN for a refusal, since another call may have prepared the branch', () => {
    for (const code of Object.keys(SQLSTATES)) expect(meaningOf({ code }, 'begin')).not.toBe('refused');
  });

  it('gives every refusal a code and a reason, and every operator what to do', () => {
    for (const code of Object.keys(SQLSTATES).filter((key) => key.length === 5)) {
      const found = meanings({ code });
      if (found.includes('refused')) {
        const refusal = refusalOf({ code });
        expect(refusal.code).toMatch(/^[A-Z_]+$/);
        expect(refusal.reason).toContain(code);
      }
      if (found.includes('operator')) expect(remedyOf({ code })).toMatch(/\w+/);
    }
  });

  it('names the constraint that would be violated, and nothing that was sent', () => {
    const error = { code: '23505', constraint: 'accounts_pkey', message: 'Key (iban)=(DE123) exists' };
    expect(refusalOf(error)).toEqual({
      vote: 'abort',
      code: 'CONSTRAINT_VIOLATED',
      reason: 'a unique constraint would be violated (23505, accounts_pkey)',
    });
  });

  it('passes on the errors that a function of the database raises', () => {
    expect(refusalOf({ code: 'P0001', message: 'the shop is closed' }).reason).toContain(
      'the shop is closed',
    );
  });

  it('tells the refusals that a second try may overcome from those that it will not', () => {
    const temporary = ['40001', '40P01', '53100', '53200', '55P03', '57014'];
    const lasting = ['0A000', '22001', '22023', '23505', '23514', '42710', 'P0001'];
    for (const code of temporary) expect(isTemporaryRefusal(refusalOf({ code }).code)).toBe(true);
    for (const code of lasting) expect(isTemporaryRefusal(refusalOf({ code }).code)).toBe(false);
    expect(isTemporaryRefusal(undefined)).toBe(false);
  });
});
