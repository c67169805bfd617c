import type {
  CommitDecision,
  CommitRecord,
  DecisionLog,
  HeuristicRecord,
  LogClaim,
} from '../../src/coordinator/index.js';
import type { LogStorage } from './log-storage.js';
import type { CoordinatorProcess } from './process.js';
import type { World } from './world.js';
import { LOG_ID } from '../support/identity.js';

const MAX_LATENCY_MS = 10;
const MAX_OPENING_MS = 500;
/** What a crash, or a loss, leaves of a call: it is never answered. One that all calls share would keep every world in memory. */
function never(): Promise<never> {
  return new Promise(() => {});
}

/** Beyond the time after which a coordinator asks its log again. */
const MAX_LATENESS_MS = 15_000;

/** The decision log of one coordinator process: storage at the other end of a connection that fails in every way. */
export class SimulatedLog implements DecisionLog {
  private epoch = 0;
  private fence = 0;

  constructor(
    private readonly storage: LogStorage,
    private readonly process: CoordinatorProcess,
    private readonly world: World,
  ) {}

  /** First claims, then reads; in between, others may try to write. */
  async open(): Promise<LogClaim> {
    await this.roundTrip();
    if (this.world.faults.strikes('log cannot be opened')) throw new Error('the log cannot be opened');
    const { epoch, token, fence } = this.storage.claim();
    this.epoch = epoch;
    this.fence = fence;
    this.say(`is claimed with epoch ${epoch}`);
    await this.roundTrip();
    const { records, reports } = this.storage;
    return {
      logId: LOG_ID,
      epoch,
      token,
      durable: true,
      decisions: [...records.values()],
      reports: Array.from(reports.values(), (ofOne) => Array.from(ofOne.values())).flat(),
      audits: [],
    };
  }

  isOwnRun(epoch: number, token: string): boolean {
    return this.storage.isOwnRun(epoch, token);
  }

  append(decision: CommitDecision): void | Promise<void> {
    const { faults, random, settings } = this.world;
    const record = decision.toRecord();
    const { fence } = this;
    this.process.mayFail();
    if (!this.process.isAlive) return never();
    if (faults.strikes('append fails before the write')) return this.failing(random.chance(0.5));
    if (faults.strikes('append fails after the write')) {
      const atOnce = random.chance(0.5);
      if (atOnce) this.tryToWrite(record, fence);
      else this.world.queue.after(this.latencyMs(), () => this.tryToWrite(record, fence));
      return this.failing(atOnce);
    }
    if (faults.strikes('append lands after its failure')) {
      this.world.queue.after(this.latenessMs(), () => this.tryToWrite(record, fence));
      return this.failing(random.chance(0.5));
    }
    if (faults.strikes('write torn by a crash')) return this.tear();
    if (faults.strikes('acknowledgement of an append lost')) {
      this.world.queue.after(this.latencyMs(), () => this.tryToWrite(record, fence));
      return never();
    }
    if (settings.logIsImmediate) {
      this.storage.write(record, this.epoch, fence);
      this.process.mayFail();
      return undefined;
    }
    const isLate = faults.strikes('append lands late');
    return this.remote(isLate ? this.latenessMs() : this.latencyMs(), () => {
      if (this.isTorn()) return;
      this.storage.write(record, this.epoch, fence);
      this.say(`has the decision of ${record.id}`);
      this.process.mayFail();
    });
  }

  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    const { faults, random } = this.world;
    const ask = (): 'recorded' | 'absent' | 'fenced' => {
      const { found, fence } = this.storage.lookUp(transactionId, this.epoch);
      this.fence = Math.max(this.fence, fence);
      this.say(`is asked for ${transactionId}: ${found}`);
      return found;
    };
    if (!this.process.isAlive) return never();
    // Whether the question took effect is as uncertain as that of a write.
    const isHeard = random.chance(0.5);
    if (faults.strikes('look-up fails')) {
      if (isHeard) this.world.queue.after(this.latencyMs(), () => void ask());
      return this.failing(false);
    }
    if (faults.strikes('look-up is never answered')) {
      if (isHeard) this.world.queue.after(this.latencyMs(), () => void ask());
      return never();
    }
    return this.remote(this.latencyMs(), ask);
  }

  progress(decision: CommitDecision): void | Promise<void> {
    const record = decision.toRecord();
    return this.note(() => this.storage.progress(record, this.epoch));
  }

  end(transactionId: string): void | Promise<void> {
    if (this.process.isAlive) this.storage.released.add(transactionId);
    return this.note(() => this.storage.end(transactionId, this.epoch));
  }

  report(report: HeuristicRecord): void | Promise<void> {
    return this.note(() => this.storage.report(report, this.epoch));
  }

  forget(transactionId: string): void | Promise<void> {
    return this.note(() => this.storage.forget(transactionId, this.epoch));
  }

  /** No operator acts in a simulated world. */
  audit(): void {}

  check(): Promise<void> {
    if (!this.process.isAlive) return never();
    if (this.world.faults.strikes('log cannot be checked')) return this.failing(false);
    return this.remote(this.latencyMs(), () => this.storage.check(this.epoch));
  }

  close(): void {}

  /** Writes what may get lost. */
  private note(write: () => void): void | Promise<void> {
    const { faults, queue } = this.world;
    if (!this.process.isAlive || faults.strikes('note in the log lost')) return undefined;
    if (!faults.strikes('note in the log fails after the write')) {
      return this.remote(this.latencyMs(), () => {
        if (!this.isTorn()) write();
      });
    }
    queue.after(this.latencyMs(), () => {
      if (this.storage.epoch === this.epoch) write();
    });
    return this.failing(true);
  }

  /** What was being written when its process ended may be half there: by its checksum, it is not there. */
  private isTorn(): boolean {
    return !this.process.isAlive && this.world.random.chance(0.5);
  }

  /** The process ends while the decision is being written, and with it whatever else is. */
  private tear(): Promise<never> {
    this.world.queue.after(this.latencyMs(), () => this.world.crashCoordinator(this.process));
    return never();
  }

  /** Fails by a throw, or later by a rejection. */
  private failing(atOnce: boolean): Promise<never> {
    const error = new Error('the log cannot be reached');
    if (atOnce) throw error;
    return this.remote(this.latencyMs(), () => {
      throw error;
    });
  }

  /** A write whose answer nobody gets. */
  private tryToWrite(record: CommitRecord, fence: number): void {
    if (this.storage.accepts(this.epoch, fence)) {
      this.storage.write(record, this.epoch, fence);
      this.say(`has the decision of ${record.id}, which nobody is told`);
    }
  }

  /** Does something at the other end, and brings back what came of it. */
  private remote<T>(latencyMs: number, work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.world.queue.after(latencyMs, () => {
      try {
        const result = work();
        this.process.after(this.latencyMs(), () => resolve(result));
      } catch (error) {
        this.process.after(this.latencyMs(), () => reject(error));
      }
    });
    return promise;
  }

  private roundTrip(): Promise<void> {
    const { random } = this.world;
    const latencyMs = random.chance(0.3) ? random.next() * MAX_OPENING_MS : this.latencyMs();
    return new Promise((resolve) => this.process.after(latencyMs, resolve));
  }

  private latencyMs(): number {
    return this.world.random.next() * MAX_LATENCY_MS;
  }

  private latenessMs(): number {
    return this.world.random.next() * MAX_LATENESS_MS;
  }

  private say(what: string): void {
    this.world.say(`${this.process.label} log`, what);
  }
}
