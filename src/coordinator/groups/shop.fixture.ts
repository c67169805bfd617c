import type { CommitRecord, DecisionLog, LogClaim } from '../log/decision-log.js';
import type { Outcome } from '../outcome.js';
import {
  type TestCoordinator,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../testing/index.js';
import type { TransactionRequest } from '../participant/transaction-request.js';
import { branch } from '../participant/branch-request.js';
import { LOG_ID } from '../../../test/support/identity.js';
import { Stock, type Take } from './stock.fixture.js';

/** A log in memory that a test can look at, and that can fail. */
export class OpenLog implements DecisionLog {
  readonly appended: CommitRecord[] = [];
  readonly ended: string[] = [];
  readonly records = new Map<string, CommitRecord>();
  /** Is called before a record is kept. The log awaits its result. */
  before: (record: CommitRecord) => unknown = () => {};
  epoch = 0;

  open(): LogClaim {
    this.epoch++;
    const decisions = [...this.records.values()];
    return {
      logId: LOG_ID,
      epoch: this.epoch,
      token: 'token',
      durable: true,
      decisions,
      reports: [],
      audits: [],
    };
  }

  isOwnRun(): boolean {
    return true;
  }

  async append(decision: { toRecord(): CommitRecord }): Promise<void> {
    const record = decision.toRecord();
    await this.before(record);
    this.appended.push(record);
    this.records.set(record.id, record);
  }

  async lookUp(id: string): Promise<'recorded' | 'absent'> {
    return this.records.has(id) ? 'recorded' : 'absent';
  }

  progress(decision: { readonly id: string; toRecord(): CommitRecord }): void {
    if (this.records.has(decision.id)) this.records.set(decision.id, decision.toRecord());
  }

  end(id: string): void {
    this.ended.push(id);
    this.records.delete(id);
  }

  report(): void {}
  forget(): void {}
  audit(): void {}

  async check(): Promise<void> {}

  close(): void {}
}

/** A coordinator with stocks that take part in groups. */
export class Shop {
  readonly coordinator: TestCoordinator;

  constructor(
    readonly stocks: Readonly<Record<string, Stock>>,
    readonly log = new OpenLog(),
    options: TestCoordinatorOptions = {},
  ) {
    this.coordinator = createTestCoordinator({ participants: { ...stocks }, log, ...options });
  }

  /** Starts a transaction with the same payload at every stock, or one for each. */
  run(take: Take | Readonly<Record<string, Take>>, rest: Partial<TransactionRequest> = {}): Promise<Outcome> {
    const payloadOf = (name: string): Take =>
      (take as Readonly<Record<string, Take>>)[name] ?? (isByStock(take, this.stocks) ? {} : take);
    const branches = Object.keys(this.stocks).map((name) => branch(name, payloadOf(name)));
    return this.coordinator.transactions.run({ branches, ...rest });
  }

  /**
   * Lets transactions start while another one occupies the stocks, so that they become one group.
   *
   * @param blocker the transaction that occupies them.
   */
  async behind(
    start: () => readonly Promise<Outcome>[],
    blocker: Take = { take: { blocker: -1 } },
  ): Promise<Outcome[]> {
    const [stock] = Object.values(this.stocks);
    const { before } = stock!;
    const gate = Promise.withResolvers<void>();
    stock!.before = (call) => (call.step === 'prepare' ? gate.promise : undefined);
    const first = this.run(blocker);
    await turns(5);
    stock!.before = before;
    const outcomes = start();
    gate.resolve();
    await first;
    return Promise.all(outcomes);
  }
}

/** Lets everything happen that can without the clock. */
export async function turns(count = 30): Promise<void> {
  for (let turn = 0; turn < count; turn++) await settled();
}

function isByStock(take: object, stocks: object): boolean {
  return Object.keys(take).some((name) => name in stocks);
}
