import type * as fc from 'fast-check';
import {
  type Branch,
  type CommitDecision,
  MemoryGuardStore,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
} from '../../src/coordinator/index.js';
import type { Clock } from '../../src/coordinator/index.js';
import { PartialLog } from '../support/partial-log.js';

/** The fate of a call on its way. `lost` ones fail when the network heals: a broken connection is noticed. */
export const FAULTS = ['none', 'lost', 'reply lost', 'fails', 'fails after its effect', 'repeated'] as const;
export type Fault = (typeof FAULTS)[number];

/** A clock that a scheduled task moves. */
export class SteppedClock implements Clock {
  readonly epochMs = 0;
  private time = 1_000;

  now(): number {
    return this.time;
  }

  move(ms: number): void {
    this.time += ms;
  }
}

/** A network in which each message is a task of the scheduler, and in which calls fail as the test chose. */
export class Network {
  private readonly healing = Promise.withResolvers<never>();
  private isHealed = false;

  constructor(private readonly scheduler: fc.Scheduler) {
    this.healing.promise.catch(() => {});
  }

  /** From now on every message arrives, and a caller that waits for a lost one gets an error. */
  heal(): void {
    this.isHealed = true;
    this.healing.reject(new Error('connection cut'));
  }

  /** @param work takes effect at the other end. */
  async call<T>(label: string, chosen: Fault, work: () => T | Promise<T>): Promise<T> {
    const fault = this.isHealed ? 'none' : chosen;
    await this.message(label);
    if (fault === 'lost') return this.healing.promise;
    if (fault === 'fails') throw new Error('connection refused');
    if (fault === 'repeated') void this.repeat(label, work);
    const answer = await work();
    await this.message(`answer to ${label}`);
    if (fault === 'reply lost') return this.healing.promise;
    if (fault === 'fails after its effect') throw new Error('connection reset');
    return answer;
  }

  private async repeat(label: string, work: () => unknown): Promise<void> {
    await this.message(`${label}, repeated`);
    try {
      await work();
    } catch {
      // No caller waits for the answer to a repeat.
    }
  }

  private message(label: string): Promise<void> {
    return this.scheduler.schedule(Promise.resolve(), label);
  }
}

/** The real effects of a participant at the other end of the network for one transaction. */
export interface Ledger {
  vote: Vote | 'none';
  held: number;
  committed: number;
  undone: number;
}

/** A guarded participant at the other end of the network, which votes as it is told. */
export class RemoteParticipant implements TransactionParticipant {
  readonly ledgers = new Map<string, Ledger>();
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());
  private calls = 0;

  constructor(
    private readonly name: string,
    private readonly network: Network,
    private readonly votes: 'commit' | 'read-only' | 'abort',
    private readonly faults: readonly Fault[],
  ) {}

  prepare(branch: Branch): Promise<Vote> {
    return this.call('prepare', branch, () =>
      this.guard.prepare(branch, () => {
        const ledger = this.ledgerOf(branch.transactionId);
        ledger.vote = this.votes;
        if (this.votes === 'commit') ledger.held++;
        return this.votes;
      }),
    );
  }

  commit(branch: Branch): Promise<void> {
    return this.call('commit', branch, () =>
      this.guard.commit(branch, () => {
        const ledger = this.ledgerOf(branch.transactionId);
        ledger.held--;
        ledger.committed++;
      }),
    );
  }

  rollback(branch: Branch): Promise<void> {
    return this.call('rollback', branch, () =>
      this.guard.rollback(branch, () => {
        const ledger = this.ledgerOf(branch.transactionId);
        ledger.held--;
        ledger.undone++;
      }),
    );
  }

  ledgerOf(transactionId: string): Ledger {
    let ledger = this.ledgers.get(transactionId);
    if (ledger === undefined) {
      ledger = { vote: 'none', held: 0, committed: 0, undone: 0 };
      this.ledgers.set(transactionId, ledger);
    }
    return ledger;
  }

  private call<T>(method: string, { transactionId }: Branch, work: () => Promise<T>): Promise<T> {
    const fault = this.faults[this.calls++] ?? 'none';
    return this.network.call(`${method} of ${transactionId} at ${this.name} (${fault})`, fault, work);
  }
}

/** A decision log at the other end of the network. A call that was lost cannot take effect any more. */
export class RemoteLog extends PartialLog {
  readonly records = new Set<string>();
  readonly ended = new Set<string>();
  private calls = 0;

  constructor(
    private readonly network: Network,
    private readonly faults: readonly Fault[],
  ) {
    super();
  }

  override end(id: string): void {
    this.ended.add(id);
  }

  append({ id }: CommitDecision): Promise<void> {
    return this.call('append', () => void this.records.add(id));
  }

  lookUp(id: string): Promise<'recorded' | 'absent'> {
    return this.call('look up', () => (this.records.has(id) ? 'recorded' : 'absent'));
  }

  private call<T>(label: string, work: () => T): Promise<T> {
    const fault = this.faults[this.calls++] ?? 'none';
    // An append that arrives after it was looked up would break the contract of a log.
    return this.network.call(`${label} (${fault})`, fault === 'repeated' ? 'none' : fault, work);
  }
}
