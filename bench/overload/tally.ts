import { type Outcome, ServerBusyError } from '../../src/coordinator/index.js';
import { round } from '../framework/statistics.js';

/** What becomes of the transactions of one measurement. */
export class Tally {
  committed = 0;
  pending = 0;
  private committedInTime = 0;
  private readonly refusalsMs: number[] = [];
  private readonly begunAt = performance.now();

  /** @param windowMs for how long transactions begin, and what is committed counts. */
  constructor(private readonly windowMs: number) {}

  get elapsedMs(): number {
    return performance.now() - this.begunAt;
  }

  get isOpen(): boolean {
    return this.elapsedMs < this.windowMs;
  }

  /** Transactions committed a second. */
  get goodput(): number {
    return (this.committedInTime / this.windowMs) * 1_000;
  }

  get refused(): number {
    return this.refusalsMs.length;
  }

  get refusalMsP99(): number | null {
    if (this.refusalsMs.length === 0) return null;
    const sorted = this.refusalsMs.toSorted((a, b) => a - b);
    return round(sorted[Math.floor(sorted.length * 0.99)]!, 1);
  }

  /** @throws what is neither an outcome nor a refusal for want of room. */
  async count(running: Promise<Outcome>): Promise<void> {
    const begunAt = performance.now();
    try {
      const { status } = await running;
      if (status === 'committed') {
        this.committed++;
        if (this.isOpen) this.committedInTime++;
      } else if (status !== 'aborted') this.pending++;
    } catch (error) {
      if (!(error instanceof ServerBusyError)) throw error;
      this.refusalsMs.push(performance.now() - begunAt);
    }
  }
}
