import { Unintelligible } from '../gate/answer.js';
import { endOf } from '../gate/end-of.js';
import { describeAnswer, messageOf } from '../gate/texts.js';
import {
  type AbortVote,
  type Branch,
  type OnePhaseAnswer,
  type Vote,
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
  type Awaitable,
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
import { voteIn } from './votes.js';

/**
 * Gives a participant what delivery at least once asks of it: a repeated call answers as the first one did and does
 * nothing, a rollback of a branch that never prepared does nothing but is remembered, and a prepare that comes after
 * its rollback is refused. The participant's own methods then need no such care, but their work must come to an end:
 * when `branch.signal` is aborted at the latest, because nothing else is done for the branch while it is at work. A
 * rollback that overtakes a prepare waits for it, and is acknowledged only when its work is undone.
 *
 * Work that has succeeded is not done again. Before an effect the guard writes down that it begins, and afterwards that it
 * is done. If the latter fails, the process remembers it, and the next call writes it. If the process ends in between,
 * the guard of the next one cannot know whether it was done: see {@link ParticipantGuardOptions.interrupted}.
 *
 * A run of a coordinator that works with a copy of another one's log is not served: it would make ids that were made before.
 *
 * Of several processes that share a store, one at a time serves a branch.
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
   * @param store where the records are kept.
   * @throws InvalidOptionsError when the store lacks a method, or an option has another value than those described.
   */
  constructor(store: GuardStore, { interrupted = 'report' }: ParticipantGuardOptions = {}) {
    checkGuardOptions(store, interrupted);
    const guarded = new GuardedStore(store);
    this.records = new GuardRecords(guarded);
    this.runs = new GuardRuns(guarded);
    store.keepWhile?.((key) => this.runs.isNeeded(key));
    this.mayRepeat = interrupted === 'repeat';
  }

  /** How many entries are kept in memory: none when nothing is under way and the store has taken all. @internal */
  get held(): number {
    return this.atWork.size + this.turns.size + this.records.unwritten;
  }

  /**
   * Runs `work` once for the branch, unless it was rolled back before.
   *
   * @param work does the participant's work and votes.
   * @returns the vote; of a repeated call the first one's; a refusal with the code `ROLLED_BACK` after a rollback,
   * or with `DTC_GUARD_RUN_CONFLICT` when the coordinator works with a copy of a log.
   * @throws what `work` throws; GuardConflictError when an earlier call did not end with a vote. Called from a
   * `commitOnePhase`, to which no rollback ever comes, it reports a hazard in that case.
   */
  prepare(branch: Branch, work: () => Awaitable<Vote>): Promise<Vote> {
    const prepare = ({ key, isOnePhase }: GuardCall): Promise<Vote> =>
      this.joinPrepare(key, work, isOnePhase);
    return this.serve(branch, { work }, prepare, refusalOf);
  }

  /**
   * Runs `work` for a branch that voted commit, until it has succeeded once. When it throws it is run again by the next
   * call.
   *
   * @throws what `work` throws; HeuristicError when the branch is rolled back, is not known here at all, or when it is not
   * known whether an earlier process has done the work.
   */
  commit(branch: Branch, work: () => Awaitable<void>): Promise<void> {
    return this.serve(branch, { work }, ({ key }) =>
      this.turns.once(`commit ${key}`, () => this.turns.inTurn(key, () => this.commitOnce(key, work))),
    );
  }

  /**
   * Runs `undo` for a branch that prepared, until it has succeeded once. When the prepare is at work still, `undo`
   * runs as soon as it is done, and the vote is a refusal. It answers when all is undone and not before: should the
   * process end in between, only a rollback that was never acknowledged comes again.
   *
   * @throws what `undo` throws; HeuristicError when the branch is committed or was told to, or when it is not known whether
   * an earlier process has undone it.
   */
  rollback(branch: Branch, undo: Undo): Promise<void> {
    return this.serve(branch, { undo }, ({ key }) =>
      this.turns.once(`rollback ${key}`, () => this.rollBackFully(key, undo)),
    );
  }

  /**
   * Runs the steps of a branch that decides by itself, and remembers the answer: prepare, and then commit. When its
   * prepare throws, or does not come to its end, it is rolled back and answers with a refusal, because no other rollback will come.
   *
   * @returns `commit`, or a refusal: that of `prepare`, or one with the code `ROLLED_BACK`.
   * @throws what `commit` or `rollback` throws; the next call goes on where this one has ended. HeuristicError as
   * {@link commit} and {@link rollback}.
   */
  commitOnePhase(branch: Branch, steps: OnePhaseSteps): Promise<OnePhaseAnswer> {
    const read = readSteps(steps);
    return this.serve(branch, read, ({ key }) =>
      this.turns.once(`one-phase ${key}`, () => this.decideAlone(key, read)),
    );
  }

  /** @throws GuardCallError, as a rejection, when a step is no function or the branch cannot be read. */
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
      // What has become of it is in its record, which is read below.
      const ended = await endOf(() => this.joinPrepare(key, prepare, false));
      if ('error' in ended) failure = ended.error;
    }
    const record = await this.turns.inTurn(key, () => this.records.read(key));
    // It could not even be written down that it begins.
    if (isUnknown(record)) throw failure;
    switch (record.state) {
      case 'voted':
        if (record.vote === 'read-only') return 'commit';
        if (record.vote !== 'commit') return record.vote;
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
      // While repeats come the record is needed still: a store drops what was written longest ago.
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

  /** @param answer what a one-phase commit is answered, to be remembered. */
  private async rollBackFully(key: string, undo: Undo, answer?: AbortVote): Promise<void> {
    const overtaken = await this.turns.inTurn(key, () => this.rollBackOnce(key, undo, answer));
    // The work needs a turn of its own to end, so it is not waited for in this one.
    await overtaken?.undone.promise;
  }

  /** @returns the work that this rollback has overtaken, and that undoes itself at its end; undefined when all is undone. */
  private async rollBackOnce(
    key: string,
    undo: Undo,
    answer: AbortVote | undefined,
  ): Promise<WorkUnderWay | undefined> {
    const existing = await this.records.bury(key);
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
    // The record stays as it is until the work is undone, should the process end before.
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
    const ended = await endOf(work);
    if ('error' in ended) {
      await this.turns.inTurn(key, () => this.end(key, { state: 'failed', message: messageOf(ended.error) }));
      throw ended.error;
    }
    const answer = ended.value;
    const vote = voteIn(answer);
    const message = `it answered ${describeAnswer(answer)}, which is no vote`;
    const record: GuardRecord = vote === undefined ? { state: 'failed', message } : { state: 'voted', vote };
    const undone = await this.turns.inTurn(key, () => this.end(key, record));
    if (undone) return refuse('ROLLED_BACK', 'this branch was rolled back while it prepared');
    return vote ?? noVote(answer);
  }

  /** @returns the record that was there, or undefined when the work is to be done. */
  private async begin(key: string): Promise<GuardRecord | undefined> {
    const existing = await this.records.begin(key);
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
 * @returns what is no vote, for the coordinator to judge. An object is described instead: it may say something else when it is
 * read once more, or act as a promise.
 */
function noVote(answer: unknown): Vote {
  const isObject = (typeof answer === 'object' && answer !== null) || typeof answer === 'function';
  return (isObject ? new Unintelligible(describeAnswer(answer)) : answer) as Vote;
}
