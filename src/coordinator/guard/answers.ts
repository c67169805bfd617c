import { type AbortVote, HeuristicError, type Vote, refuse } from '../participant/participant.js';
import { GuardConflictError } from './guard-errors.js';
import type { GuardFact } from './guard-records.js';
import type { GuardRecord } from './guard-store.js';

/** Whether nothing was ever begun for the branch here. */
export function isUnknown(
  fact: GuardFact | undefined,
): fact is undefined | Extract<GuardFact, { state: 'untouched' }> {
  return fact === undefined || fact.state === 'untouched';
}

/** @throws GuardConflictError when it is not known what the first call did; HeuristicError in one phase. */
export function repeatedAnswer(key: string, record: GuardRecord, isOnePhase: boolean): Vote {
  switch (record.state) {
    case 'voted':
      return record.vote;
    case 'committing':
    case 'committed':
      return 'commit';
    case 'rolled-back':
      return (
        record.answer ?? refuse('ROLLED_BACK', 'this branch was rolled back before it was asked to prepare')
      );
    case 'preparing':
    case 'failed':
    case 'rolling-back':
    case 'run': {
      const why = whyUnknown(record);
      if (!isOnePhase) throw new GuardConflictError(key, why);
      throw new HeuristicError(
        'hazard',
        `the branch ${key} decides by itself, and what it has done is not known: ${why}. ` +
          'ParticipantGuard.commitOnePhase undoes such work and refuses: use it in commitOnePhase',
      );
    }
  }
}

type Unanswered = Extract<GuardRecord, { state: 'preparing' | 'failed' | 'rolling-back' | 'run' }>;

function whyUnknown(record: Unanswered): string {
  switch (record.state) {
    case 'preparing':
      return 'an earlier call did not come to its end';
    case 'failed':
      return `an earlier call failed (${record.message})`;
    case 'rolling-back':
      return 'its rollback is not done';
    case 'run':
      return 'its record is not that of a branch';
  }
}

/** @returns what a one-phase commit answers when its branch is rolled back: each time the same. */
export function answerInstead(
  record: Unanswered | Extract<GuardRecord, { state: 'rolled-back' }>,
): AbortVote {
  if (record.state === 'rolled-back' || record.state === 'rolling-back') {
    return record.answer ?? refuse('ROLLED_BACK', 'this branch was rolled back');
  }
  return refuse('ROLLED_BACK', `this branch is rolled back: ${whyUnknown(record)}`);
}

/** @returns what a commit is answered that must not be done, or undefined when it may. */
export function reportAgainstCommit(
  key: string,
  record: GuardFact | undefined,
  mayRepeat: boolean,
): HeuristicError | undefined {
  const told = `the branch ${key} was told to commit, but`;
  if (record?.state === 'rolled-back') return new HeuristicError('rollback', `${told} it is rolled back`);
  if (record?.state === 'rolling-back') return new HeuristicError('hazard', `${told} before to roll back`);
  if (record?.state === 'committing') {
    return record.step === 'begun' && !mayRepeat ? leftBehind(key, 'commit') : undefined;
  }
  if (record?.state === 'voted' && record.vote === 'commit') return undefined;
  return new HeuristicError('hazard', `${told} it is not prepared here`);
}

/** @returns what a rollback is answered that must not be done, or undefined when it may. */
export function reportAgainstRollback(
  key: string,
  record: GuardFact,
  mayRepeat: boolean,
): HeuristicError | undefined {
  const told = `the branch ${key} was told to roll back, but`;
  if (record.state === 'committed') return new HeuristicError('commit', `${told} it is committed`);
  if (record.state === 'committing') return new HeuristicError('hazard', `${told} before to commit`);
  if (record.state !== 'rolling-back' || record.step === 'failed' || mayRepeat) return undefined;
  return leftBehind(key, 'rollback');
}

function leftBehind(key: string, what: 'commit' | 'rollback'): HeuristicError {
  return new HeuristicError(
    'hazard',
    `the ${what} of the branch ${key} was begun by a process that has ended, and it is not known whether it was done: ` +
      'find out at the participant. A guard whose work may be repeated takes { interrupted: "repeat" }',
  );
}
