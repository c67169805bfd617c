import { type Outcome, ParticipantSilentError, ServerBusyError } from '../../src/coordinator/index.js';

/** Counts the outcomes of the transactions of one measurement. */
export class Tally {
  committed = 0;
  pending = 0;
  /** How long each refused caller waited for its refusal. */
  readonly refusalsMs: number[] = [];
  private committedInTime = 0;
  private readonly begunAt = performance.now();

  /**
   * Transactions arrive during both times.
   *
   * @param warmUpMs for how long commits do not count yet.
   * @param windowMs for how long they count after that.
   */
  constructor(
    private readonly warmUpMs: number,
    private readonly windowMs: number,
  ) {}

  get elapsedMs(): number {
    return performance.now() - this.begunAt;
  }

  get isOpen(): boolean {
    return this.elapsedMs < this.warmUpMs + this.windowMs;
  }

  /** Transactions committed a second. */
  get goodput(): number {
    return (this.committedInTime / this.windowMs) * 1_000;
  }

  /**
   * @returns whether the error is a refusal before the start: for lack of room, or because a participant is
   * silent.
   * @throws any other error.
   */
  async count(running: Promise<Outcome>): Promise<boolean> {
    const begunAt = performance.now();
    try {
      const { status } = await running;
      if (status === 'committed') {
        this.committed++;
        if (this.isOpen && this.elapsedMs >= this.warmUpMs) this.committedInTime++;
      } else if (status !== 'aborted') this.pending++;
      return false;
    } catch (error) {
      if (!(error instanceof ServerBusyError || error instanceof ParticipantSilentError)) throw error;
      this.refusalsMs.push(performance.now() - begunAt);
      return true;
    }
  }
}
