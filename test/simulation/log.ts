import {
  type CommitDecision,
  type CommitRecord,
  type DecisionLog,
  type HeuristicRecord,
  LogBrokenError,
  type LogClaim,
  RecordRefusedError,
} from '../../src/coordinator/index.js';
import type { LogStorage } from './log-storage.js';
import type { LoneProcess } from './lone-process.js';
import type { LoneWorld } from './lone-world.js';
import { LOG_ID } from '../support/identity.js';

const MAX_LATENCY_MS = 10;
const MAX_OPENING_MS = 500;
const REFUSAL = 'it is too large';
/** What a crash, or a loss, leaves of a call: it is never answered. One that all calls share would keep every world in memory. */
function never(): Promise<never> {
  return new Promise(() => {});
}

/** How soon a process whose log is broken is restarted at the latest: its liveness is red. */
const RESTARTED_WITHIN_MS = 5_000;
/** Beyond the time after which a coordinator asks its log again. */
const MAX_LATENESS_MS = 15_000;

/** The decision log of one coordinator process: storage at the other end of a connection that fails in every way. */
export class SimulatedLog implements DecisionLog {
  private epoch = 0;
  private fence = 0;
  /** After an error of the disk nothing more is written or read, until a new process opens the log. */
  private broken: LogBrokenError | undefined;

  constructor(
    private readonly storage: LogStorage,
    private readonly process: LoneProcess,
    private readonly world: LoneWorld,
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
    this.world.judge.sentToLog(record.id, this.world.queue.now);
    this.process.mayFail();
    if (!this.process.isAlive) return never();
    if (this.broken !== undefined) return this.isBroken(this.broken, record.id);
    if (faults.strikes('log refuses a record')) return this.refuse(record.id);
    if (faults.strikes('log breaks')) return this.break(record, fence);
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
      if (this.broken !== undefined) {
        // It was in the same flush as the one that failed.
        if (this.storage.accepts(this.epoch, fence)) this.process.undecidable.add(record.id);
        if (random.chance(0.5)) this.tryToWrite(record, fence);
        throw this.broken;
      }
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
    if (this.broken !== undefined) return this.isBroken(this.broken);
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

  /** @param isPromised whether it is durable when it is acknowledged. */
  progress(decision: CommitDecision, isPromised = false): void | Promise<void> {
    const record = decision.toRecord();
    return this.note(() => this.storage.progress(record, this.epoch), isPromised);
  }

  end(transactionId: string): void | Promise<void> {
    if (this.process.isAlive) this.storage.released.add(transactionId);
    return this.note(() => this.storage.end(transactionId, this.epoch));
  }

  report(report: HeuristicRecord): void | Promise<void> {
    return this.note(() => this.storage.report(report, this.epoch));
  }

  forget(transactionId: string, branchId?: string): void | Promise<void> {
    return this.note(() => this.storage.forget(transactionId, this.epoch, branchId));
  }

  /** No operator acts in a simulated world. */
  audit(): void {}

  check(): Promise<void> {
    if (!this.process.isAlive) return never();
    if (this.broken !== undefined) return this.isBroken(this.broken);
    if (this.world.faults.strikes('log cannot be checked')) return this.failing(false);
    return this.remote(this.latencyMs(), () => this.storage.check(this.epoch));
  }

  close(): void {}

  /** Writes what may get lost. */
  private note(write: () => void, isPromised = false): void | Promise<void> {
    const { faults, queue } = this.world;
    if (this.process.isAlive && this.broken !== undefined) return this.isBroken(this.broken);
    if (!this.process.isAlive) return isPromised ? never() : undefined;
    if (faults.strikes('note in the log lost')) return isPromised ? this.failing(false) : undefined;
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

  /** A record that was being written when its process ended may be there in part. Its checksum is then wrong, so it does not count. */
  private isTorn(): boolean {
    return !this.process.isAlive && this.world.random.chance(0.5);
  }

  /** The process ends while the decision is being written, and with it whatever else is. */
  private tear(): Promise<never> {
    this.world.queue.after(this.latencyMs(), () => this.world.crashCoordinator(this.process));
    return never();
  }

  /** One record cannot be kept, for what it holds. That says nothing about the next one. */
  private refuse(id: string): Promise<never> {
    const { judge, random } = this.world;
    judge.refused(id);
    this.say(`refuses the record of ${id}`);
    // Once the coordinator has heard of it.
    this.process.after(2 * MAX_LATENCY_MS + 1, () => {
      if (this.process.runtime?.log.problem?.includes(REFUSAL) === true)
        judge.violate(`${id}: its record was refused, and no other transaction is begun for that`);
    });
    return this.failing(random.chance(0.5), new RecordRefusedError(id, REFUSAL));
  }

  /** A flush fails, so that it is not known whether the record is there (M3). */
  private break(record: CommitRecord, fence: number): Promise<never> {
    const { queue, random } = this.world;
    this.broken = new LogBrokenError('the disk has failed');
    this.process.isLogBroken = true;
    this.say('is broken');
    if (random.chance(0.5)) queue.after(this.latencyMs(), () => this.tryToWrite(record, fence));
    queue.after(this.world.untilNoticed(RESTARTED_WITHIN_MS), () =>
      this.world.crashCoordinator(this.process),
    );
    return this.isBroken(this.broken, record.id);
  }

  /** @param undecidable the transaction whose record is asked for: nothing can be decided of it before the next start. */
  private isBroken(error: LogBrokenError, undecidable?: string): Promise<never> {
    if (undecidable !== undefined) this.process.undecidable.add(undecidable);
    return this.failing(false, error);
  }

  /** Fails by a throw, or later by a rejection. */
  private failing(atOnce: boolean, error = new Error('the log cannot be reached')): Promise<never> {
    if (atOnce) throw error;
    return this.remote(this.latencyMs(), () => {
      throw error;
    });
  }

  /** A write whose answer is lost. */
  private tryToWrite(record: CommitRecord, fence: number): void {
    if (this.storage.accepts(this.epoch, fence)) {
      this.storage.write(record, this.epoch, fence);
      this.say(`has the decision of ${record.id}, which no caller is told`);
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
