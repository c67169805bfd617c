import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { FoundRecords } from '../execution/restored-runs.js';
import { LATE } from '../execution/time-limits.js';
import type { TransactionRecord } from '../execution/records.js';
import { textAt } from '../gate/failure.js';
import { settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { AdoptedRun, LogMembers, MemberEpoch, Renewal } from '../log/shared-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { Branches, idPrefixOf } from '../protocol/index.js';
import { type Judgement, RENEWALS_IN_A_LEASE, mayAdopt } from './suspicion.js';

/** How many leases one adoption may take: it reads everything that an epoch has left. */
const ADOPTION_LEASES = 12;

/**
 * After one renewal, at most this many undecided transactions of earlier runs of this process are looked up.
 */
const MAX_ASKED = 100;

/** A message for the log. */
export interface MemberReport {
  readonly level: 'log' | 'warn' | 'error';
  readonly message: string;
}

/** Completes the transactions of an adopted epoch. */
export interface TakesOver {
  takeOver(found: FoundRecords): Promise<unknown>;
  isClear(run: CoordinatorRun): boolean;
  preparedBy(epoch: number, names: ReadonlySet<string>, since: number): number | undefined;
}

/**
 * Adopts the epochs of members that are gone: it fences an epoch, then reads its records, then completes its
 * transactions. When no transaction of the epoch is open any more, it tells the log.
 */
export class Adoptions {
  /** The adopted epochs that are not settled yet, each with its run. */
  private readonly open = new Map<number, CoordinatorRun>();
  private underWay: Promise<void> | undefined;
  private lastProblem: string | undefined;
  private isStopped = false;

  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly members: LogMembers,
    private readonly recovery: TakesOver,
    private readonly report: (report: MemberReport) => void,
  ) {}

  /** The epochs that were adopted and are not settled. */
  get epochs(): readonly number[] {
    return [...this.open.keys()];
  }

  /** Adopts each epoch that may be adopted. Only one call does so at a time. It never throws. */
  consider(renewal: Renewal, judgement: Judgement): void {
    if (this.isStopped || this.underWay !== undefined) return;
    this.underWay = this.pass(renewal, judgement).finally(() => (this.underWay = undefined));
  }

  /**
   * This member was fenced: the next adopter of its epoch takes over the epochs that it had adopted as well.
   */
  startAgain(): void {
    this.open.clear();
  }

  /**
   * Ends all adoptions.
   *
   * @returns a promise that resolves when no adoption is under way, at the latest after one lease.
   */
  async stop(): Promise<void> {
    this.isStopped = true;
    const { timeLimits, parts } = this.runtime;
    await timeLimits.within(this.underWay, parts.options.leaseMs);
  }

  private async pass(renewal: Renewal, judgement: Judgement): Promise<void> {
    const { clock } = this.runtime.parts;
    const seenAt = clock.now();
    let problem: { readonly error: unknown } | undefined;
    try {
      const listed = new Set(renewal.epochs.map(({ epoch }) => epoch));
      // An epoch that the log does not list any more is settled. An epoch that was settled before may be
      // adopted once more for its reports.
      for (const epoch of this.open.keys()) if (!listed.has(epoch)) this.open.delete(epoch);
      for (const member of renewal.epochs) {
        if (!this.mayGoOn(judgement)) return;
        if (!this.isNews(member) || !mayAdopt(member, renewal, judgement)) continue;
        // The owner may have renewed its lease after this member's renewal, so look again.
        if (!member.isFenced && clock.now() - seenAt > judgement.leaseMs / RENEWALS_IN_A_LEASE) return;
        // If one epoch cannot be adopted now, the others still are.
        await this.adopt(member, judgement).catch((error: unknown) => (problem = { error }));
      }
      await this.settle(judgement);
      await this.askForEarlier(judgement);
      if (problem === undefined) this.lastProblem = undefined;
      else this.failed(problem.error, judgement);
    } catch (error) {
      this.failed(error, judgement);
    }
  }

  private mayGoOn({ own }: Judgement): boolean {
    const { log } = this.runtime;
    return !this.isStopped && !log.isLost && log.epoch === own;
  }

  private async adopt(member: MemberEpoch, judgement: Judgement): Promise<void> {
    const { timeLimits } = this.runtime;
    const limitMs = ADOPTION_LEASES * judgement.leaseMs;
    const adoption = await timeLimits.within(this.members.adopt(member.epoch), limitMs);
    if (adoption === LATE) throw new Error(`epoch ${member.epoch} was not adopted within ${limitMs} ms`);
    // If this member was fenced meanwhile, its adopter makes this adoption.
    if (adoption === 'taken' || !this.mayGoOn(judgement)) return;
    for (const found of adoption.runs) {
      const { epoch, durable } = found.run;
      if (this.open.get(epoch)?.durable !== durable) await this.takeOver(found, member);
    }
  }

  /**
   * Whether an epoch has to be adopted, or adopted once more. The second case: at the first adoption abort
   * could not be presumed, and since then its owner, which had only lost its connection, has compared its
   * mark with the log.
   */
  private isNews({ epoch, isPresumable }: MemberEpoch): boolean {
    const known = this.open.get(epoch);
    return known === undefined || (isPresumable && !known.durable);
  }

  private async takeOver(found: AdoptedRun, member: MemberEpoch): Promise<void> {
    const { run, decisions, reports } = found;
    this.endSessionsOf(run);
    await this.recovery.takeOver({ run, decisions, reports });
    if (!this.open.has(run.epoch)) this.runtime.members.adoptions[member.isFenced ? 'fenced' : 'lost']++;
    this.open.set(run.epoch, run);
    const of = run.epoch === member.epoch && member.member !== '' ? ` of the member "${member.member}"` : '';
    const rest = run.durable
      ? 'Its branches without a decision are rolled back'
      : 'The log may have lost records of it, so its branches without a decision are left alone until its member has compared its mark with the log, or a person decides';
    this.report({
      level: run.durable ? 'log' : 'error',
      message: `Adopted epoch ${run.epoch}${of}. Decisions to deliver: ${decisions.length}. ${rest}`,
    });
  }

  /**
   * Ends the sessions of a fenced run. Its process may have stopped in the middle of work that holds locks. A
   * participant that is down does not delay the adoption.
   */
  private endSessionsOf(run: CoordinatorRun): void {
    for (const { instance, name, isClaimed } of this.runtime.parts.participants.registered()) {
      if (!isClaimed || instance.endSessionsOf === undefined) continue;
      void settled(() => instance.endSessionsOf!(run)).then((answer) => {
        if (!('error' in answer)) return;
        const message = `"${name}" has not ended the sessions of epoch ${run.epoch}, so their locks stay until the deadline of their work`;
        this.report({ level: 'warn', message: `${message}: ${messageOf(answer.error)}` });
      });
    }
  }

  /** Tells the log which epochs have nothing open any more. */
  private async settle(judgement: Judgement): Promise<void> {
    for (const [epoch, run] of this.open) {
      if (!this.mayGoOn(judgement)) return;
      if (this.hasOpen(run) || !this.recovery.isClear(run)) continue;
      const isSettled = await this.runtime.timeLimits.within(this.members.settled(epoch), judgement.leaseMs);
      if (isSettled === true) this.open.delete(epoch);
    }
  }

  /** Whether this member knows a transaction of the run with a branch that has not ended. */
  private hasOpen(run: CoordinatorRun): boolean {
    const prefix = idPrefixOf(run);
    let isOpen = false;
    this.runtime.registry.forEach(({ id, endedAt, open }) => {
      isOpen ||= id.startsWith(prefix) && (endedAt === 0 || open !== Branches.NONE);
    });
    return isOpen;
  }

  /**
   * Finds the outcomes of transactions that earlier runs of this process could not decide. Their callers were
   * told `pending`. The log's answer is final once the epoch is fenced, whichever member has adopted it.
   */
  private async askForEarlier(judgement: Judgement): Promise<void> {
    const { registry, executor, log, timeLimits } = this.runtime;
    const unknown: TransactionRecord[] = [];
    registry.forEach((transaction) => {
      const isEarlier = registry.isOfEarlierRun(transaction.id) || registry.isRestored(transaction.id);
      const isAsked = isEarlier && executor.asksForRecord(transaction);
      if (isAsked && unknown.length < MAX_ASKED) unknown.push(transaction);
    });
    for (const transaction of unknown) {
      if (!this.mayGoOn(judgement)) return;
      const known = await timeLimits.within(log.shared!.outcomeOf(transaction.id), judgement.leaseMs);
      if (known === LATE) return;
      if (known.outcome === 'committed') executor.foundOut(transaction, true);
      else if (known.outcome === 'aborted') executor.foundOut(transaction, false);
    }
  }

  /**
   * A failed adoption does not affect the own transactions of this member, unless it says that this member is
   * fenced.
   */
  private failed(error: unknown, { own }: Judgement): void {
    const { log } = this.runtime;
    if (log.epoch !== own) return;
    if (textAt(error, 'code') === 'DTC_FENCED') log.lose();
    const problem = messageOf(error);
    if (problem === this.lastProblem || log.isLost) return;
    this.lastProblem = problem;
    this.report({ level: 'warn', message: `An adoption has failed, and is tried again: ${problem}` });
  }
}
