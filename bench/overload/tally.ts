import { type Outcome, ParticipantSilentError, ServerBusyError } from '../../src/coordinator/index.js';

/** What becomes of the transactions of one measurement. */
export class Tally {
  committed = 0;
  pending = 0;
  /** How long each caller that was refused waited for that. */
  readonly refusalsMs: number[] = [];
  private committedInTime = 0;
  private readonly begunAt = performance.now();

  /**
   * Transactions arrive in both.
   *
   * @param warmUpMs for how long what is committed does not count yet.
   * @param windowMs for how long it counts after that.
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
   * @returns whether it was refused before anything started: for lack of room, or because a participant is silent.
   * @throws what is neither an outcome nor such a refusal.
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
