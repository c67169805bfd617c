import {
  type BranchSet,
  Cause,
  Decider,
  type ProtocolEffects,
  ProtocolTransaction,
  State,
  Told,
  acknowledged,
  attemptsExhausted,
  completionRound,
  copyProtocolState,
  deadlinePassed,
  enlist,
  includes,
  isDecidedByBranch,
  markRollbackOnly,
  onePhaseAnswered,
  patienceEnded,
  prepareTimedOut,
  presume,
  recordAbsent,
  recorded,
  requestCommit,
  requestRollback,
  vote,
} from '../../src/coordinator/protocol/index.js';
import { type Step, Violation } from './search.js';
import { CLAIM_FRESH, CLAIM_SECOND, VOTES, type World, type WorldOptions } from './world.js';

const VOTE_WORDS = ['commit', 'read-only', 'abort', 'no vote at all'] as const;
const NEW = new ProtocolTransaction();

/** Puts what the core asks for on the network, on its way to the log, or before the caller. */
class FirstEffects implements ProtocolEffects<ProtocolTransaction> {
  constructor(private readonly w: World) {}

  entered(): void {}

  prepare(): void {
    this.w.prepares = this.w.all;
  }

  commitOnePhase(): void {
    this.w.onePhaseRequest = true;
  }

  record(transaction: ProtocolTransaction): void {
    this.w.appending = true;
    this.w.named = transaction.yes;
    if (this.w.options.defect === 'commit is sent before the record is there') recorded(transaction, this);
  }

  confirm(): void {
    throw new Violation('no last resource takes part');
  }

  cancel(): void {}

  commit(_: ProtocolTransaction, branches: BranchSet): void {
    this.w.sendCommit(branches);
  }

  rollback(transaction: ProtocolTransaction, branches: BranchSet): void {
    const late = branches & transaction.late;
    this.w.rollbacks[0] |= branches & ~late;
    this.w.rollbacks[1] |= late;
  }

  tell(_: ProtocolTransaction, told: Told): void {
    if (this.w.told !== Told.NOTHING) throw new Violation('the caller is told twice');
    this.w.told = told;
  }

  stalled(transaction: ProtocolTransaction, branch: number): void {
    if (this.w.options.defect === 'attempts used up count as an acknowledgement') {
      acknowledged(transaction, branch, completionRound(transaction, branch), this);
    }
  }

  ended(): void {
    this.w.ending ||= this.w.hasRecord;
  }
}

/** A step of the coordinator that began the transaction. A crashed one takes none. */
function step(
  name: string,
  kind: 'heals' | 'may happen',
  when: (w: World) => boolean,
  take: (w: World, effects: FirstEffects) => void,
): Step<World> {
  return {
    name: `C0: ${name}`,
    heals: kind === 'heals',
    when: (w) => !w.crashed && when(w),
    take: (w) => take(w, new FirstEffects(w)),
  };
}

const always = (): boolean => true;

/** What its caller asks of it, and how it hears the log: without the faults. */
export function firstCoordinatorSteps({ participants, shared }: WorldOptions): Step<World>[] {
  const steps = [
    step(
      'one more branch is enlisted',
      'may happen',
      (w) => w.size < participants,
      (w) => {
        const isLate = enlist(w.first) === -1;
        if (isLate && w.options.defect === 'a branch is enlisted after the voting began') w.first.size++;
        w.size = w.first.size;
      },
    ),
    step('commit is asked for', 'may happen', always, (w, e) => requestCommit(w.first, Decider.LOG, e)),
    step(
      'hears from the log that the record is there',
      'heals',
      (w) => w.recorded,
      (w, e) => recorded(w.first, e),
    ),
    step(
      'hears the answer to its one-phase commit',
      'heals',
      (w) => w.onePhaseAnswer,
      (w, e) => onePhaseAnswered(w.first, includes(w.committed, 0) ? 'commit' : 'rollback', e),
    ),
  ];
  if (shared !== true) {
    steps.push(
      step('commit is asked for, in one phase if possible', 'may happen', always, (w, e) =>
        requestCommit(w.first, 0, e),
      ),
    );
  }
  return steps;
}

/** What may call the transaction off, or keep the coordinator from ending it. */
export function firstCoordinatorFaults(): Step<World>[] {
  return [
    step('the caller rules commit out', 'may happen', always, (w) => markRollbackOnly(w.first)),
    step(
      'rollback is asked for',
      'may happen',
      always,
      (w, e) => void requestRollback(w.first, Cause.ROLLED_BACK, e),
    ),
    step('the deadline passes', 'may happen', always, (w, e) => {
      deadlinePassed(w.first, e);
      if (w.options.defect === 'a one-phase commit without answer counts as abort') {
        onePhaseAnswered(w.first, 'rollback', e);
      }
    }),
    step('the patience of the caller ends', 'may happen', always, (w, e) => patienceEnded(w.first, e)),
    step(
      'hears an error from the log, and inquires under a fresh claim',
      'heals',
      (w) => w.first.state === State.READY && !isDecidedByBranch(w.first),
      inquire,
    ),
    {
      name: 'C0 crashes',
      heals: false,
      when: (w) => !w.crashed,
      take: (w) => {
        copyProtocolState(NEW, w.first);
        w.first.size = w.size;
        w.first.told = w.told;
        w.crashed = true;
      },
    },
  ];
}

/**
 * M2: an error of the log proves nothing. Only the holder of the claim may read, and find the record absent.
 */
function inquire(w: World, e: FirstEffects): void {
  const { defect } = w.options;
  if (defect === 'an error of the log is taken for abort') {
    recordAbsent(w.first, e);
  } else if (w.claim === CLAIM_SECOND) {
    if (defect === 'a fenced coordinator presumes abort') recordAbsent(w.first, e);
    patienceEnded(w.first, e);
  } else {
    w.claim = CLAIM_FRESH;
    if (w.hasRecord) recorded(w.first, e);
    else recordAbsent(w.first, e);
  }
}

/** What the coordinator hears of one branch. */
export function firstCoordinatorBranchSteps(p: number): Step<World>[] {
  return [
    ...VOTES.map((answer) =>
      step(
        `hears of branch ${p}: ${VOTE_WORDS[answer]}`,
        'heals',
        (w) => includes(w.votes[answer], p),
        (w, e) => vote(w.first, p, answer, e),
      ),
    ),
    step(
      `hears that branch ${p} has committed`,
      'heals',
      (w) => includes(w.commitAcks, p),
      (w, e) => {
        acknowledged(w.first, p, 0, e);
        if (w.options.defect === 'the end is recorded before all have acknowledged') w.ending = w.hasRecord;
      },
    ),
    ...[0, 1].map((round) =>
      step(
        `hears that branch ${p} has rolled back, round ${round}`,
        'heals',
        (w) => includes(w.rollbackAcks[round as 0 | 1], p),
        (w, e) => acknowledged(w.first, p, roundHeard(w, p, round), e),
      ),
    ),
  ];
}

/** The driver hands an answer on with the number of the round that it belongs to. */
function roundHeard(w: World, p: number, round: number): number {
  const { defect } = w.options;
  return defect === 'the acknowledgement of an overtaken rollback counts'
    ? completionRound(w.first, p)
    : round;
}

/** What may go wrong with one branch. */
export function firstCoordinatorBranchFaults(p: number): Step<World>[] {
  return [
    step(`the time of branch ${p} to prepare is up`, 'may happen', always, (w, e) =>
      prepareTimedOut(w.first, p, e),
    ),
    step(`branch ${p} used up its attempts`, 'may happen', always, (w, e) =>
      attemptsExhausted(w.first, p, e),
    ),
    step(
      `a sweep finds participant ${p} prepared`,
      'may happen',
      (w) => includes(w.prepared, p),
      (w) => {
        const answer = presume({
          owns: w.claim !== CLAIM_SECOND,
          recorded: w.hasRecord,
          begunInThisEpoch: w.options.defect !== 'recovery touches live transactions',
        });
        if (answer === 'abort') w.strayRollbacks |= 1 << p;
      },
    ),
  ];
}
