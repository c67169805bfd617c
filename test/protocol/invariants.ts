import { type BranchSet, Branches, only } from '../../src/coordinator/protocol/branch-set.js';
import { awaitsConfirmation } from '../../src/coordinator/protocol/decision.js';
import type { ProtocolEffects } from '../../src/coordinator/protocol/effects.js';
import { STATES, State, type StateNumber, isAbort, isCommit } from '../../src/coordinator/protocol/states.js';
import {
  Decider,
  type ProtocolTransaction,
  Told,
  allBranches,
  hasLastResource,
  isDecidedByBranch,
} from '../../src/coordinator/protocol/transaction.js';

/**
 * A driver that holds every effect, and every state that a step leads to, against what must never happen. AC1
 * to AC3 are the conditions of atomic commitment: Bernstein, Hadzilacos and Goodman, "Concurrency Control and
 * Recovery in Database Systems", section 7.3.
 */
export class InvariantChecker implements ProtocolEffects<ProtocolTransaction> {
  private tells = 0;
  private commits: BranchSet = Branches.NONE;
  private rollbacks: BranchSet = Branches.NONE;
  /** Before the step. */
  private before: StateNumber = State.ACTIVE;
  private awaited: BranchSet = Branches.NONE;

  /** Takes one step, and checks it and where it leads. */
  step(transaction: ProtocolTransaction, event: (effects: this) => void): void {
    const { state, told } = transaction;
    const wasUnconfirmed = awaitsConfirmation(transaction);
    this.before = state;
    this.awaited = transaction.awaiting;
    this.tells = 0;
    this.commits = Branches.NONE;
    this.rollbacks = Branches.NONE;
    event(this);
    must(
      this.tells === (told === transaction.told ? 0 : 1),
      'the caller is told once, and hears what is kept',
    );
    must(told === Told.NOTHING || told === transaction.told, 'what the caller was told stays as it is');
    must(!isCommit(state) || isCommit(transaction.state), 'AC2: commit is never reversed');
    must(!isAbort(state) || isAbort(transaction.state), 'AC2: abort is never reversed');
    must(
      this.commits === Branches.NONE || state === State.READY || wasUnconfirmed,
      'commit is sent only once the decision had been recorded',
    );
    must(
      this.commits === Branches.NONE || !hasLastResource(transaction) || wasUnconfirmed,
      'what a last resource has decided is recorded before commit is sent',
    );
    checkState(transaction);
  }

  entered(transaction: ProtocolTransaction, from: StateNumber): void {
    must(transaction.state > from, `${STATES[from]} to ${STATES[transaction.state]} is a step back`);
    const { yes, readOnly, rollbackOnly, decider } = transaction;
    if (transaction.state === State.READY && hasLastResource(transaction))
      must(
        (yes | readOnly) === votersOf(transaction),
        'a last resource is asked after every other branch has voted',
      );
    if (transaction.state !== State.COMMITTING) return;
    if (isDecidedByBranch(transaction)) {
      must(
        this.before === State.READY && this.awaited === only(decider),
        'AC3: the branch that decides was asked',
      );
      return;
    }
    must((yes | readOnly) === allBranches(transaction), 'AC3: commit needs the vote of every branch');
    must(!rollbackOnly, 'a transaction that is rollback-only never commits');
  }

  prepare(transaction: ProtocolTransaction): void {
    must(transaction.state === State.PREPARING, 'prepare is sent while the voting goes on');
    must(
      transaction.awaiting === votersOf(transaction),
      'prepare goes to all branches at once, but not to a last resource',
    );
  }

  commitOnePhase(transaction: ProtocolTransaction): void {
    const { state, size, yes, readOnly, recordsAll } = transaction;
    must(state === State.READY, 'the branch that decides is asked in READY');
    if (size === 1) return;
    must(
      (yes | readOnly) === votersOf(transaction),
      'a last resource is asked after every other branch has voted',
    );
    must(
      recordsAll && this.before === State.READY,
      'the record that names a last resource precedes its call',
    );
  }

  record({ state, yes, recordsAll }: ProtocolTransaction): void {
    must(state === State.READY, 'what is recorded has every vote');
    must(yes !== Branches.NONE || recordsAll, 'only a commit that leaves a branch in doubt is recorded');
  }

  confirm(transaction: ProtocolTransaction): void {
    must(awaitsConfirmation(transaction) && hasLastResource(transaction), 'a last resource has committed');
  }

  cancel({ state }: ProtocolTransaction): void {
    must(isAbort(state), 'prepares are cancelled once abort is decided');
  }

  commit({ state, yes, decider }: ProtocolTransaction, branches: BranchSet): void {
    must(isCommit(state), 'AC1: commit is sent only when commit is decided');
    const waiting = decider === Decider.LOG ? yes : yes & ~only(decider);
    must(branches === waiting, 'commit goes to every branch that voted commit, and to no other');
    this.commits |= branches;
  }

  rollback({ state, readOnly, refused }: ProtocolTransaction, branches: BranchSet): void {
    must(isAbort(state), 'AC1: rollback is sent only when abort is decided');
    must((branches & (readOnly | refused)) === 0, 'a branch that holds nothing is left alone');
    must((branches & this.rollbacks) === 0, 'a branch is not rolled back twice for one event');
    this.rollbacks |= branches;
  }

  tell(transaction: ProtocolTransaction, told: Told): void {
    this.tells++;
    must(told === transaction.told, 'what is told is what is kept');
  }

  stalled({ stalled }: ProtocolTransaction, branch: number): void {
    must(((stalled >> branch) & 1) === 1, 'a branch that is reported stalled is stalled');
  }

  ended({ state, open }: ProtocolTransaction): void {
    must(state === State.COMMITTED || state === State.ABORTED, 'a transaction ends in a final state');
    must(open === Branches.NONE, 'a transaction ends when no branch owes anything');
  }
}

/** The branches that are asked to prepare. */
function votersOf(transaction: ProtocolTransaction): BranchSet {
  const all = allBranches(transaction);
  return hasLastResource(transaction) ? all & ~only(transaction.decider) : all;
}

/** The properties that hold in every reachable state. */
function checkState(transaction: ProtocolTransaction): void {
  const { state, told, yes, readOnly, refused, awaiting, open, stalled } = transaction;
  const heuristics = transaction.against | transaction.mixed | transaction.hazard;
  must(
    ((yes | readOnly | refused | awaiting | open) & ~allBranches(transaction)) === 0,
    'only enlisted branches appear',
  );
  must((yes & readOnly) + (yes & refused) + (readOnly & refused) === 0, 'a branch has one vote');
  must((awaiting & (yes | readOnly | refused)) === 0, 'a branch that voted is not awaited');
  must((open & (readOnly | refused)) === 0, 'a branch that holds nothing owes nothing');
  must(open === Branches.NONE || isCommit(state) || isAbort(state), 'nothing is owed before the decision');
  must(state !== State.COMMITTED || open === Branches.NONE, 'a committed transaction owes nothing');
  must(
    (stalled & ~(state === State.READY ? awaiting : open)) === 0,
    'only a branch that owes something is stalled',
  );
  must(
    state !== State.READY || isDecidedByBranch(transaction) || awaiting === Branches.NONE,
    'the voting is over in READY',
  );
  must(told !== Told.COMMITTED || state === State.COMMITTED, 'told committed: it is');
  must(told !== Told.ABORTED || isAbort(state), 'told aborted: it is');
  must(told !== Told.HEURISTIC || (state === State.COMMITTED && heuristics !== 0), 'told heuristic: it is');
  must(told !== Told.PENDING || state >= State.READY, 'told pending: the voting was over');
  must(state !== State.COMMITTED || told !== Told.NOTHING, 'the caller of a committed transaction was told');
  must(!isAbort(state) || told !== Told.NOTHING, 'the caller of an aborted transaction was told at once');
}

function must(holds: boolean, rule: string): void {
  if (!holds) throw new Error(`This must hold: ${rule}.`);
}
