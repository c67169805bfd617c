import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { PREPARING } from '../protocol/index.js';
import type { AmbientTransactions } from './ambient.js';
import { type BranchRecord, CALL_ONE_PHASE, CALL_PREPARE } from './branch-record.js';
import { callParticipant } from './calls.js';
import type { Clock } from './clock.js';
import type { Contention } from './contention.js';
import type { Deadlines } from './deadlines.js';
import type { Deliveries } from './deliveries.js';
import { REFUSED_WHILE_PAUSED } from './held.js';
import { PreparePlaces } from './prepare-places.js';
import type { ServerLimits } from './server-limits.js';
import type { TransactionRecord } from './transaction-record.js';
import { Turns } from './turns.js';

/** The first call of each kind that a participant gets for a branch: with the branch itself, and its own callbacks. */
export class FirstCalls {
  constructor(
    private readonly clock: Clock,
    private readonly deadlines: Deadlines,
    private readonly ambient: AmbientTransactions,
    private readonly deliveries: Deliveries,
    private readonly contention: Contention,
    private readonly limits: ServerLimits,
  ) {}

  /** Asks every participant to prepare: all at once, or the first of those that do it in turn. */
  prepare(transaction: TransactionRecord): void {
    this.limits.keep(transaction);
    if (transaction.extras?.inTurn || this.contention.calls(transaction)) {
      transaction.needExtras().turns = new Turns(transaction);
      this.takeTurn(transaction);
      return;
    }
    this.limits.putToWork(transaction);
    this.deadlines.arm(transaction, transaction.preparingAt + transaction.shortestTimeoutMs);
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      // A participant may, while it is being called, bring its own transaction to an end.
      if (transaction.state !== PREPARING) return;
      branch.participant.places?.take(branch);
      branch.call = CALL_PREPARE;
      this.call(branch, 'prepare');
    }
  }

  /** Asks the next participant to prepare, unless the transaction is decided by now. */
  takeTurn(transaction: TransactionRecord): void {
    if (transaction.state !== PREPARING) return;
    const branch = transaction.extras?.turns?.next();
    if (branch === undefined) return;
    const { places } = branch.participant;
    if (places === undefined) this.ask(branch);
    else places.request(branch);
  }

  /** From now on no more branches than this are asked in turn at one participant before one of them has answered. */
  limit(participant: RegisteredParticipant, places: number): void {
    const ask = (branch: BranchRecord): void => {
      participant.places?.take(branch);
      this.ask(branch);
    };
    const isContended = (): boolean => this.contention.isContended(participant);
    participant.places = new PreparePlaces(places, this.clock, ask, isContended);
  }

  /** No participant works for the voting of this transaction any more. */
  leave(transaction: TransactionRecord): void {
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      branch.participant.places?.release(branch);
    }
  }

  private ask(branch: BranchRecord): void {
    const { transaction, participant } = branch;
    if (participant.server !== undefined) this.limits.putToWork(transaction);
    const now = this.clock.now();
    transaction.extras?.turns?.asks(branch, now);
    this.deadlines.arm(transaction, now + participant.options.prepareTimeoutMs);
    branch.call = CALL_PREPARE;
    this.call(branch, 'prepare');
  }

  commitOnePhase(transaction: TransactionRecord): void {
    const branch = transaction.firstBranch!;
    branch.call = CALL_ONE_PHASE;
    branch.attempts = 1;
    this.deadlines.arm(transaction, transaction.preparingAt + transaction.shortestTimeoutMs);
    this.call(branch, 'commitOnePhase');
  }

  call(branch: BranchRecord, method: 'prepare' | 'commit' | 'commitOnePhase'): void {
    const { participant, transaction, fulfilled, rejected } = branch;
    if (participant.paused !== undefined) {
      this.passOver(branch, method);
      return;
    }
    callParticipant(participant, method, branch, transaction, this.ambient, fulfilled, rejected);
  }

  /** The participant is paused: it refuses what it has not begun, and what it owes waits. */
  private passOver(branch: BranchRecord, method: 'prepare' | 'commit' | 'commitOnePhase'): void {
    if (method === 'commit') {
      branch.attempts = 0;
      this.deliveries.holdFirst(branch);
    } else {
      // As from a participant, the answer comes when this call has returned.
      void Promise.resolve(REFUSED_WHILE_PAUSED).then(branch.fulfilled);
    }
  }
}
