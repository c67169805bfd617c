import { type Branch, HeuristicError, type Vote, isRefusal, refuse } from '../participant/participant.js';
import type { GuardStore } from './guard-store.js';

type Awaitable<T> = T | PromiseLike<T>;

/** A prepare at work, and what to do when a rollback has overtaken it. */
interface PrepareAtWork {
  readonly answer: Promise<Vote>;
  undo: (() => Awaitable<void>) | undefined;
}

/**
 * Thrown when a prepare is repeated whose first call did not say how it ended.
 *
 * @publicApi
 */
export class GuardConflictError extends Error {
  readonly code = 'DTC_GUARD_CONFLICT';

  constructor(key: string, why: string) {
    super(`The branch ${key} cannot be prepared again: ${why}. It waits for its rollback.`);
    this.name = 'GuardConflictError';
  }
}

/**
 * Gives a participant what delivery at least once asks of it: a repeated call answers as the first one did and does
 * nothing, a rollback of a branch that never prepared does nothing but is remembered, and a prepare that comes after
 * its rollback is refused. The participant's own methods then need no such care.
 *
 * @example
 * ```ts
 * prepare(branch: Branch<Reservation>) {
 *   return this.guard.prepare(branch, () => this.stock.reserve(branch.branchId, branch.payload));
 * }
 * ```
 * @publicApi
 */
export class ParticipantGuard {
  private readonly preparing = new Map<string, PrepareAtWork>();
  private readonly completing = new Map<string, Promise<void>>();

  constructor(private readonly store: GuardStore) {}

  /**
   * Runs `work` once for the branch, unless it was rolled back before.
   *
   * @param work does the participant's work and votes.
   * @returns the vote; of a repeated call the first one's; a refusal with the code `ROLLED_BACK` after a rollback.
   * @throws what `work` throws; GuardConflictError when an earlier call did not end with a vote.
   */
  async prepare(branch: Branch, work: () => Awaitable<Vote>): Promise<Vote> {
    const key = keyOf(branch);
    const atWork = this.preparing.get(key);
    if (atWork !== undefined) return atWork.answer;
    const { promise, resolve } = Promise.withResolvers<Vote>();
    const entry: PrepareAtWork = { answer: promise, undo: undefined };
    this.preparing.set(key, entry);
    resolve(this.prepareOnce(key, entry, work).finally(() => this.preparing.delete(key)));
    return promise;
  }

  /**
   * Runs `work` for a branch that voted commit, until it has succeeded once.
   *
   * @throws what `work` throws; HeuristicError when the branch is rolled back, or is not known here at all.
   */
  commit(branch: Branch, work: () => Awaitable<void>): Promise<void> {
    const key = keyOf(branch);
    return this.once(key, async () => {
      const record = await this.store.get(key);
      if (record?.state === 'committed') return;
      if (record?.state === 'voted' && record.vote === 'commit') {
        await work();
        await this.store.put(key, { state: 'committed' });
        return;
      }
      if (record?.state === 'rolled-back') {
        throw new HeuristicError('rollback', `the branch ${key} was told to commit, but it is rolled back`);
      }
      throw new HeuristicError('hazard', `the branch ${key} was told to commit, but it is not prepared here`);
    });
  }

  /**
   * Runs `undo` for a branch that prepared, until it has succeeded once. When the prepare is at work still, `undo`
   * runs as soon as it is done, and the vote is a refusal.
   *
   * @throws what `undo` throws; HeuristicError when the branch is committed.
   */
  rollback(branch: Branch, undo: () => Awaitable<void>): Promise<void> {
    const key = keyOf(branch);
    return this.once(key, async () => {
      const existing = await this.store.insert(key, { state: 'rolled-back' });
      if (existing === undefined || existing.state === 'rolled-back') return;
      if (existing.state === 'committed') {
        throw new HeuristicError('commit', `the branch ${key} was told to roll back, but it is committed`);
      }
      const atWork = this.preparing.get(key);
      if (atWork !== undefined) atWork.undo = undo;
      else if (existing.state !== 'voted' || existing.vote === 'commit') await undo();
      await this.store.put(key, { state: 'rolled-back' });
    });
  }

  private async prepareOnce(key: string, entry: PrepareAtWork, work: () => Awaitable<Vote>): Promise<Vote> {
    const existing = await this.store.insert(key, { state: 'preparing' });
    switch (existing?.state) {
      case 'voted':
        return existing.vote;
      case 'committed':
        return 'commit';
      case 'rolled-back':
        return refuse('ROLLED_BACK', 'this branch was rolled back before it was asked to prepare');
      case 'preparing':
        throw new GuardConflictError(key, 'an earlier call did not come to its end');
      case 'failed':
        throw new GuardConflictError(key, `an earlier call failed (${existing.message})`);
      case undefined:
        return this.firstPrepare(key, entry, work);
    }
  }

  private async firstPrepare(key: string, entry: PrepareAtWork, work: () => Awaitable<Vote>): Promise<Vote> {
    try {
      const vote = await work();
      if (entry.undo === undefined) {
        await this.store.put(key, { state: 'voted', vote });
        return vote;
      }
      if (!isRefusal(vote)) await this.undoOvertaken(key, entry.undo);
      return refuse('ROLLED_BACK', 'this branch was rolled back while it prepared');
    } catch (error) {
      if (entry.undo === undefined) {
        await this.store.put(key, {
          state: 'failed',
          message: error instanceof Error ? error.message : String(error),
        });
      } else {
        await this.undoOvertaken(key, entry.undo);
      }
      throw error;
    }
  }

  /** What a rollback could not undo while the prepare was at work. Should it fail, the next rollback does it. */
  private async undoOvertaken(key: string, undo: () => Awaitable<void>): Promise<void> {
    try {
      await undo();
    } catch (error) {
      await this.store.put(key, {
        state: 'failed',
        message: 'rolled back while it prepared, and the undo failed',
      });
      throw error;
    }
  }

  /** A completion that is repeated while it is at work joins the one at work. */
  private once(key: string, work: () => Promise<void>): Promise<void> {
    const atWork = this.completing.get(key);
    if (atWork !== undefined) return atWork;
    const running = work().finally(() => this.completing.delete(key));
    this.completing.set(key, running);
    return running;
  }
}

function keyOf({ transactionId, branchId }: Branch): string {
  return `${transactionId}/${branchId}`;
}
