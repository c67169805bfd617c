import type { DecisionLog, LogClaim } from './decision-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { textAt } from '../gate/failure.js';
import { messageOf } from '../gate/texts.js';

/**
 * The decision log as this coordinator has claimed it: whether the claim still holds, and whether the log takes records.
 * While either is not so nothing new is started, since it could only end in doubt; what is under way goes on.
 */
export class ClaimedLog {
  /** The run that the log was claimed for. It is handed to participants, so nothing can change it. */
  readonly run: CoordinatorRun;
  /** Answers for {@link run}; the coordinator says how. */
  isUnsettled: (transactionId: string) => boolean = () => true;
  private lost = false;
  private broken = false;
  private currentProblem: string | undefined = undefined;

  constructor(
    readonly storage: DecisionLog,
    /** The name of the coordinator. */
    name: string,
    { logId, epoch, token, durable }: LogClaim,
    private readonly onLost: () => void = () => {},
  ) {
    const run: CoordinatorRun = { name, logId, epoch, token, durable };
    // What is logged or compared of a run is what it is, and not what it can be asked.
    Object.defineProperty(run, 'isUnsettled', { value: (id: string) => this.isUnsettled(id) });
    this.run = Object.freeze(run);
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

  lose(): void {
    if (this.lost) return;
    this.lost = true;
    this.onLost();
  }

  /** Whether only a new start can find out what the log holds. */
  get isBroken(): boolean {
    return this.broken;
  }

  failed(error: unknown): void {
    this.currentProblem = messageOf(error);
    const code = textAt(error, 'code');
    this.broken ||= code === 'DTC_LOG_BROKEN';
    if (code === 'DTC_FENCED') this.lose();
  }

  /** It took a record, or answered that it does: what was wrong is over. */
  succeeded(): void {
    this.currentProblem = undefined;
  }
}
