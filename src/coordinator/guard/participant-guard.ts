import { type Branch, HeuristicError, type Vote, branchKey, refuse } from '../participant/participant.js';
import { type GuardRecord, type GuardStore, isOver } from './guard-store.js';

type Awaitable<T> = T | PromiseLike<T>;

type Undo = () => Awaitable<void>;

/** The work of a prepare that goes on. */
interface WorkUnderWay {
  /** What is to be done when it ends, since a rollback has overtaken it. */
  undo: Undo | undefined;
  /** Resolves when that is done. */
  readonly undone: PromiseWithResolvers<void>;
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
 * its rollback is refused. The participant's own methods then need no such care, but their work must come to an end:
 * when `branch.signal` is aborted at the latest, because nothing else is done for the branch while it is at work. A
 * rollback that overtakes a prepare waits for it, and is acknowledged only when its work is undone.
 *
 * @example
 * ```ts
 * prepare(branch: Branch<Reservation>) {
 *   return this.guard.prepare(branch, () =>
 *     this.stock.reserve(branchKey(branch), branch.payload) ? 'commit' : refuse('OUT_OF_STOCK', 'not enough left'),
 *   );
 * }
 * ```
 * @publicApi
 */
export class ParticipantGuard {
  /** The answers to come, which repeats of a prepare join. */
  private readonly answers = new Map<string, Promise<Vote>>();
  private readonly atWork = new Map<string, WorkUnderWay>();
  /** Completions under way, which repeats join: one that hangs is not queued behind again and again. */
  private readonly completions = new Map<string, Promise<void>>();
  /** For each branch the last of the steps that are under way. */
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(private readonly store: GuardStore) {}

  /**
   * Runs `work` once for the branch, unless it was rolled back before.
   *
   * @param work does the participant's work and votes.
   * @returns the vote; of a repeated call the first one's; a refusal with the code `ROLLED_BACK` after a rollback.
   * @throws what `work` throws; GuardConflictError when an earlier call did not end with a vote.
   */
  prepare(branch: Branch, work: () => Awaitable<Vote>): Promise<Vote> {
    const key = branchKey(branch);
    const expected = this.answers.get(key);
    if (expected !== undefined) return expected;
    const answer = this.prepareOnce(key, work).finally(() => this.answers.delete(key));
    this.answers.set(key, answer);
    return answer;
  }

  /**
   * Runs `work` for a branch that voted commit, until it has succeeded once.
   *
   * @throws what `work` throws; HeuristicError when the branch is rolled back, or is not known here at all.
   */
  commit(branch: Branch, work: () => Awaitable<void>): Promise<void> {
    const key = branchKey(branch);
    return this.once(`commit ${key}`, () => this.inTurn(key, () => this.commitOnce(key, work)));
  }

  /**
   * Runs `undo` for a branch that prepared, until it has succeeded once. When the prepare is at work still, `undo`
   * runs as soon as it is done, and the vote is a refusal. It answers when all is undone and not before: should the
   * process end in between, only a rollback that was never acknowledged comes again.
   *
   * @throws what `undo` throws; HeuristicError when the branch is committed.
   */
  rollback(branch: Branch, undo: Undo): Promise<void> {
    const key = branchKey(branch);
    return this.once(`rollback ${key}`, async () => {
      const overtaken = await this.inTurn(key, () => this.rollBackOnce(key, undo));
      // The work needs a turn of its own to end, so it is not waited for in this one.
      await overtaken?.undone.promise;
    });
  }

  private async commitOnce(key: string, work: () => Awaitable<void>): Promise<void> {
    const record = await this.store.get(key);
    if (record?.state === 'committed') {
      await this.renew(key, record);
      return;
    }
    if (record?.state === 'voted' && record.vote === 'commit') {
      await work();
      await this.store.put(key, { state: 'committed' });
      return;
    }
    if (record?.state === 'rolled-back') {
      throw new HeuristicError('rollback', `the branch ${key} was told to commit, but it is rolled back`);
    }
    throw new HeuristicError('hazard', `the branch ${key} was told to commit, but it is not prepared here`);
  }

  /** @returns the work that this rollback has overtaken, and that undoes itself at its end; undefined when all is undone. */
  private async rollBackOnce(key: string, undo: Undo): Promise<WorkUnderWay | undefined> {
    const existing = await this.store.insert(key, { state: 'rolled-back' });
    if (existing === undefined) return undefined;
    if (existing.state === 'rolled-back') {
      await this.renew(key, existing);
      return undefined;
    }
    if (existing.state === 'committed') {
      throw new HeuristicError('commit', `the branch ${key} was told to roll back, but it is committed`);
    }
    const atWork = this.atWork.get(key);
    // The record stays as it is until the work is undone, should the process end before.
    if (atWork !== undefined) atWork.undo = undo;
    else await this.undo(key, existing, undo);
    return atWork;
  }

  private async prepareOnce(key: string, work: () => Awaitable<Vote>): Promise<Vote> {
    const existing = await this.inTurn(key, () => this.begin(key));
    if (existing !== undefined) return repeatedAnswer(key, existing);
    let vote: Vote;
    try {
      vote = await work();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      await this.inTurn(key, () => this.end(key, { state: 'failed', message }));
      throw error;
    }
    const undone = await this.inTurn(key, () => this.end(key, { state: 'voted', vote }));
    return undone ? refuse('ROLLED_BACK', 'this branch was rolled back while it prepared') : vote;
  }

  /** @returns the record that was there, or undefined when the work is to be done. */
  private async begin(key: string): Promise<GuardRecord | undefined> {
    const existing = await this.store.insert(key, { state: 'preparing' });
    if (existing === undefined) this.atWork.set(key, { undo: undefined, undone: Promise.withResolvers() });
    return existing;
  }

  /**
   * Writes down how the work ended, or undoes it when a rollback has overtaken it. Should that fail, the next rollback
   * does it.
   *
   * @returns whether it was undone.
   */
  private async end(key: string, record: GuardRecord): Promise<boolean> {
    const atWork = this.atWork.get(key);
    this.atWork.delete(key);
    if (atWork?.undo === undefined) {
      await this.store.put(key, record);
      return false;
    }
    const undone = this.undo(key, record, atWork.undo);
    atWork.undone.resolve(undone);
    await undone;
    return true;
  }

  private async undo(key: string, record: GuardRecord, undo: Undo): Promise<void> {
    if (!isOver(record)) await undo();
    await this.store.put(key, { state: 'rolled-back' });
  }

  private once(name: string, complete: () => Promise<void>): Promise<void> {
    const underWay = this.completions.get(name);
    if (underWay !== undefined) return underWay;
    const completion = complete().finally(() => this.completions.delete(name));
    this.completions.set(name, completion);
    return completion;
  }

  /** While repeats come the record is needed still: a store drops what was written longest ago. */
  private async renew(key: string, record: GuardRecord): Promise<void> {
    await this.store.put(key, record);
  }

  /** Takes the steps of one branch one after the other, so that none reads what another is about to change. */
  private inTurn<T>(key: string, step: () => Promise<T>): Promise<T> {
    const before = this.turns.get(key);
    const turn = before === undefined ? step() : before.then(step, step);
    this.turns.set(key, turn);
    return turn.finally(() => {
      if (this.turns.get(key) === turn) this.turns.delete(key);
    });
  }
}

/** @throws GuardConflictError when nobody knows what the first call did. */
function repeatedAnswer(key: string, record: GuardRecord): Vote {
  switch (record.state) {
    case 'voted':
      return record.vote;
    case 'committed':
      return 'commit';
    case 'rolled-back':
      return refuse('ROLLED_BACK', 'this branch was rolled back before it was asked to prepare');
    case 'preparing':
      throw new GuardConflictError(key, 'an earlier call did not come to its end');
    case 'failed':
      throw new GuardConflictError(key, `an earlier call failed (${record.message})`);
  }
}
