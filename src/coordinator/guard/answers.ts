import {
  type AbortVote,
  HeuristicError,
  type Vote,
  isForCommit,
  refuse,
} from '../participant/participant.js';
import { GuardConflictError } from './guard-errors.js';
import type { GuardFact } from './guard-records.js';
import type { GuardRecord } from './guard-store.js';
import { voteOf } from './votes.js';

/** Whether the guard started no work for the branch. */
export function isUnknown(
  fact: GuardFact | undefined,
): fact is undefined | Extract<GuardFact, { state: 'untouched' }> {
  return fact === undefined || fact.state === 'untouched';
}

/** @throws GuardConflictError when the effect of the first call is unknown; HeuristicError in one phase. */
export function repeatedAnswer(key: string, record: GuardRecord, isOnePhase: boolean): Vote {
  switch (record.state) {
    case 'voted':
      return voteOf(record);
    case 'committing':
    case 'committed':
      return 'commit';
    case 'rolled-back':
      return record.answer ?? refuse('ROLLED_BACK', 'this branch was rolled back before its prepare arrived');
    case 'preparing':
    case 'failed':
    case 'rolling-back':
    case 'run': {
      const why = whyUnknown(record);
      if (!isOnePhase) throw new GuardConflictError(key, why);
      throw new HeuristicError(
        'hazard',
        `the branch ${key} commits in one phase, and the effect of its work is unknown: ${why}. ` +
          'ParticipantGuard.commitOnePhase undoes such work and refuses: use it in commitOnePhase',
      );
    }
  }
}

type Unanswered = Extract<GuardRecord, { state: 'preparing' | 'failed' | 'rolling-back' | 'run' }>;

function whyUnknown(record: Unanswered): string {
  switch (record.state) {
    case 'preparing':
      return 'an earlier call did not finish';
    case 'failed':
      return `an earlier call failed (${record.message})`;
    case 'rolling-back':
      return 'its rollback has not finished';
    case 'run':
      return 'its record is not that of a branch';
  }
}

/** @returns the answer of a one-phase commit whose branch is rolled back, the same for every call. */
export function answerInstead(
  record: Unanswered | Extract<GuardRecord, { state: 'rolled-back' }>,
): AbortVote {
  if (record.state === 'rolled-back' || record.state === 'rolling-back') {
    return record.answer ?? refuse('ROLLED_BACK', 'this branch was rolled back');
  }
  return refuse('ROLLED_BACK', `this branch is rolled back: ${whyUnknown(record)}`);
}

/** @returns the error of a commit that must not run, or undefined when it may run. */
export function reportAgainstCommit(
  key: string,
  record: GuardFact | undefined,
  mayRepeat: boolean,
): HeuristicError | undefined {
  const told = `the branch ${key} received a commit, but`;
  if (record?.state === 'rolled-back') return new HeuristicError('rollback', `${told} it is rolled back`);
  if (record?.state === 'rolling-back')
    return new HeuristicError('hazard', `${told} it received a rollback before`);
  if (record?.state === 'committing') {
    return record.step === 'begun' && !mayRepeat ? leftBehind(key, 'commit') : undefined;
  }
  if (record?.state === 'voted' && isForCommit(record.vote)) return undefined;
  return new HeuristicError('hazard', `${told} it is not prepared here`);
}

/** @returns the error of a rollback that must not run, or undefined when it may run. */
export function reportAgainstRollback(
  key: string,
  record: GuardFact,
  mayRepeat: boolean,
): HeuristicError | undefined {
  const told = `the branch ${key} received a rollback, but`;
  if (record.state === 'committed') return new HeuristicError('commit', `${told} it is committed`);
  if (record.state === 'committing')
    return new HeuristicError('hazard', `${told} it received a commit before`);
  if (record.state !== 'rolling-back' || record.step === 'failed' || mayRepeat) return undefined;
  return leftBehind(key, 'rollback');
}

function leftBehind(key: string, what: 'commit' | 'rollback'): HeuristicError {
  return new HeuristicError(
    'hazard',
    `the ${what} of the branch ${key} was started by a process that has ended, and it is unknown whether it was done: ` +
      'check at the participant. If the work may be repeated, give the guard { interrupted: "repeat" }',
  );
}
