import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import type { TransactionManager, TransactionPage, TransactionSummary } from '../coordinator/index.js';
import { ONE_PHASE_NAME, TWO_PHASE_NAME } from './addresses.js';
import type { ParticipantCalls } from './participant-calls.js';
import { participantInReport } from './rest-at-participant.js';

const MAX_TRIES = 20;
const MAX_PAUSE_MS = 60_000;
const MAX_OWED = 10_000;
const TIMEOUT_MS = 2_000;

interface Owed {
  readonly url: string;
  tries: number;
  /** On a monotonic clock, in milliseconds. */
  dueAt: number;
}

/**
 * Tells participants that have ended by themselves to forget it, once nothing is left to do about it: their
 * reports agree with the decision, or an operator has forgotten them. After a restart they are found by the
 * reports, which name them.
 */
export class ForgottenReports {
  private readonly logger = new SafeLogger('RestAtModule');
  /** The URLs of the participants that have reported, by transaction. */
  private readonly watched = new Map<string, Set<string>>();
  private owed: Owed[] = [];

  /** @param intervalMs the shortest pause before a participant is told again. */
  constructor(
    private readonly transactions: TransactionManager,
    private readonly calls: ParticipantCalls,
    private readonly intervalMs: number,
  ) {}

  /** A participant has ended by itself. */
  watch(transactionId: string, url: string): void {
    this.watched.set(transactionId, (this.watched.get(transactionId) ?? new Set()).add(url));
  }

  /**
   * Looks for reports that are over, and tells their participants.
   *
   * @param now on a monotonic clock, in milliseconds.
   * @returns a promise that never rejects.
   */
  async look(now: number): Promise<void> {
    this.findReported();
    for (const [transactionId, urls] of this.watched) {
      const view = this.transactions.find(transactionId);
      if (view !== undefined && (view.endedAt === null || view.heuristic !== null)) continue;
      this.watched.delete(transactionId);
      // A transaction with a report stays in memory until that is forgotten. So nothing is left of one that
      // is gone.
      this.owed.push(...[...urls].map((url) => ({ url, tries: 0, dueAt: now })));
    }
    this.owed = this.owed.slice(-MAX_OWED);
    const due = this.owed.filter(({ dueAt }) => dueAt <= now);
    const told = new Set(await Promise.all(due.map((owed) => this.tell(owed, now))));
    this.owed = this.owed.filter((owed) => !told.has(owed));
  }

  /** The reports that earlier runs, and other members, have left. */
  private findReported(): void {
    for (const participant of [ONE_PHASE_NAME, TWO_PHASE_NAME]) {
      let cursor: string | null = null;
      do {
        const page: TransactionPage = this.transactions.page({
          heuristic: true,
          participant,
          limit: 1_000,
          ...(cursor !== null && { cursor }),
        });
        for (const transaction of page.transactions) {
          for (const url of reporters(transaction)) this.watch(transaction.transactionId, url);
        }
        cursor = page.nextCursor;
      } while (cursor !== null);
    }
  }

  /** @returns the reports that are no longer due. */
  private async tell(owed: Owed, now: number): Promise<Owed | undefined> {
    const { url } = owed;
    owed.tries++;
    try {
      const { code } = await this.calls.send({
        lane: 'completion',
        method: 'DELETE',
        url,
        timeLeftMs: TIMEOUT_MS,
      });
      if (code === 200 || code === 204) return owed;
    } catch {
      // It is told again, as after any other answer.
    }
    owed.dueAt = now + Math.min(MAX_PAUSE_MS, this.intervalMs * 2 ** owed.tries);
    if (owed.tries < MAX_TRIES) return undefined;
    this.logger.warn(
      `${url} has not taken ${MAX_TRIES} requests to forget how it has ended, so it keeps that: remove it there by hand.`,
    );
    return owed;
  }
}

function reporters({ branches }: TransactionSummary): string[] {
  return branches.flatMap(({ participant, heuristic }) => {
    const isOurs = participant === ONE_PHASE_NAME || participant === TWO_PHASE_NAME;
    const url = isOurs && heuristic !== null ? participantInReport(heuristic.reason) : undefined;
    return url === undefined ? [] : [url];
  });
}
