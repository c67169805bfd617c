import { LogBrokenError, RecordRefusedError } from '../log/log-errors.js';
import type { ProtocolEffects } from '../protocol/index.js';
import { READY, isAbort, patienceEnded, recordAbsent, recorded } from '../protocol/index.js';
import { backoffMs } from './backoff.js';
import type { ClaimedLog } from './claimed-log.js';
import type { Clock } from './clock.js';
import type { Deadlines } from './deadlines.js';
import { isInstanceOf } from '../gate/failure.js';
import { follow, settled } from '../gate/settled.js';
import { messageOf } from './incident.js';
import type { Observers } from './observers.js';
import type { TransactionRecord } from './transaction-record.js';
import type { TransactionRegistry } from './transaction-registry.js';

const INQUIRY_BASE_MS = 100;
const INQUIRY_CAP_MS = 10_000;
/** How long the log may take to answer before it is asked again. */
const ANSWER_WITHIN_MS = 10_000;

/**
 * Makes commit decisions durable before the first commit call leaves. When the log cannot say whether it took a
 * record, the decision is in doubt: neither commit nor abort until the log has been asked and has answered.
 */
export class DecisionRecorder {
  constructor(
    private readonly log: ClaimedLog,
    private readonly registry: TransactionRegistry,
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly deadlines: Deadlines,
    private readonly observers: Observers,
    private readonly effects: ProtocolEffects<TransactionRecord>,
  ) {}

  record(transaction: TransactionRecord): void {
    let appended: void | Promise<void>;
    try {
      appended = this.log.storage.append(transaction);
    } catch (error) {
      // It was refused, for what it holds: that says nothing about the next one.
      this.unknown(transaction, error);
      return;
    }
    if (appended === undefined) {
      recorded(transaction, this.effects);
      return;
    }
    // A log that does not answer at all is asked in a while, so that no transaction waits for it for ever.
    this.inquireIn(transaction, ANSWER_WITHIN_MS);
    follow(
      appended,
      () => this.appended(transaction),
      (error: unknown) => {
        // A record that cannot be kept says nothing about the next one.
        if (!(error instanceof RecordRefusedError)) this.log.failed(error);
        this.unknown(transaction, error);
      },
    );
  }

  private appended(transaction: TransactionRecord): void {
    this.log.works();
    if (isAbort(transaction.state)) {
      const error = new Error('the log has recorded a decision of which it had said that it never would');
      this.observers.defect(error, transaction.id);
    }
    recorded(transaction, this.effects);
  }

  /** Asks the log again when it is time. */
  examine(transaction: TransactionRecord, now: number): void {
    const inquiryAt = transaction.extras?.inquiryAt ?? 0;
    if (transaction.state !== READY || inquiryAt === 0 || inquiryAt > now) return;
    if (transaction.extras?.inquiries === 0) {
      this.log.failed(new Error(`it has not answered for ${ANSWER_WITHIN_MS} ms`));
    }
    void this.inquire(transaction);
  }

  /** Asks the log, at once the first time, since the loss of an acknowledgement is the likeliest cause. */
  private unknown(transaction: TransactionRecord, error: unknown): void {
    // Another inquiry has found it out meanwhile.
    if (transaction.state !== READY) return;
    const message = messageOf(error);
    const extras = transaction.needExtras();
    this.observers.recordUnknown(transaction, message);
    // Only a new start finds it out, and no caller has to wait for that.
    if (this.log.isBroken) patienceEnded(transaction, this.effects);
    if (extras.inquiries === 0) void this.inquire(transaction);
    else this.inquireLater(transaction);
  }

  private async inquire(transaction: TransactionRecord): Promise<void> {
    const extras = transaction.needExtras();
    extras.inquiries++;
    this.inquireIn(transaction, ANSWER_WITHIN_MS);
    const answer = await settled(() => this.log.storage.lookUp(transaction.id));
    if ('error' in answer) {
      if (isInstanceOf(answer.error, LogBrokenError)) this.log.failed(answer.error);
      this.unknown(transaction, answer.error);
      return;
    }
    const found = answer.value;
    if (found === 'recorded') recorded(transaction, this.effects);
    else if (found === 'absent') recordAbsent(transaction, this.effects);
    else if (found === 'fenced') this.fenced(transaction);
    else this.unknown(transaction, new Error('the log answered neither recorded, absent nor fenced'));
  }

  /**
   * Another coordinator has claimed the log, and decides. This one says nothing more of the transaction: it may have
   * been recorded before the claim. A late word of the log, that it was, is still believed.
   */
  private fenced(transaction: TransactionRecord): void {
    this.log.lose();
    if (transaction.state !== READY) return;
    transaction.needExtras().inquiryAt = 0;
    patienceEnded(transaction, this.effects);
    this.registry.setAside(transaction);
  }

  private inquireLater(transaction: TransactionRecord): void {
    const { inquiries } = transaction.needExtras();
    this.inquireIn(transaction, backoffMs(inquiries, INQUIRY_BASE_MS, INQUIRY_CAP_MS, this.random()));
  }

  private inquireIn(transaction: TransactionRecord, pauseMs: number): void {
    const inquiryAt = this.clock.now() + pauseMs;
    transaction.needExtras().inquiryAt = inquiryAt;
    this.deadlines.arm(transaction, inquiryAt);
  }
}
