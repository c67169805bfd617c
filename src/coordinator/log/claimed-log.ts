import type { DecisionLog, LogClaim } from './decision-log.js';
import { type SharedDecisionLog, isSharedLog } from './shared-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { textAt } from '../gate/failure.js';
import { messageOf } from '../gate/texts.js';

/**
 * The decision log as this coordinator has claimed it. It knows whether the claim still holds, and whether
 * the log takes records. If one of them is false, no new transaction starts, since it could only end in
 * doubt. Transactions under way go on.
 */
export class ClaimedLog {
  /** The log, when several members share it. */
  readonly shared: SharedDecisionLog | undefined;
  private currentRun: CoordinatorRun;
  /** Answers for {@link run}; the coordinator says how. */
  isUnsettled: (transactionId: string) => boolean = () => true;
  lowWaterMarks: NonNullable<CoordinatorRun['lowWaterMarks']> = () => [];
  /**
   * Until when no other member can have adopted the run, on the clock of the coordinator; the membership says
   * so.
   */
  ownUntil: () => number = () => Infinity;
  private lost = false;
  private broken = false;
  private behind = false;
  private currentProblem: string | undefined = undefined;
  private currentCode: string | undefined = undefined;

  constructor(
    readonly storage: DecisionLog,
    /** The name of the coordinator. */
    private readonly name: string,
    claim: LogClaim,
    private readonly onLost: () => void = () => {},
  ) {
    this.shared = isSharedLog(storage) ? storage : undefined;
    this.currentRun = this.runOf(claim);
  }

  /** The run that the log is claimed for. It is handed to participants, so nothing can change it. */
  get run(): CoordinatorRun {
    return this.currentRun;
  }

  /**
   * The log was claimed once more, for a later run of the same process, so the loss of the earlier claim no
   * longer counts.
   */
  claimedAgain(claim: LogClaim): void {
    this.currentRun = this.runOf(claim);
    this.lost = false;
    this.currentProblem = undefined;
  }

  private runOf({ logId, epoch, token, durable }: LogClaim): CoordinatorRun {
    const isShared = this.shared !== undefined && { isShared: true };
    const run: CoordinatorRun = { name: this.name, logId, epoch, token, durable, ...isShared };
    // Logs and comparisons of a run show its fields, and not its functions.
    Object.defineProperty(run, 'isUnsettled', { value: (id: string) => this.isUnsettled(id) });
    Object.defineProperty(run, 'lowWaterMarks', {
      value: () => (run === this.run ? this.lowWaterMarks() : []),
    });
    return Object.freeze(run);
  }

  get epoch(): number {
    return this.run.epoch;
  }

  /** Whether no record of an earlier epoch means that there was no decision. */
  get durable(): boolean {
    return this.run.durable;
  }

  /** Whether the log itself has given out an epoch together with a token. */
  readonly isOwnRun = async (epoch: number, token: string): Promise<boolean> =>
    this.storage.isOwnRun(epoch, token);

  /** Whether another coordinator has claimed the log, and decides now. */
  get isLost(): boolean {
    return this.lost;
  }

  /** Why the log takes no records, in words; undefined while it does. */
  get problem(): string | undefined {
    return this.currentProblem;
  }

  /** The code of {@link problem}, if its error has one. */
  get problemCode(): string | undefined {
    return this.currentProblem === undefined ? undefined : this.currentCode;
  }

  /**
   * Whether no other member can have adopted the run by this moment. False says only that one may have: the
   * log knows.
   *
   * @param now on the clock of the coordinator.
   */
  isSurelyOwn(now: number): boolean {
    return this.shared === undefined || (!this.lost && now < this.ownUntil());
  }

  lose(): void {
    if (this.lost) return;
    this.lost = true;
    this.onLost();
  }

  /** Whether only a new start can find out what the log holds. */
  get isBroken(): boolean {
    return this.broken;
  }

  /** Whether the log has lost something that it had acknowledged to this process: a person has to look. */
  get isBehind(): boolean {
    return this.behind;
  }

  /**
   * @param run the run for which the log was asked. That an earlier run of this process has ended says
   * nothing of the present one.
   */
  failed(error: unknown, run = this.run): void {
    const code = textAt(error, 'code');
    const isBehind = code === 'DTC_LOG_BEHIND';
    this.behind ||= isBehind;
    // A log that is behind takes nothing more of the run either.
    const hasEnded = code === 'DTC_FENCED' || isBehind;
    if (hasEnded && run !== this.run) return;
    // Later errors of a broken log do not name the cause.
    if (!this.broken || hasEnded) {
      this.currentProblem = messageOf(error);
      this.currentCode = code;
    }
    this.broken ||= code === 'DTC_LOG_BROKEN';
    if (hasEnded) this.lose();
  }

  /**
   * The log took a record, or answered that it takes records, so an earlier problem is over. A broken log
   * stays broken until a new start, although it still acknowledges earlier writes.
   */
  succeeded(): void {
    if (!this.broken) this.currentProblem = undefined;
  }
}
