import { randomUUID } from 'node:crypto';
import { Unintelligible } from '../gate/answer.js';
import { endOf } from '../gate/end-of.js';
import { describeAnswer, messageOf } from '../gate/texts.js';
import {
  type AbortVote,
  type Branch,
  type CoordinatorRun,
  type OnePhaseAnswer,
  type Vote,
  branchKey,
  isForCommit,
  refuse,
} from '../participant/participant.js';
import { answerInstead, repeatedAnswer, reportAgainstCommit, reportAgainstRollback } from './answers.js';
import { GuardRunError, TransactionOverError, TryAgainError } from './guard-errors.js';
import type { Awaitable } from './awaitable.js';
import type { OnePhaseSteps } from './guard-options.js';
import { type GuardRecord, isOver } from './guard-store.js';
import type { GuardedBranch, ReplicaGuardStore, StoredGuardRecord } from './replica-guard-store.js';
import { StoppableBranch } from './stoppable-branch.js';
import { Turns } from './turns.js';
import { voteIn, votedRecord } from './votes.js';

/** How often a call reads a record again that another process has changed meanwhile. */
const MAX_LOOKS = 5;
/** The longest time that a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** The most runs whose admission is remembered. */
const REMEMBERED = 64;

/** The work of a prepare in this process. */
interface AtWork {
  readonly answer: Promise<unknown>;
  readonly branch: StoppableBranch;
}

/** The result of work that took effect after another process had ended its branch. */
export type LateWork =
  { readonly step: 'found' | 'undone' } | { readonly step: 'left'; readonly error: unknown };

/** What {@link ReplicaGuard} does with unfinished work of another process. @publicApi */
export interface ReplicaGuardOptions {
  /**
   * A commit or an undo whose process has stopped, or takes longer than its call, may have had its effect.
   * `repeat` runs it again, as every participant must allow. `report` reports a hazard.
   *
   * @default 'repeat'
   */
  readonly interrupted?: 'repeat' | 'report';
  /** Receives work that took effect late, before it is undone and after. It never throws. */
  readonly late?: (place: GuardedBranch, work: LateWork) => void;
}

/**
 * Makes the methods of a participant safe for delivery at least once, where several processes serve it behind
 * one address. The records are in a store that all of them share, and change by compare-and-set.
 *
 * A call that meets another process at work on the same branch is told to try again, until the time of that
 * call is over. Then it takes over by compare-and-set, and the other process, if it still works, loses: it
 * undoes its work.
 */
export class ReplicaGuard {
  private readonly by = randomUUID();
  private readonly turns = new Turns();
  private readonly atWork = new Map<string, AtWork>();
  private readonly admitted = new Map<string, string>();
  /** The run that was admitted last. */
  private latest: CoordinatorRun | undefined;
  private readonly mayRepeat: boolean;
  private readonly late: NonNullable<ReplicaGuardOptions['late']>;

  constructor(
    private readonly participant: string,
    private readonly store: ReplicaGuardStore,
    { interrupted = 'repeat', late = () => {} }: ReplicaGuardOptions = {},
  ) {
    this.late = late;
    this.mayRepeat = interrupted === 'repeat';
  }

  /** The number of calls that are running. */
  get running(): number {
    return this.turns.size;
  }

  /**
   * @param work gets the branch, whose signal is also aborted when the branch is rolled back meanwhile.
   * @param undo undoes the work of this process when another process has taken over.
   */
  prepare(
    branch: Branch,
    work: (branch: Branch) => Awaitable<Vote>,
    undo: () => Awaitable<void>,
  ): Promise<Vote> {
    const key = branchKey(branch);
    return this.turns.once(`prepare ${key}`, async () => {
      const conflict = this.isAdmitted(branch) ? undefined : await this.refusalOfRun(branch);
      if (conflict !== undefined) return conflict;
      try {
        return await this.prepareOnce(key, branch, work, undo);
      } catch (error) {
        if (error instanceof TransactionOverError) return refusalOf(error);
        throw error;
      }
    });
  }

  async commit(branch: Branch, work: () => Awaitable<void>): Promise<void> {
    if (!this.isAdmitted(branch)) await this.admit(branch);
    const key = branchKey(branch);
    return this.turns.once(`commit ${key}`, () => this.commitOnce(key, branch, work));
  }

  async rollback(branch: Branch, undo: () => Awaitable<void>): Promise<void> {
    if (!this.isAdmitted(branch)) await this.admit(branch);
    return this.rollBack(branchKey(branch), branch, undo, undefined);
  }

  /** @throws any error that leaves the answer unknown. The next call continues from there. */
  commitOnePhase(branch: Branch, { prepare, commit, rollback }: OnePhaseSteps): Promise<OnePhaseAnswer> {
    const key = branchKey(branch);
    return this.turns.once(`one-phase ${key}`, async () => {
      // An earlier attempt may have committed, and its record may be dropped: then nothing is known, and
      // nothing is refused.
      const isRepeat = branch.attempt > 1;
      if (isRepeat) await this.admit(branch);
      const conflict = this.isAdmitted(branch) ? undefined : await this.refusalOfRun(branch);
      if (conflict !== undefined) return conflict as AbortVote;
      const ended = await endOf(() => this.prepareOnce(key, branch, prepare, rollback));
      if ('error' in ended) {
        if (ended.error instanceof TryAgainError) throw ended.error;
        if (ended.error instanceof TransactionOverError) {
          if (isRepeat) throw ended.error;
          return refusalOf(ended.error);
        }
        return this.refuseAlone(key, branch, rollback, messageOf(ended.error));
      }
      const vote = voteIn(ended.value);
      if (vote === 'read-only') return 'commit';
      if (vote === undefined)
        return this.refuseAlone(key, branch, rollback, `it answered ${describeAnswer(ended.value)}`);
      if (!isForCommit(vote)) return vote;
      await this.commitOnce(key, branch, commit);
      return 'commit';
    });
  }

  /** @throws GuardRunError when the log of the run is a copy. */
  async admit({ run }: Pick<Branch, 'run'>): Promise<void> {
    const key = `${run.logId}/${run.epoch}`;
    if (this.admitted.get(key) !== run.token) {
      if ((await this.store.admitRun(run)) !== run.token) throw new GuardRunError(run);
      this.admitted.set(key, run.token);
      const [oldest] = this.admitted.keys();
      if (this.admitted.size > REMEMBERED && oldest !== undefined) this.admitted.delete(oldest);
    }
    this.latest = run;
  }

  /** Whether {@link admit} has found the run sound the last time: nearly all calls are of one run. */
  private isAdmitted({ run }: Pick<Branch, 'run'>): boolean {
    return run === this.latest;
  }

  /** @returns the vote for a run that is not served. Nothing was done, and nothing is to be undone. */
  private async refusalOfRun(branch: Branch): Promise<Vote | undefined> {
    try {
      await this.admit(branch);
      return undefined;
    } catch (error) {
      if (error instanceof GuardRunError) return refuse(error.code, error.message);
      throw error;
    }
  }

  private async prepareOnce(
    key: string,
    branch: Branch,
    work: (branch: Branch) => Awaitable<Vote>,
    undo: () => Awaitable<void>,
  ): Promise<Vote> {
    const stoppable = new StoppableBranch(branch);
    const answer = this.beginPrepare(key, stoppable, work, undo);
    // A rollback waits from the first step on: the work may be about to start.
    this.atWork.set(key, { answer, branch: stoppable });
    try {
      return await answer;
    } finally {
      this.atWork.delete(key);
    }
  }

  private async beginPrepare(
    key: string,
    branch: StoppableBranch,
    work: (branch: Branch) => Awaitable<Vote>,
    undo: () => Awaitable<void>,
  ): Promise<Vote> {
    const place = this.placeOf(branch);
    const begun = await this.store.insert(place, { state: 'preparing', by: this.by }, holdMs(branch), true);
    if (!begun.isWritten) {
      if (begun.stored === undefined) throw new TransactionOverError(branch);
      const { record, isHeld } = begun.stored;
      if (isHeld && record.state === 'preparing') throw new TryAgainError(key, 'another process prepares it');
      return repeatedAnswer(key, record, false);
    }
    const calledAt = Date.now();
    const ended = await endOf(() => work(branch));
    return this.endPrepare(place, begun.version, ended, calledAt, undo);
  }

  private async endPrepare(
    place: GuardedBranch,
    version: number,
    ended: Awaited<ReturnType<typeof endOf>>,
    calledAt: number,
    undo: () => Awaitable<void>,
  ): Promise<Vote> {
    const vote = 'error' in ended ? undefined : voteIn(ended.value);
    const message = 'error' in ended ? messageOf(ended.error) : `it answered ${describeAnswer(ended.value)}`;
    const record: GuardRecord =
      vote === undefined ? { state: 'failed', message } : votedRecord(vote, calledAt);
    const written = await this.store.replace(place, version, record, 0);
    if (!written.isWritten) {
      // Another process has taken over, and may have undone it before it took effect.
      if (!isOver(record)) await this.undoLate(place, undo);
      return refuse('ROLLED_BACK', 'this branch was rolled back while it prepared');
    }
    if ('error' in ended) throw ended.error;
    return vote ?? (new Unintelligible(describeAnswer(ended.value)) as unknown as Vote);
  }

  /** No record shows this work, so it is reported before it is undone: this process may stop in between. */
  private async undoLate(place: GuardedBranch, undo: () => Awaitable<void>): Promise<void> {
    this.late(place, { step: 'found' });
    const ended = await endOf(undo);
    if ('error' in ended) {
      this.late(place, { step: 'left', error: ended.error });
      throw ended.error;
    }
    this.late(place, { step: 'undone' });
  }

  private async commitOnce(key: string, branch: Branch, work: () => Awaitable<void>): Promise<void> {
    const place = this.placeOf(branch);
    for (let look = 0; look < MAX_LOOKS; look++) {
      const stored = await this.store.read(place);
      const record = stored?.record;
      if (record?.state === 'committed') return;
      if (record?.state === 'committing' && record.step === 'begun' && this.isElsewhere(stored)) {
        throw new TryAgainError(key, 'another process commits it');
      }
      const report = reportAgainstCommit(key, record, this.mayRepeat);
      if (report !== undefined) throw report;
      const begun = await this.store.replace(
        place,
        stored!.version,
        { state: 'committing', step: 'begun', by: this.by },
        holdMs(branch),
      );
      if (!begun.isWritten) continue;
      const ended = await endOf(work);
      if ('error' in ended) {
        await this.noteFailed(place, begun.version, { state: 'committing', step: 'failed', by: this.by });
        throw ended.error;
      }
      await this.store.replace(place, begun.version, { state: 'committed' }, 0);
      return;
    }
    throw new TryAgainError(key, 'other processes work on it');
  }

  private async rollBack(
    key: string,
    branch: Branch,
    undo: () => Awaitable<void>,
    answer: AbortVote | undefined,
  ): Promise<void> {
    await this.endWork(key, branch);
    await this.turns.once(`rollback ${key}`, () => this.rollBackOnce(key, branch, undo, answer));
  }

  /**
   * Stops the work of a prepare in this process and waits for its end.
   *
   * @returns whether there was any.
   * @throws TryAgainError when the work ignores its signal until the time of the call is over.
   */
  private async endWork(key: string, branch: Branch): Promise<boolean> {
    const atWork = this.atWork.get(key);
    if (atWork === undefined) return false;
    atWork.branch.stop(new Error('the branch is rolled back'));
    let timer: NodeJS.Timeout | undefined;
    const timeOver = new Promise<never>((_resolve, reject) => {
      const error = new TryAgainError(key, 'its prepare has not ended, although it was told to stop');
      timer = setTimeout(reject, Math.min(holdMs(branch), MAX_TIMER_MS), error);
    });
    try {
      await Promise.race([atWork.answer.catch(() => {}), timeOver]);
    } finally {
      clearTimeout(timer);
    }
    return true;
  }

  private async rollBackOnce(
    key: string,
    branch: Branch,
    undo: () => Awaitable<void>,
    answer: AbortVote | undefined,
  ): Promise<void> {
    const place = this.placeOf(branch);
    const over: GuardRecord = { state: 'rolled-back', answer };
    const tombstone = await this.store.insert(place, over, 0, false);
    if (tombstone.isWritten) return;
    let { stored } = tombstone;
    for (let look = 0; look < MAX_LOOKS && stored !== undefined; look++) {
      const { record } = stored;
      if (record.state === 'rolled-back') return;
      // A prepare of this process may have started since.
      if (record.state === 'preparing' && (await this.endWork(key, branch))) {
        stored = await this.store.read(place);
        continue;
      }
      if (isAtWork(record) && this.isElsewhere(stored)) {
        throw new TryAgainError(key, 'another process works on it');
      }
      const report = reportAgainstRollback(key, record, this.mayRepeat);
      if (report !== undefined) throw report;
      const intent: GuardRecord = { state: 'rolling-back', step: 'begun', by: this.by, answer };
      const begun = await this.store.replace(
        place,
        stored.version,
        isOver(record) ? over : intent,
        isOver(record) ? 0 : holdMs(branch),
      );
      if (begun.isWritten) {
        if (!isOver(record)) await this.undo(place, begun.version, undo, answer);
        return;
      }
      ({ stored } = begun);
    }
    throw new TryAgainError(key, 'other processes work on it');
  }

  private async undo(
    place: GuardedBranch,
    version: number,
    undo: () => Awaitable<void>,
    answer: AbortVote | undefined,
  ): Promise<void> {
    const ended = await endOf(undo);
    if ('error' in ended) {
      await this.noteFailed(place, version, { state: 'rolling-back', step: 'failed', by: this.by, answer });
      throw ended.error;
    }
    await this.store.replace(place, version, { state: 'rolled-back', answer }, 0);
  }

  /** A one-phase commit whose work has failed: no rollback comes, so the branch is rolled back here. */
  private async refuseAlone(
    key: string,
    branch: Branch,
    undo: () => Awaitable<void>,
    why: string,
  ): Promise<AbortVote> {
    const stored = await this.store.read(this.placeOf(branch));
    if (stored?.record.state === 'rolled-back') return answerInstead(stored.record);
    const answer = refuse('ROLLED_BACK', `this branch is rolled back: ${why}`);
    await this.rollBack(key, branch, undo, answer);
    return answer;
  }

  /**
   * It is known that the effect is still to do. If this cannot be written, the time of the call ends first.
   */
  private async noteFailed(place: GuardedBranch, version: number, record: GuardRecord): Promise<void> {
    await this.store.replace(place, version, record, 0).catch(() => {});
  }

  /** Whether another process is at work, whose time is not over. */
  private isElsewhere(stored: StoredGuardRecord | undefined): boolean {
    if (stored === undefined || !stored.isHeld) return false;
    return 'by' in stored.record && stored.record.by !== this.by;
  }

  private placeOf({ transactionId, branchId }: Branch): GuardedBranch {
    return { participant: this.participant, transactionId, branchId };
  }
}

function isAtWork(record: GuardRecord): boolean {
  return record.state === 'preparing' || (record.state === 'rolling-back' && record.step === 'begun');
}

/** How long the coordinator waits for the call, in milliseconds. */
function holdMs({ deadline }: Branch): number {
  return Math.max(1, deadline - Date.now());
}

/** Nothing was done before, so that this is the answer to a first call. */
function refusalOf({ message }: TransactionOverError): AbortVote {
  return refuse('TRANSACTION_OVER', message);
}
