import {
  acknowledged,
  attemptsExhausted,
  heuristicReported,
} from '../../src/coordinator/protocol/completion.js';
import { confirmed, patienceEnded, recordAbsent, recorded } from '../../src/coordinator/protocol/decision.js';
import type { ProtocolEffects } from '../../src/coordinator/protocol/effects.js';
import { HEURISTIC_KINDS } from '../../src/coordinator/protocol/heuristics.js';
import { State, type TransactionState } from '../../src/coordinator/protocol/states.js';
import {
  Cause,
  Decider,
  type ProtocolTransaction,
  Voted,
} from '../../src/coordinator/protocol/transaction.js';
import {
  deadlinePassed,
  enlist,
  enlistLastResource,
  markRollbackOnly,
  onePhaseAnswered,
  prepareTimedOut,
  requestCommit,
  requestRollback,
  vote,
  voteExpired,
} from '../../src/coordinator/protocol/voting.js';

/** One event with its parameters, as a search or a random walk feeds it to the core. */
export interface ProtocolEvent {
  readonly name: string;
  /** The states in which it can change something. In every other it must change nothing. */
  readonly fits: readonly TransactionState[];
  apply(transaction: ProtocolTransaction, effects: ProtocolEffects<ProtocolTransaction>): void;
}

const COMPLETING = ['COMMITTING', 'ABORTING', 'ABORTED'] as const;
const ANSWERS = {
  yes: Voted.COMMIT,
  'read-only': Voted.READ_ONLY,
  no: Voted.ABORT,
  none: Voted.NONE,
} as const;

/** @returns every event that the core knows, with every parameter, for a transaction of so many branches. */
export function allEvents(size: number): ProtocolEvent[] {
  const events: ProtocolEvent[] = [];
  const add = (name: string, fits: ProtocolEvent['fits'], apply: ProtocolEvent['apply']): void => {
    events.push({ name, fits, apply });
  };
  add('one more branch', ['ACTIVE'], (t) => void (t.size < size && enlist(t)));
  add('a branch after the start of the voting', [], (t) => void (t.state !== State.ACTIVE && enlist(t)));
  add('a last resource', ['ACTIVE'], (t) => void (t.size < size && enlistLastResource(t)));
  add('rollback-only', ['ACTIVE'], (t) => markRollbackOnly(t));
  add('commit is asked for', ['ACTIVE'], (t, e) => requestCommit(t, Decider.LOG, e));
  add('commit is asked for, in one phase', ['ACTIVE'], (t, e) => requestCommit(t, 0, e));
  for (const [who, cause] of [
    ['the caller', Cause.ROLLED_BACK],
    ['its signal', Cause.CANCELLED],
  ] as const) {
    add(`${who} asks for rollback`, ['ACTIVE', 'PREPARING'], (t, e) => void requestRollback(t, cause, e));
  }
  add('the deadline passes', ['ACTIVE', 'PREPARING', 'READY', 'COMMITTING'], (t, e) => deadlinePassed(t, e));
  add('the patience ends', ['READY', 'COMMITTING'], (t, e) => patienceEnded(t, e));
  add('the decision is recorded', ['READY'], (t, e) => recorded(t, e));
  add('the record is absent', ['READY'], (t, e) => recordAbsent(t, e));
  add('the commit of a branch is recorded', ['COMMITTING'], (t, e) => confirmed(t, e));
  for (const end of HEURISTIC_KINDS) {
    add(`one-phase: ${end}`, ['READY'], (t, e) => onePhaseAnswered(t, end, e));
  }
  for (let branch = 0; branch < size; branch++) addBranchEvents(branch, add);
  return events;
}

function addBranchEvents(
  branch: number,
  add: (name: string, fits: ProtocolEvent['fits'], apply: ProtocolEvent['apply']) => void,
): void {
  for (const [name, answer] of Object.entries(ANSWERS)) {
    // After the decision, which can only be abort, a vote is late, and still closes or opens its branch.
    add(`${branch} votes ${name}`, ['PREPARING', 'ABORTING', 'ABORTED'], (t, e) =>
      vote(t, branch, answer, e),
    );
  }
  add(`${branch} is late`, ['PREPARING'], (t, e) => prepareTimedOut(t, branch, e));
  add(`the vote of ${branch} expires`, ['PREPARING'], (t, e) => voteExpired(t, branch, e));
  // Before the decision only the branch that decides has attempts.
  const attempted = ['READY', ...COMPLETING] as const;
  add(`${branch} used up its attempts`, attempted, (t, e) => attemptsExhausted(t, branch, e));
  for (const round of [0, 1]) {
    // Only a rollback can have a second round, and only in it can a branch be open after the end.
    const fits = round === 0 ? (['COMMITTING', 'ABORTING'] as const) : (['ABORTING', 'ABORTED'] as const);
    add(`${branch} acknowledges round ${round}`, fits, (t, e) => acknowledged(t, branch, round, e));
    for (const kind of HEURISTIC_KINDS) {
      add(`${branch} reports ${kind} in round ${round}`, fits, (t, e) =>
        heuristicReported(t, branch, kind, round, e),
      );
    }
  }
}
