import type {
  Branch,
  OnePhaseAnswer,
  ParticipantCapacity,
  PreparedBranch,
  TransactionParticipant,
  Vote,
} from '../coordinator/index.js';
import { type Fault, type Method, suffer } from './fault.js';

/** A participant that can be made to fail, around one that knows nothing of it. */
export class FaultyParticipant implements TransactionParticipant {
  readonly commitOnePhase?: (branch: Branch) => OnePhaseAnswer | PromiseLike<OnePhaseAnswer>;
  readonly recover?: () => readonly PreparedBranch[] | PromiseLike<readonly PreparedBranch[]>;
  readonly capacity?: () => ParticipantCapacity | PromiseLike<ParticipantCapacity>;
  private readonly switchedOn = new Map<Method, Fault>();

  constructor(private readonly inner: TransactionParticipant) {
    if (inner.commitOnePhase !== undefined) {
      this.commitOnePhase = (branch) => this.call('commit', branch, () => inner.commitOnePhase!(branch));
    }
    if (inner.recover !== undefined) this.recover = () => inner.recover!();
    if (inner.capacity !== undefined) this.capacity = () => inner.capacity!();
  }

  /** The faults that are switched on, with the calls that are left of them; for ever where `times` is left out. */
  get faults(): Fault[] {
    return [...this.switchedOn.values()];
  }

  /** From the next call on the method fails. It takes the place of an earlier fault of the method. */
  switchOn(fault: Fault): void {
    this.switchedOn.set(fault.method, fault);
  }

  /** All is well from the next call on. A call that hangs hangs for ever. */
  mend(): void {
    this.switchedOn.clear();
  }

  prepare(branch: Branch): Vote | PromiseLike<Vote> {
    return this.call('prepare', branch, () => this.inner.prepare(branch));
  }

  commit(branch: Branch): void | PromiseLike<void> {
    return this.call('commit', branch, () => this.inner.commit(branch));
  }

  rollback(branch: Branch): void | PromiseLike<void> {
    return this.call('rollback', branch, () => this.inner.rollback(branch));
  }

  private call<T>(method: Method, branch: Branch, work: () => T): T | Promise<Awaited<T>> {
    const fault = this.switchedOn.get(method);
    if (fault === undefined) return work();
    this.count(fault);
    return suffer(fault, work, branch.signal) as Promise<Awaited<T>>;
  }

  /** One call less is left of a fault that is not for ever. */
  private count({ times, ...fault }: Fault): void {
    if (times === undefined) return;
    if (times === 1) this.switchedOn.delete(fault.method);
    else this.switchedOn.set(fault.method, { ...fault, times: times - 1 });
  }
}
