import {
  type Branch,
  HeuristicError,
  MemoryGuardStore,
  type OnePhaseAnswer,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from '../../src/coordinator/index.js';
import { Customs } from './customs.js';
import { DispatchPlan, type Shipment } from './dispatch-plan.js';

/** Holds a place in a van in prepare, books it in commit, and gives it back in rollback. */
@Participant({ name: 'shipping', prepareTimeoutMs: 1_000, maxAttempts: 10 })
export class ShippingParticipant implements TransactionParticipant<Shipment> {
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());

  constructor(
    private readonly customs: Customs,
    private readonly plan: DispatchPlan,
  ) {}

  prepare(branch: Branch<Shipment>): Promise<Vote> {
    return this.guard.prepare(branch, () => this.hold(branch));
  }

  commit(branch: Branch<Shipment>): Promise<void> {
    return this.guard.commit(branch, () => this.book(branch));
  }

  rollback(branch: Branch<Shipment | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => this.plan.release(branchKey(branch)));
  }

  commitOnePhase(branch: Branch<Shipment>): Promise<OnePhaseAnswer> {
    return this.guard.commitOnePhase(branch, {
      prepare: () => this.hold(branch),
      commit: () => this.book(branch),
      rollback: () => this.plan.release(branchKey(branch)),
    });
  }

  private async hold(branch: Branch<Shipment>): Promise<Vote> {
    const { payload: shipment, signal } = branch;
    if (!(await this.customs.allows(shipment.country, signal))) {
      return refuse('NOT_ALLOWED', 'parcels cannot be sent there');
    }
    return this.plan.hold(branchKey(branch), shipment)
      ? 'commit'
      : refuse('VANS_FULL', 'no van has a place left today');
  }

  private book(branch: Branch<Shipment>): void {
    if (!this.plan.book(branchKey(branch))) {
      throw new HeuristicError('rollback', 'the place was given away in the yard');
    }
  }
}
