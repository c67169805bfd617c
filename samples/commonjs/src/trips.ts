import { Injectable, Module } from '@nestjs/common';
import {
  type Branch,
  CoordinatorModule,
  MemoryGuardStore,
  type Outcome,
  Participant,
  ParticipantGuard,
  TransactionManager,
  type TransactionParticipant,
  type Vote,
  branch,
  refuse,
} from 'nestjs-dtc';

/** A vehicle with ten seats. */
abstract class Vehicle implements TransactionParticipant<number> {
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());
  private readonly held = new Map<string, number>();
  taken = 0;

  prepare(branch: Branch<number>): Promise<Vote> {
    return this.guard.prepare(branch, () => {
      if (this.taken + branch.payload > 10) return refuse('FULL', 'too few seats are left');
      this.held.set(branch.transactionId, branch.payload);
      this.taken += branch.payload;
      return 'commit';
    });
  }

  commit(branch: Branch<number>): Promise<void> {
    return this.guard.commit(branch, () => void this.held.delete(branch.transactionId));
  }

  rollback(branch: Branch<number | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => {
      this.taken -= this.held.get(branch.transactionId) ?? 0;
      this.held.delete(branch.transactionId);
    });
  }
}

@Participant({ name: 'train' })
export class Train extends Vehicle {}

@Participant({ name: 'ferry' })
export class Ferry extends Vehicle {}

/** Books seats in both vehicles, or in neither. */
@Injectable()
export class Trips {
  constructor(private readonly transactions: TransactionManager) {}

  book(seats: number): Promise<Outcome> {
    return this.transactions.run({ branches: [branch(Train, seats), branch(Ferry, seats)] });
  }
}

@Module({ imports: [CoordinatorModule.forRoot()], providers: [Train, Ferry, Trips] })
export class TripsModule {}
