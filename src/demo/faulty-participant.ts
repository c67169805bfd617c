import type { Branch, OnePhaseAnswer, TransactionParticipant, Vote } from '../coordinator/index.js';
import { type Fault, type Method, suffer } from './fault.js';

/** The optional methods that do not fail. `registered` was called before. */
const HANDED_ON = [
  'checkPayload',
  'claim',
  'recover',
  'endSessionsOf',
  'capacity',
  'inspect',
  'branchStarted',
  'branchEnded',
] as const satisfies readonly (keyof TransactionParticipant)[];

/** A fault, and when it ends by itself, by the clock of `performance.now()`. */
interface SwitchedOn {
  readonly fault: Fault;
  readonly until: number;
}

/** A participant that can be made to fail. It wraps a participant that does not know of it. */
export class FaultyParticipant implements TransactionParticipant {
  readonly commitOnePhase?: (branch: Branch) => OnePhaseAnswer | PromiseLike<OnePhaseAnswer>;
  private readonly switchedOn = new Map<Method, SwitchedOn>();

  constructor(private readonly inner: TransactionParticipant) {
    if (inner.commitOnePhase !== undefined) {
      this.commitOnePhase = (branch) => this.call('commit', branch, () => inner.commitOnePhase!(branch));
    }
    // This participant has only the methods of the one that it wraps.
    for (const name of HANDED_ON) {
      const method: unknown = inner[name];
      if (typeof method === 'function') Object.assign(this, { [name]: method.bind(inner) as unknown });
    }
    if (inner.preparesDurably !== undefined) {
      Object.assign(this, { preparesDurably: inner.preparesDurably });
    }
  }

  /** The active faults, with their remaining calls; without a limit if `times` is left out. */
  get faults(): Fault[] {
    return [...this.switchedOn.keys()].flatMap((method) => this.activeFault(method) ?? []);
  }

  /** Makes the method fail from its next call on. This replaces an earlier fault of the method. */
  switchOn(fault: Fault): void {
    const { forMs = Infinity } = fault;
    this.switchedOn.set(fault.method, { fault, until: performance.now() + forMs });
  }

  /** Removes all faults from the next call on. A hanging call hangs on. */
  repair(): void {
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
    const fault = this.activeFault(method);
    if (fault === undefined) return work();
    this.count(fault);
    return suffer(fault, work, branch.signal) as Promise<Awaited<T>>;
  }

  private activeFault(method: Method): Fault | undefined {
    const entry = this.switchedOn.get(method);
    if (entry === undefined) return undefined;
    if (performance.now() < entry.until) return entry.fault;
    this.switchedOn.delete(method);
    return undefined;
  }

  /** Counts a call of a limited fault. */
  private count({ times, ...fault }: Fault): void {
    if (times === undefined) return;
    const { until } = this.switchedOn.get(fault.method)!;
    if (times === 1) this.switchedOn.delete(fault.method);
    else this.switchedOn.set(fault.method, { fault: { ...fault, times: times - 1 }, until });
  }
}
