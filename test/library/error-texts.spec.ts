import { describe, expect, it } from 'vitest';
import * as library from '../../src/coordinator/index.js';

type ErrorClass = new (...values: never[]) => Error;

const OUTCOMES = {
  aborted: { status: 'aborted', transactionId: 't-1', cause: 'failed', reason: 'bank failed' },
  pending: { status: 'pending', transactionId: 't-1', decision: 'commit', reason: 'bank is slow' },
  heuristic: {
    status: 'heuristic',
    transactionId: 't-1',
    decision: 'commit',
    heuristic: 'mixed',
    reports: [],
  },
};

/** How an error is made, where its first values are no texts; and classes whose text its user gives. */
const VALUES: Readonly<Record<string, readonly unknown[]>> = {
  TooManyBranchesError: [11, 10],
  OverloadedError: [100],
  ParticipantSilentError: ['bank', 100],
  ParticipantStalledError: ['bank', 100],
  UnknownParticipantError: ['bank', ['shop']],
  InvalidOptionsError: ['CoordinatorModule', ['maxBranches: must be at least 1']],
  InvalidParticipantError: ['Bank', 'it has no method prepare()', 'Implement it.'],
  InvalidMethodError: ['Bank.pay', 'it is a generator', 'Answer with a promise.'],
  BranchConflictError: ['b', 'bank', 'shop'],
  ServerBusyError: [['bank'], 3, 100],
  RepeatedCallError: ['Checkout.place', { status: 'committed', transactionId: 't-1' }],
  NotCommittedError: [OUTCOMES.aborted],
  FailedAfterCommitError: ['Checkout.place', 't-1', new Error('no paper')],
  GuardRunError: [{ name: 'shop', logId: 'log', epoch: 2 }],
  UnknownLogFormatError: [3, 2],
  LogStartsUsedUpError: [100],
  OutboxNotFoundError: ['letters', ['orders']],
};

/**
 * Their text comes from outside: a field and its problem, the reason of a refusal, or what a participant
 * says.
 */
const TEXTS_FROM_OUTSIDE = new Set([
  'CoordinatorError',
  'HeuristicError',
  'ActionRefusedError',
  'InvalidRequestError',
  'InvalidOptionsError',
  'GuardCallError',
]);

const classes = Object.entries(library).filter(
  ([name, value]) =>
    typeof value === 'function' && value.prototype instanceof Error && !TEXTS_FROM_OUTSIDE.has(name),
) as [string, ErrorClass][];

describe('The text of an error', () => {
  it('is looked at for every class that the library exports', () => {
    expect(classes.length).toBeGreaterThan(30);
  });

  it.each(classes)('has the problem, its consequence and the remedy: %s', (name, ErrorOf) => {
    const values = (VALUES[name] ?? ['one', 'two', 'three']) as never[];
    const { message } = new ErrorOf(...values);

    // The cause, and a sentence or clause for the consequence or the remedy.
    expect(message).toMatch(/[.:] |, so /);
    expect(message).toMatch(/[.)]$/);
    expect(message).not.toMatch(/\bundefined\b(?!\.)/);
  });

  it.each(Object.entries(OUTCOMES))('tells whether a call may be repeated: %s', (status, outcome) => {
    const { message } = new library.NotCommittedError(outcome as never);

    expect(message).toContain(status === 'aborted' ? 'Nothing was changed' : 'do not repeat the call');
  });
});

describe('A refusal because of load', () => {
  const OF_LOAD = ['OverloadedError', 'ParticipantSilentError', 'ParticipantStalledError', 'ServerBusyError'];

  it.each(OF_LOAD)('costs no list of calls: %s', (name) => {
    const { stackTraceLimit } = Error;
    const Refusal = (library as unknown as Record<string, ErrorClass>)[name]!;
    const refusal = new Refusal(...(VALUES[name] as never[]));
    expect(refusal.stack).not.toContain('\n    at ');
    expect(refusal.stack).toContain(refusal.message);
    expect(Error.stackTraceLimit).toBe(stackTraceLimit);
    // Every other error has one.
    expect(new library.UnknownParticipantError('bank', []).stack).toContain('\n    at ');
  });
});
