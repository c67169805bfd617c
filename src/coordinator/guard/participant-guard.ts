import type { Awaitable } from './awaitable.js';
import { Unintelligible } from '../gate/answer.js';
import { endOf } from '../gate/end-of.js';
import { describeAnswer, messageOf } from '../gate/texts.js';
import {
  type AbortVote,
  type Branch,
  type OnePhaseAnswer,
  type Vote,
  isForCommit,
  refuse,
} from '../participant/participant.js';
import {
  answerInstead,
  isUnknown,
  repeatedAnswer,
  reportAgainstCommit,
  reportAgainstRollback,
} from './answers.js';
import { type GuardCall, readCall, readSteps } from './guard-call.js';
import { GuardCallError, GuardConflictError } from './guard-errors.js';
import {
  type OnePhaseSteps,
  type ParticipantGuardOptions,
  type Undo,
  type WorkUnderWay,
  checkGuardOptions,
} from './guard-options.js';
import { type GuardFact, GuardRecords } from './guard-records.js';
import { GuardRuns, refusalOf } from './guard-runs.js';
import { type GuardRecord, type GuardStore, isOver } from './guard-store.js';
import { GuardedStore } from './guarded-store.js';
import { Turns } from './turns.js';
import { voteIn, votedRecord } from './votes.js';

/**
 * Makes a participant's methods safe for delivery at least once. A repeated call does nothing and gives the
 * first call's answer. A rollback of a branch that never prepared does nothing, but is remembered. A prepare
 * that comes after its rollback is refused. The participant's own methods need no such checks, but their work
 * must end, at the latest when `branch.signal` is aborted, because the guard does nothing else for the branch
 * meanwhile. A rollback that overtakes a prepare waits for it, and is acknowledged only when its work is
 * undone.
 *
 * Work that has succeeded is not done again. The guard records each effect before it starts and after it is
 * done. If the second write fails, the process remembers it, and the next call writes it. If the process ends
 * in between, the guard of the next process cannot know whether the effect was done: see {@link
 * ParticipantGuardOptions.interrupted}.
 *
 * The guard does not serve a coordinator that works with a copy of another coordinator's log, because it
 * would reuse transaction ids.
 *
 * If several processes share a store, only one of them may serve a branch at a time.
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
  private readonly atWork = new Map<string, WorkUnderWay>();
  private readonly turns = new Turns();
  private readonly records: GuardRecords;
  private readonly mayRepeat: boolean;
  private readonly runs: GuardRuns;

  /**
   * @param store keeps the records.
   * @throws InvalidOptionsError when the store lacks a method, or an option has a value that is not
   * documented.
   */
  constructor(store: GuardStore, { interrupted = 'report' }: ParticipantGuardOptions = {}) {
    checkGuardOptions(store, interrupted);
    const guarded = new GuardedStore(store);
    this.records = new GuardRecords(guarded);
    this.runs = new GuardRuns(guarded);
    store.keepWhile?.((key) => this.runs.isNeeded(key));
    this.mayRepeat = interrupted === 'repeat';
  }

  /**
   * The number of entries in memory: 0 when no call is running and the store has accepted every write.
   * @internal
   */
  get held(): number {
    return this.atWork.size + this.turns.size + this.records.unwritten;
  }

  /**
   * Runs `work` once for the branch, unless it was rolled back before.
   *
   * @param work does the participant's work and votes.
   * @returns the vote; a repeated call returns the first vote. A refusal with the code `ROLLED_BACK` after a
   * rollback, or with `DTC_GUARD_RUN_CONFLICT` when the coordinator works with a copy of a log.
   * @throws any error of `work`; GuardConflictError when an earlier call did not end with a vote. Called from
   * a `commitOnePhase`, to which no rollback ever comes, it reports a hazard in that case.
   */
  prepare(branch: Branch, work: () => Awaitable<Vote>): Promise<Vote> {
    const prepare = ({ key, isOnePhase }: GuardCall): Promise<Vote> =>
      this.joinPrepare(key, work, isOnePhase);
    return this.serve(branch, { work }, prepare, refusalOf);
  }

  /**
   * Runs `work` for a branch that voted commit, until it has succeeded once. After an error, the next call
   * runs it again.
   *
   * @throws any error of `work`; HeuristicError when the branch is rolled back or unknown, or when it is
   * unknown whether an earlier process has done the work.
   */
  commit(branch: Branch, work: () => Awaitable<void>): Promise<void> {
    return this.serve(branch, { work }, ({ key }) =>
      this.turns.once(`commit ${key}`, () => this.turns.inTurn(key, () => this.commitOnce(key, work))),
    );
  }

  /**
   * Runs `undo` for a branch that prepared, until it has succeeded once. If the prepare is still running,
   * `undo` runs as soon as it ends, and the vote is a refusal. The answer comes only when all work is undone:
   * if the process ends before, the coordinator repeats a rollback only if it was not acknowledged.
   *
   * @throws any error of `undo`; HeuristicError when the branch is committed or has received a commit, or
   * when it is unknown whether an earlier process has undone it.
   */
  rollback(branch: Branch, undo: () => Awaitable<void>): Promise<void> {
    return this.serve(branch, { undo }, ({ key }) =>
      this.turns.once(`rollback ${key}`, () => this.rollBackFully(key, undo)),
    );
  }

  /**
   * Runs the steps of a one-phase branch, prepare and then commit, and remembers the answer. If its prepare
   * throws or did not finish, the guard rolls the branch back and refuses, because no other rollback will
   * come.
   *
   * @returns `commit`, or a refusal: that of `prepare`, or one with the code `ROLLED_BACK`.
   * @throws any error of `commit` or `rollback`; the next call continues from there. HeuristicError as {@link
   * commit} and {@link rollback}.
   */
  commitOnePhase(branch: Branch, steps: OnePhaseSteps): Promise<OnePhaseAnswer> {
    const read = readSteps(steps);
    return this.serve(branch, read, ({ key }) =>
      this.turns.once(`one-phase ${key}`, () => this.decideAlone(key, read)),
    );
  }

  /** @throws GuardCallError, as a rejection, when a step is not a function or the branch cannot be read. */
  private serve<T>(
    branch: Branch,
    steps: Readonly<Record<string, unknown>>,
    call: (call: GuardCall) => Promise<T>,
    refused?: (error: unknown) => T,
  ): Promise<T> {
    const read = readCall(branch, steps);
    if (read instanceof GuardCallError) return Promise.reject(read);
    return this.runs.serve(read.run, () => call(read), refused);
  }

  private async decideAlone(
    key: string,
    { prepare, commit, rollback }: OnePhaseSteps,
  ): Promise<OnePhaseAnswer> {
    let failure: unknown = new GuardConflictError(key, 'its record is not in the store');
    if (isUnknown(await this.turns.inTurn(key, () => this.records.read(key)))) {
      // Its result is in its record, which is read below.
      const ended = await endOf(() => this.joinPrepare(key, prepare, false));
      if ('error' in ended) failure = ended.error;
    }
    const record = await this.turns.inTurn(key, () => this.records.read(key));
    // Not even its start could be recorded.
    if (isUnknown(record)) throw failure;
    switch (record.state) {
      case 'voted':
        if (record.vote === 'read-only') return 'commit';
        if (!isForCommit(record.vote)) return record.vote;
        break;
      case 'committing':
      case 'committed':
        break;
      case 'preparing':
      case 'failed':
      case 'rolling-back':
      case 'run':
      case 'rolled-back': {
        const answer = answerInstead(record);
        await this.rollBackFully(key, rollback, answer);
        return answer;
      }
    }
    await this.turns.inTurn(key, () => this.commitOnce(key, commit));
    return 'commit';
  }

  private async commitOnce(key: string, work: () => Awaitable<void>): Promise<void> {
    const record = await this.records.read(key);
    if (record?.state === 'committed') {
      // While repeats arrive, the record is still needed: a store drops the record that was written longest
      // ago.
      await this.records.settle(key, record);
      return;
    }
    const report = reportAgainstCommit(key, record, this.mayRepeat);
    if (report !== undefined) {
      await this.records.confirm(key, record);
      throw report;
    }
    await this.records.doOnce(key, { state: 'committing' }, work);
    await this.records.settle(key, { state: 'committed' });
  }

  /** @param answer the answer of a one-phase commit, to be remembered. */
  private async rollBackFully(key: string, undo: Undo, answer?: AbortVote): Promise<void> {
    const overtaken = await this.turns.inTurn(key, () => this.rollBackOnce(key, undo, answer));
    // The work can end only in a turn of its own, so this turn does not wait for it.
    await overtaken?.undone.promise;
  }

  /**
   * @returns the work that this rollback has overtaken and that undoes itself when it ends; undefined when
   * all work is undone.
   */
  private async rollBackOnce(
    key: string,
    undo: Undo,
    answer: AbortVote | undefined,
  ): Promise<WorkUnderWay | undefined> {
    const existing = await this.records.leaveTombstone(key);
    if (existing === undefined) return undefined;
    if (existing.state === 'rolled-back') {
      await this.records.settle(key, existing);
      return undefined;
    }
    const report = reportAgainstRollback(key, existing, this.mayRepeat);
    if (report !== undefined) {
      await this.records.confirm(key, existing);
      throw report;
    }
    const atWork = this.atWork.get(key);
    // The record stays unchanged until the work is undone, in case the process ends before.
    if (atWork !== undefined) atWork.undo = undo;
    else await this.undo(key, existing, undo, answer);
    return atWork;
  }

  private joinPrepare(key: string, work: () => Awaitable<Vote>, isOnePhase: boolean): Promise<Vote> {
    return this.turns.once(`prepare ${key}`, () => this.prepareOnce(key, work, isOnePhase));
  }

  private async prepareOnce(key: string, work: () => Awaitable<Vote>, isOnePhase: boolean): Promise<Vote> {
    const existing = await this.turns.inTurn(key, () => this.begin(key));
    if (existing !== undefined) return repeatedAnswer(key, existing, isOnePhase);
    const calledAt = Date.now();
    const ended = await endOf(work);
    if ('error' in ended) {
      await this.turns.inTurn(key, () => this.end(key, { state: 'failed', message: messageOf(ended.error) }));
      throw ended.error;
    }
    const answer = ended.value;
    const vote = voteIn(answer);
    const message = `it answered ${describeAnswer(answer)}, which is not a vote`;
    const record: GuardRecord =
      vote === undefined ? { state: 'failed', message } : votedRecord(vote, calledAt);
    const undone = await this.turns.inTurn(key, () => this.end(key, record));
    if (undone) return refuse('ROLLED_BACK', 'this branch was rolled back while it prepared');
    return vote ?? noVote(answer);
  }

  /** @returns the existing record, or undefined when the work must be done. */
  private async begin(key: string): Promise<GuardRecord | undefined> {
    const existing = await this.records.begin(key);
    if (existing === undefined) this.atWork.set(key, { undo: undefined, undone: Promise.withResolvers() });
    return existing;
  }

  /**
   * Records how the work ended, or undoes the work when a rollback has overtaken it. If that fails, the next
   * rollback does it.
   *
   * @returns whether the work was undone.
   */
  private async end(key: string, record: GuardRecord): Promise<boolean> {
    const atWork = this.atWork.get(key);
    this.atWork.delete(key);
    if (atWork?.undo === undefined) {
      await this.records.settle(key, record);
      return false;
    }
    const undone = this.undo(key, record, atWork.undo, undefined);
    atWork.undone.resolve(undone);
    await undone;
    return true;
  }

  private async undo(
    key: string,
    record: GuardFact,
    undo: Undo,
    answer: AbortVote | undefined,
  ): Promise<void> {
    if (record.state !== 'untouched' && !isOver(record)) {
      await this.records.doOnce(key, { state: 'rolling-back', answer }, undo);
    }
    await this.records.settle(key, { state: 'rolled-back', answer });
  }
}

/**
 * @returns a value that is not a vote, for the coordinator to judge. An object is replaced by its
 * description: it may answer differently when it is read again, or act as a promise.
 */
function noVote(answer: unknown): Vote {
  const isObject = (typeof answer === 'object' && answer !== null) || typeof answer === 'function';
  return (isObject ? new Unintelligible(describeAnswer(answer)) : answer) as Vote;
}
