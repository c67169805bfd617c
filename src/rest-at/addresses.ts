import type { TransactionManager } from '../coordinator/index.js';
import type { ParticipantLinks } from './links.js';
import type { Addresses, Enlistment } from './rest-at-participant.js';

/** The participant of the coordinator for the participants that can commit in one phase. */
export const ONE_PHASE_NAME = 'rest-at';
/** The one for those that cannot. */
export const TWO_PHASE_NAME = 'rest-at-two-phase';

/** An enlistment of a transaction that this member has in memory. */
export interface FoundEnlistment extends Enlistment {
  readonly branchId: string;
  /** Whether branches can still be added and can leave. */
  readonly isActive: boolean;
  /** Whether nothing is asked of it any more. */
  readonly isOver: boolean;
}

/** Where the participants of REST-AT are reached, by the payloads of their branches. */
export class BranchAddresses implements Addresses {
  constructor(private readonly transactions: TransactionManager) {}

  /** @returns the enlistments of a transaction whose addresses are known. */
  all(transactionId: string): FoundEnlistment[] {
    return this.transactions
      .branchesOf(transactionId)
      .flatMap(({ branchId, participant, payload, state, isOver }) => {
        const isOurs = participant === ONE_PHASE_NAME || participant === TWO_PHASE_NAME;
        // It is dropped when the transaction has ended.
        if (!isOurs || payload === undefined) return [];
        return [{ ...(payload as Enlistment), branchId, isActive: state === 'ACTIVE', isOver }];
      });
  }

  find(transactionId: string, branchId: string): FoundEnlistment | undefined {
    return this.all(transactionId).find((enlistment) => enlistment.branchId === branchId);
  }

  enlistmentOf(transactionId: string, branchId: string): Enlistment | undefined {
    return this.find(transactionId, branchId);
  }

  move(
    transactionId: string,
    branchId: string,
    links: ParticipantLinks,
  ): Promise<'replaced' | 'over' | 'later'> {
    return this.change(transactionId, branchId, { links });
  }

  change(transactionId: string, branchId: string, to: Enlistment): Promise<'replaced' | 'over' | 'later'> {
    return this.transactions.replacePayload(transactionId, branchId, to);
  }
}
