import { describe, expect, it } from 'vitest';
import type { Decision, KnownOutcome, PreparedTransaction } from '../../coordinator/index.js';
import { judgeForeign, judgeOwn, statementFor } from './knowledge.js';

const JUDGE = { name: 'shop', logId: 'k3v9x2m4q8ab' };
const OWN = 'shop.k3v9x2m4q8ab.1.7';
const STATEMENTS = { commit: 'COMMIT PREPARED;', rollback: 'ROLLBACK PREPARED;', how: 'here' };

function prepared(transactionId: string | null): PreparedTransaction {
  return {
    id: `${transactionId}/bank/bank`,
    branch: transactionId === null ? null : { transactionId, participant: 'bank', branchId: 'bank' },
    ageMs: 1,
    owner: null,
    database: null,
    session: null,
    statements: transactionId === null ? null : STATEMENTS,
  };
}

describe('What is said of a prepared transaction that is not of this log', () => {
  it.each([
    [null, 'foreign', 'Another program'],
    ['not an id', 'foreign', 'no id that a coordinator gives out'],
    ['bank.k3v9x2m4q8ab.1.7', 'foreign', 'the coordinator "bank"'],
    ['shop.another0log0.1.7', 'unknown', 'another decision log of "shop", with the id another0log0'],
  ] as const)('%s is %s', (transactionId, knowledge, why) => {
    const judgement = judgeForeign(prepared(transactionId), JUDGE);
    expect(judgement).toEqual({ knowledge, why: expect.stringContaining(why) as string });
    expect(statementFor(prepared(transactionId), judgement!.knowledge)).toBeNull();
  });

  it('is left to the log for one of this log', () => {
    expect(judgeForeign(prepared(OWN), JUDGE)).toBeUndefined();
  });
});

type Rest = KnownOutcome extends infer K ? (K extends unknown ? Omit<K, 'transactionId'> : never) : never;

describe('The statement for a prepared transaction of this log', () => {
  const cases: readonly (readonly [Decision, Rest, string, string | null])[] = [
    ['commit', { status: 'committed' }, 'commit', STATEMENTS.commit],
    // The decision was found in the log at the start, and the transaction is over by now.
    ['commit', { status: 'unknown', because: 'forgotten' }, 'commit', STATEMENTS.commit],
    // Another member has said so.
    ['wait', { status: 'committed' }, 'commit', STATEMENTS.commit],
    ['abort', { status: 'aborted' }, 'abort', STATEMENTS.rollback],
    ['wait', { status: 'aborted' }, 'abort', STATEMENTS.rollback],
    ['abort', { status: 'unknown', because: 'forgotten' }, 'abort', STATEMENTS.rollback],
    ['wait', { status: 'unknown', because: 'forgotten' }, 'unknown', null],
    ['wait', { status: 'unknown', because: 'purged' }, 'unknown', null],
    ['wait', { status: 'unknown', because: 'undecidable' }, 'unknown', null],
    ['wait', { status: 'unknown', because: 'foreign' }, 'unknown', null],
    ['wait', { status: 'unknown', because: 'log-unavailable' }, 'unknown', null],
    ['wait', { status: 'pending' }, 'open', null],
    ['wait', { status: 'elsewhere', owner: 4, address: null }, 'unknown', null],
  ];

  it.each(cases)('decision %s and outcome %o give %s', (decision, rest, knowledge, statement) => {
    const judgement = judgeOwn(decision, { transactionId: OWN, ...rest });
    expect(judgement.knowledge).toBe(knowledge);
    expect(judgement.why).not.toBe('');
    expect(statementFor(prepared(OWN), judgement.knowledge)).toBe(statement);
  });

  it('is missing where no text can be made of the id', () => {
    expect(statementFor({ ...prepared(OWN), statements: null }, 'commit')).toBeNull();
  });
});
