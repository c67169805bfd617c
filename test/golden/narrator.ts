import type { BranchRecord, TransactionRecord } from '../../src/coordinator/execution/records.js';
import { messageOf } from '../../src/coordinator/gate/texts.js';
import type { TransactionObserver } from '../../src/coordinator/execution/observer.js';
import { type BranchView, type Outcome, STATES, type TransactionView } from '../../src/coordinator/index.js';
import type { RegisteredParticipant } from '../../src/coordinator/participant/registered-participant.js';
import type { Say } from './actors.js';

/** Tells in words what the coordinator reports. */
export class Narrator implements TransactionObserver {
  constructor(private readonly say: Say) {}

  entered(transaction: TransactionRecord, from: number): void {
    this.say('transaction', `${STATES[from]} → ${transaction.stateName}`);
  }

  prepareFailed({ branchId }: BranchRecord, cause: string, message: string): void {
    this.say(branchId, cause === 'timed-out' ? `is late: ${message}` : `${cause}: ${message}`);
  }

  lateAnswer({ branchId }: BranchRecord): void {
    this.say(branchId, 'has answered too late');
  }

  attemptFailed({ branchId, attempts }: BranchRecord, message: string, retryInMs: number | undefined): void {
    const next = retryInMs === undefined ? 'no attempt is left' : `the next comes in ${retryInMs} ms`;
    this.say(branchId, `attempt ${attempts} failed (${message}); ${next}`);
  }

  stalled({ branchId }: BranchRecord): void {
    this.say(branchId, 'is stalled');
  }

  heuristic({ branchId, heuristic }: BranchRecord): void {
    this.say(branchId, `reports a heuristic end: ${heuristic?.kind} (${heuristic?.reason})`);
  }

  recordUnknown(_: TransactionRecord, message: string): void {
    this.say('log', `cannot tell whether it has the decision (${message})`);
  }

  fenced(): void {
    this.say('log', 'has been claimed by another coordinator');
  }

  notNoted(_: TransactionRecord, message: string): void {
    this.say('log', `has not noted the end (${message})`);
  }

  orphan({ transactionId, branchId }: BranchRecord): void {
    this.say(branchId, `has an orphan of ${transactionId}`);
  }

  scanFailed({ name }: RegisteredParticipant, message: string): void {
    this.say(name, `cannot list its prepared branches (${message})`);
  }

  undecidable({ name }: RegisteredParticipant, branches: number): void {
    this.say(name, `has ${branches} prepared branches of an earlier run, whose decision is unknown`);
  }

  /** What the caller hears is taken from its own promise. */
  told(): void {}

  /** The last state step says the same. */
  ended(): void {}

  defect(error: unknown, where: string): void {
    this.say('DEFECT', `${where}: ${messageOf(error)}`);
  }
}

/** @returns the answer to a caller, in words. */
export function outcomeInWords(outcome: Outcome): string {
  switch (outcome.status) {
    case 'committed':
      return 'committed';
    case 'aborted': {
      const { cause, participant, code, reason } = outcome;
      const why = [participant === undefined ? cause : `${cause} by ${participant}`, code];
      return `aborted, ${why.filter((part) => part !== undefined).join(', ')}: ${reason}`;
    }
    case 'pending':
      return `pending, decision ${outcome.decision}: ${outcome.reason}`;
    case 'heuristic': {
      const reports = outcome.reports.map(({ branchId, kind, reason }) => `${branchId} ${kind} (${reason})`);
      return `heuristic ${outcome.heuristic}: ${reports.join(', ')}`;
    }
  }
}

/** @returns a transaction as an operator sees it, line by line. */
export function viewInWords(view: TransactionView): [who: string, what: string][] {
  const { state, stalled, heuristic, branches } = view;
  const flags = [stalled ? 'stalled' : '', heuristic === null ? '' : `heuristic ${heuristic}`].filter(
    Boolean,
  );
  return [
    ['transaction', [`shows ${state}`, ...flags].join(', ')],
    ...branches.map((branch): [string, string] => [branch.branchId, branchInWords(branch)]),
  ];
}

function branchInWords({ state, stalled, attempts, lastError }: BranchView): string {
  const parts = [`shows ${state}`];
  if (attempts > 0) parts.push(attempts === 1 ? '1 attempt' : `${attempts} attempts`);
  if (stalled) parts.push('stalled');
  if (lastError !== null) parts.push(`last error: ${lastError}`);
  return parts.join(', ');
}
