import { Client, DatabaseError, type PoolClient } from 'pg';
import type { GroupBranch, MemberVote } from '../../coordinator/participant/group.js';
import { type Branch, type Vote, expiringVoteIn, refuse } from '../../coordinator/participant/participant.js';
import type { Batch } from '../branch/batch.js';
import { preparation } from '../branch/ending.js';
import { type GroupLimits, forgetStatements } from '../branch/session.js';
import { remainingUntil } from '../../sql/work.js';
import { type BranchWork, NO_SUCH_STATEMENT } from '../branch/work.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { applicationOf } from '../connection/own-names.js';
import { lastRowsOf } from '../connection/own-queries.js';
import { lockRequested } from '../connection/spoiled.js';
import { codeOf } from '../sqlstate.js';
import { type Opened, type Part, type PartAnswer, START, type Savepoint, type Sent } from './group-parts.js';
import { answerFor, partsOf, trialsOf } from './group-parts.js';
import { FITS_NO_GROUP, HAS_DEFERRED, NOT_FREE, openingOf, readyToOpen } from './group-opening.js';
import { type GroupAnswer, askGroup, isInTransaction } from './group-query.js';
import { GroupLoan } from './group-loan.js';
import { prepareTexts, sentWork } from './grouped-work.js';
import { type Loners, SLOW_MS } from './loners.js';
import { hasMetOthers, hasWaited, isOfMember, saysStatementsAreLost, voteBy } from './member-errors.js';
import type { NeutralWork } from './neutral-work.js';

/** After this number of failed members no further ones are run: the group runs again without the failed. */
const MOST_FAILURES = 8;

/** The number of trials that are sent at once: after one that has waited, no others are sent. */
const TRIALS_AT_ONCE = 4;

/** A cancellation that comes between two queries stops neither, so it is sent again, up to a limit. */
const STOP_AGAIN_MS = 50;
const MOST_STOPS = 20;

/** How much longer than the work of the group its transaction may last at the server. */
const GRACE_MS = 500;

/** The longest time that a timer of Node can have. */
const LONGEST_TIMER_MS = 2_147_483_647;

const OPEN = 'T';

/** A member, whose work is asked for in each run that needs it. @publicApi */
export interface GivenWork {
  /** The id of its own transaction. */
  readonly id: string;
  readonly batchOf: () => Batch;
}

/** A member that may be part of the present run. */
type Place = Omit<Sent, 'work'>;

interface ToSend {
  readonly parts: readonly Part[];
  readonly tried: readonly Part[];
}

/**
 * The open transaction of a group, until it is prepared: one guard row, and then the work of all members, as
 * few queries as possible. A later run undoes no more than what is different in it.
 */
export class OpenGroup {
  private readonly loan = new GroupLoan();
  private names: ReadonlyMap<string, string> = new Map();
  private beganAt = 0;
  private hasOpened = false;
  private isBusy = false;
  /** Those whose work is open, in their order. */
  private readonly opened: Opened[] = [];
  private readonly savepoints: Savepoint[] = [{ name: START, before: 0 }];
  private savepointsMade = 0;
  /** Whether the session is reset behind each member: not all of them are neutral, or one of them has failed or may be slow. */
  private isMarked = true;
  /** The tables of the members behind which nothing was reset. */
  private readonly neutralTables = new Set<string>();

  /**
   * @param lockKey of the session-level lock against the groups of other coordinators at this participant.
   */
  constructor(
    private readonly gid: string,
    private readonly work: BranchWork,
    private readonly pool: ConnectionPool,
    private readonly lockKey: string,
    private readonly loners: Loners,
    private readonly neutral: NeutralWork,
  ) {}

  /**
   * Leaves the work of these members open, in their order. That of an earlier run stays up to the first
   * difference.
   *
   * @param trials are tried behind them, and undone.
   * @returns a vote for each member, and then for each of the trials. @throws an error that does not belong
   * to one of them; nothing is open then.
   */
  async run(
    group: GroupBranch,
    members: readonly GivenWork[],
    trials: readonly GivenWork[],
  ): Promise<readonly MemberVote[] | 'busy'> {
    const abandon = (): void => this.giveUp(group.signal.reason);
    if (group.signal.aborted) abandon();
    else group.signal.addEventListener('abort', abandon, { once: true });
    return this.loan.during(async () => {
      try {
        if (group.attempt === 1) await this.loan.take(this.pool);
        return await this.runAll(group, members, trials);
      } catch (error) {
        this.giveUp(error);
        throw error;
      } finally {
        group.signal.removeEventListener('abort', abandon);
      }
    });
  }

  /** Undoes the work of the latest run. */
  async discard(): Promise<void> {
    if (!this.isOpen) return;
    await this.loan.during(async () => {
      try {
        await this.backTo(0);
      } catch (error) {
        this.giveUp(error);
        throw error;
      }
    });
  }

  /** Prepares what is open. @returns the vote. @throws when it is not known whether it is prepared. */
  prepare(branch: Pick<Branch, 'signal'>): Promise<Vote> {
    return this.loan.during(() => this.prepareOpen(branch));
  }

  /** Ends the group, and rolls open work back. */
  giveUp(reason: unknown): void {
    this.loan.giveUp(reason ?? new Error(`${this.gid} is rolled back.`));
  }

  /** Whether its transaction is open. Once it has ended it never is again. */
  private get isOpen(): boolean {
    return this.hasOpened && !this.loan.isOver;
  }

  private async prepareOpen({ signal }: Pick<Branch, 'signal'>): Promise<Vote> {
    const abandon = (): void => this.giveUp(signal.reason);
    signal.addEventListener('abort', abandon, { once: true });
    try {
      signal.throwIfAborted();
      if (!this.isOpen || this.loan.send((client) => client.getTransactionStatus()) !== OPEN) {
        this.giveUp(undefined);
        return refuse('ROLLED_BACK', 'the transaction of the group is not open any more');
      }
      // Nothing of it is left, and no other work was done.
      if (this.opened.length > 0 && this.opened.every(({ vote }) => vote === 'read-only')) {
        this.giveUp(undefined);
        return 'read-only';
      }
      // All work is done, so no group waits for this one with its own locks: the next may begin.
      const vote = await this.loan.send((client) =>
        this.neutral.end(client, this.neutralTables, (first, refusalOfFirst) =>
          this.work.endings.end(client, preparation(this.gid), false, first, refusalOfFirst),
        ),
      );
      if (vote === 'commit') this.loan.end();
      else this.giveUp(undefined);
      return vote;
    } catch (error) {
      this.giveUp(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  }

  private async runAll(
    group: GroupBranch,
    members: readonly GivenWork[],
    trials: readonly GivenWork[],
  ): Promise<readonly MemberVote[] | 'busy'> {
    const all = [...members, ...trials];
    const votes = all.map((): MemberVote => 'not-run');
    // A client of another copy of `pg` does not accept our query.
    if (!this.loan.send((client) => client instanceof Client)) return votes.map(() => 'alone');
    if (this.hasOpened) await this.keep(members, votes);
    const places = this.placesOf(all, votes);
    if (!this.hasOpened) {
      await this.ready(group);
      const works = places.map(({ batch }) => batch);
      this.names = await this.loan.send((client) => prepareTexts(client, works, this.limitsOf(group).lockMs));
      this.isMarked = this.neutral.isWatched();
      if (!this.isMarked) await this.neutral.lookUp((query) => this.loan.send(query), works);
    }
    this.choose(places);
    const sent = places.flatMap((place) => this.written(place, votes) ?? []);
    const isTrial = ({ index }: Sent): boolean => index >= members.length;
    const sentMembers = sent.filter((each) => !isTrial(each));
    if (this.hasOpened && sentMembers.length === 0) await this.renewLimits(group);
    await this.runParts(group, sentMembers, sent.filter(isTrial), votes);
    if (!this.isBusy) return votes;
    // It is of no use to wait where the triggers of the database fit no group.
    return this.loners.keepAllOut ? votes.map(() => 'alone') : 'busy';
  }

  /** Undoes what is not the same in this run, and notes the votes of those whose work stays. */
  private async keep(members: readonly GivenWork[], votes: MemberVote[]): Promise<void> {
    const { opened } = this;
    let same = 0;
    while (same < opened.length && opened[same]!.id === members[same]?.id) same++;
    if (same < opened.length) await this.backTo(same);
    for (const [index, { vote }] of opened.entries()) votes[index] = vote;
  }

  /** The limits of the latest run count, also where all that is open is of an earlier one. */
  private async renewLimits(group: GroupBranch): Promise<void> {
    await this.loan.send((client) => client.query(this.afterMember(group).join('; ')));
  }

  /** @returns the statements that reset the session and set the limits of this run. */
  private afterMember(group: GroupBranch): readonly string[] {
    return this.loan.send((client) => this.work.sessions.afterMember(client, this.limitsOf(group)));
  }

  /** Goes back to the last savepoint with at most so many members before it. */
  private async backTo(count: number): Promise<void> {
    const at = this.savepoints.findLastIndex(({ before }) => before <= count);
    const { name, before } = this.savepoints[at]!;
    await this.loan.send((client) => client.query(`ROLLBACK TO ${name}`));
    this.savepoints.length = at + 1;
    this.opened.length = before;
  }

  /** Asks the members behind those whose work stays for their statements. One without statements gets a vote. */
  private placesOf(members: readonly GivenWork[], votes: MemberVote[]): Place[] {
    const places: Place[] = [];
    for (let index = this.opened.length; index < members.length; index++) {
      const { id, batchOf } = members[index]!;
      try {
        const batch = batchOf();
        const signature = this.loners.signatures.of(batch.statements);
        if (signature === undefined || this.loners.has(signature)) votes[index] = 'alone';
        else places.push({ id, index, signature, batch, isReader: this.loners.isReader(signature) });
      } catch (error) {
        votes[index] = { vote: 'failed', error };
      }
    }
    return places;
  }

  /** Chooses whether the session is reset behind each member. */
  private choose(places: readonly Place[]): void {
    const tables = this.isMarked ? undefined : this.neutral.tablesOf(places.map(({ batch }) => batch));
    if (tables === undefined) this.isMarked = true;
    else for (const table of tables) this.neutralTables.add(table);
  }

  private written(place: Place, votes: MemberVote[]): Sent | undefined {
    try {
      const work = sentWork(place.batch, this.names);
      if (work !== undefined) return { ...place, work };
      votes[place.index] = 'alone';
    } catch (error) {
      votes[place.index] = { vote: 'failed', error };
    }
    return undefined;
  }

  private async ready({ deadline }: GroupBranch): Promise<void> {
    const steps = [
      (client: PoolClient) => this.work.look(client),
      (client: PoolClient) => this.work.ready(client, deadline, false),
      (client: PoolClient) => this.work.sessions.readyForGroup(client),
      readyToOpen,
    ];
    for (const step of steps) {
      const done = this.loan.send(step);
      if (done !== undefined) await done;
    }
  }

  /**
   * Sends all at once, in parts. If a member fails, its part runs again without it, and then the rest. So
   * what is open in the end is the work of all others, and no vote has seen anything of it.
   */
  private async runParts(
    group: GroupBranch,
    members: readonly Sent[],
    trials: readonly Sent[],
    votes: MemberVote[],
  ): Promise<void> {
    let rest = members;
    let untried = trials;
    for (let failures = 0; rest.length + untried.length > 0;) {
      const { parts, tried } = this.toSend(group, rest, untried.slice(0, TRIALS_AT_ONCE));
      const [answers, trialAnswers] = await this.sendAll(group, parts, tried);
      if (this.isBusy) return;
      const at = answers.findIndex(({ results }) => results === undefined);
      for (const [index, part] of parts.entries()) {
        if (index > at && at !== -1) break;
        const { savepoint: name } = part;
        if (name !== undefined) this.savepoints.push({ name, before: this.opened.length });
        if (index === at) break;
        for (const [own, vote] of this.votesOf(part, answers[index]!).entries()) {
          const { id, index: place } = part.members[own]!;
          votes[place] = vote;
          this.opened.push({ id, vote });
        }
      }
      if (at === -1) {
        await this.noteTrials(tried, trialAnswers, votes);
        // The others have not run: they get another group.
        if (trialAnswers.some(({ error }) => hasMetOthers(error)) || workLeftMs(group) === 0) return;
        rest = [];
        untried = untried.slice(TRIALS_AT_ONCE);
        continue;
      }
      const { error, doneAtMs } = answers[at]!;
      const { members: present, isMarked } = parts[at]!;
      if (!isMarked) {
        await this.backToMark(error);
        rest = parts.slice(at).flatMap((part) => part.members);
        continue;
      }
      const failed = doneAtMs.length;
      const vote = await this.voteAfter(error, this.opened.length + failed > 0);
      votes[present[failed]!.index] = vote;
      if (hasMetOthers(error) || ++failures === MOST_FAILURES) return;
      rest = [...present.toSpliced(failed, 1), ...parts.slice(at + 1).flatMap((part) => part.members)];
    }
  }

  /** It is not known which member of a part has failed: the part runs again, and shows when each is done. */
  private async backToMark(error: unknown): Promise<void> {
    this.throwUnlessOfMember(error);
    this.isMarked = true;
    this.neutral.watch();
    await this.backTo(this.opened.length);
  }

  private toSend(group: GroupBranch, members: readonly Sent[], trials: readonly Sent[]): ToSend {
    // It comes first: the limits count from there.
    const beginning = this.hasOpened ? undefined : this.beginning(group);
    const after = this.afterMember(group);
    const parts = partsOf(
      members,
      // Where nothing is reset behind each member, the transaction would keep the limits of the run that has opened it.
      beginning ?? (this.isMarked ? [] : after),
      this.hasOpened && this.savepoints.at(-1)!.before !== this.opened.length,
      this.isMarked ? after : [],
      () => `${START}_${++this.savepointsMade}`,
    );
    // Nothing is open for them if no member could be sent.
    return { parts, tried: this.hasOpened || parts.length > 0 ? trialsOf(trials, after) : [] };
  }

  /** Sends all parts, and opens the transaction with the first if there is none. */
  private async sendAll(
    group: GroupBranch,
    parts: readonly Part[],
    tried: readonly Part[],
  ): Promise<readonly [readonly PartAnswer[], readonly PartAnswer[]]> {
    const opens = !this.hasOpened;
    const sentAt = Date.now();
    const all = [...parts, ...tried];
    if (all.length === 0) return [[], []];
    const answers = await this.inTime(group, (client) => {
      if (opens) lockRequested(client);
      else if (!isInTransaction(client)) throw new Error('The transaction of the group has ended.');
      return Promise.all(all.map(({ statements }) => askGroup(client, statements.join('; '))));
    });
    // Also of a group that has ended: the same work may have been the reason.
    this.noteTimes(all, answers, opens ? answers[0]!.startedAtMs : sentAt - this.beganAt);
    this.loan.throwIfOver();
    if (opens) this.noteOpened(answers[0]!);
    const read = all.map((part, index) => answerFor(part, answers[index]!));
    return [read.slice(0, parts.length), read.slice(parts.length)];
  }

  /**
   * Sends a query, and stops the member at work when the time for it is over, and each that is tried behind
   * it. Work that was stopped has failed with SQLSTATE 57014, so it runs on its own.
   */
  private async inTime<T>(group: GroupBranch, query: (client: PoolClient) => Promise<T>): Promise<T> {
    let stopping: Promise<void> | undefined;
    let isAnswered = false;
    let stopsLeft = MOST_STOPS;
    const stop = (): void => {
      if (this.loan.isOver) return;
      stopping = this.loan
        .send((client) => this.pool.cancel(client))
        .then(() => {
          if (!isAnswered && --stopsLeft > 0) timer = setTimeout(stop, STOP_AGAIN_MS);
        })
        .catch((error: unknown) => this.giveUp(error));
    };
    const answer = this.loan.send(query);
    // What does not show which member is at work leaves time for a run that does.
    const leftMs = workLeftMs(group) / (this.isMarked ? 1 : 2);
    let timer = setTimeout(stop, Math.min(LONGEST_TIMER_MS, leftMs));
    try {
      return await answer;
    } finally {
      isAnswered = true;
      clearTimeout(timer);
      // On its way it would hit the next query.
      await stopping;
    }
  }

  private beginning(group: GroupBranch): string[] {
    this.beganAt = Date.now();
    return [
      ...this.work.begin(this.gid, 'BEGIN', group, true),
      openingOf(this.lockKey, group.waits === true),
      `SAVEPOINT ${START}`,
    ];
  }

  /**
   * @throws the error that has prevented it, unless no group can be here now: the members run on their own
   * then.
   */
  private noteOpened({ error, hasBegun, isLocked }: GroupAnswer): void {
    this.hasOpened = hasBegun && isLocked;
    if (this.hasOpened) return;
    const code = codeOf(error);
    if (code === NO_SUCH_STATEMENT) this.loan.send(forgetStatements);
    if (!hasBegun || (code !== FITS_NO_GROUP && !NOT_FREE.has(code))) throw error;
    if (code === FITS_NO_GROUP) this.loners.keepsAllOut();
    this.isBusy = true;
    this.giveUp(error);
  }

  private limitsOf({ deadline, run }: GroupBranch): GroupLimits {
    const leftMs = Math.max(0, remainingUntil(deadline));
    return {
      lockMs: this.work.sessions.limitsOf(leftMs).lockMs,
      totalMs: Date.now() - this.beganAt + leftMs + GRACE_MS,
      application: run.isShared === true ? applicationOf(run) : '',
    };
  }

  /**
   * Undoes the part that has failed, up to its savepoint. @param isBehind whether the constraints were
   * checked before, for another member. @throws the error if it is not one of this member.
   */
  private async voteAfter(error: unknown, isBehind: boolean): Promise<MemberVote> {
    this.throwUnlessOfMember(error);
    const { name } = this.savepoints.at(-1)!;
    const hasDeferred = await this.hasDeferred(`ROLLBACK TO ${name}; `);
    return voteBy(error, isBehind && hasDeferred);
  }

  /** @param first comes before the question whether a constraint is deferred from the start. */
  private async hasDeferred(first = ''): Promise<boolean> {
    const [answer] = await this.loan.send((client) =>
      lastRowsOf<{ deferred: string }>(client, first + HAS_DEFERRED),
    );
    this.loan.throwIfOver();
    return answer!.deferred === 'true';
  }

  private throwUnlessOfMember(error: unknown): void {
    if (isOfMember(error)) return;
    if (saysStatementsAreLost(error)) this.loan.send(forgetStatements);
    throw error;
  }

  private async noteTrials(
    tried: readonly Part[],
    answers: readonly PartAnswer[],
    votes: MemberVote[],
  ): Promise<void> {
    const hasFailed = answers.some(({ results }) => results === undefined);
    const hasDeferred = hasFailed && (await this.hasDeferred());
    for (const [index, part] of tried.entries()) {
      const answer = answers[index]!;
      const [member] = part.members;
      // The last one only undoes the work of the one before it.
      if (member === undefined) {
        if (answer.results === undefined) throw answer.error;
      } else if (answer.results === undefined) {
        this.throwUnlessOfMember(answer.error);
        votes[member.index] = voteBy(answer.error, hasDeferred);
      } else votes[member.index] = this.votesOf(part, answer)[0]!;
    }
  }

  private votesOf({ members }: Part, { results }: PartAnswer): MemberVote[] {
    return members.map(({ batch, signature, isReader }, index) => {
      try {
        const vote = batch.vote(results![index]!);
        if (expiringVoteIn(vote) !== undefined) return 'alone';
        if (vote !== 'commit' && vote !== 'read-only') return vote;
        if (isReader === (vote === 'read-only')) return vote;
        // Its writes are undone, or must be.
        if (isReader) this.loners.writesAfterAll(signature);
        else this.loners.votedReadOnly(signature);
        return 'alone';
      } catch (error) {
        return { vote: 'failed', error };
      }
    });
  }

  /**
   * Notes how long each member took, and the one at work when an error came.
   *
   * @param startedAtMs undefined if none was run.
   */
  private noteTimes(
    parts: readonly Part[],
    answers: readonly GroupAnswer[],
    startedAtMs: number | undefined,
  ): void {
    if (startedAtMs === undefined) return;
    if (parts.some(({ isMarked }) => !isMarked)) {
      this.neutral.took((Date.now() - this.beganAt - startedAtMs) / SLOW_MS);
      return;
    }
    let before = startedAtMs;
    for (const [at, { members }] of parts.entries()) {
      const { doneAtMs, error } = answers[at]!;
      for (const [index, { signature }] of members.entries()) {
        const isDone = index < doneAtMs.length;
        // Behind a lost connection it is not known which one was at work. One that has only waited for a lock
        // is not slow.
        if (!isDone && (!(error instanceof DatabaseError) || hasWaited(error))) return;
        const now = isDone ? doneAtMs[index]! : Date.now() - this.beganAt;
        this.loners.took(signature, now - before);
        if (!isDone) return;
        before = now;
      }
    }
  }
}

/** How long the work of a group may still take. */
function workLeftMs({ workDeadline, deadline }: GroupBranch): number {
  return Math.max(0, remainingUntil(workDeadline ?? deadline));
}
