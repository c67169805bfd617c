import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { FoundRecords } from '../execution/restored-runs.js';
import { LATE } from '../execution/time-limits.js';
import type { TransactionRecord } from '../execution/records.js';
import { textAt } from '../gate/failure.js';
import { settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { AdoptedRun, LogMembers, MemberEpoch, Renewal } from '../log/shared-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { NO_BRANCHES, idPrefixOf } from '../protocol/index.js';
import { type Judgement, RENEWALS_IN_A_LEASE, mayAdopt } from './suspicion.js';

/** An adoption may take so many leases: it reads everything that an epoch has left. */
const ADOPTION_LEASES = 12;

/** So many decisions that an earlier run of this process could not find out are asked for after one renewal. */
const MAX_ASKED = 100;

/** What a member tells people. */
export interface MemberReport {
  readonly level: 'log' | 'warn' | 'error';
  readonly message: string;
}

/** What brings the rest of an adopted epoch to its end. */
export interface TakesOver {
  takeOver(found: FoundRecords): Promise<unknown>;
  isClear(run: CoordinatorRun): boolean;
  preparedBy(epoch: number, names: ReadonlySet<string>, since: number): number | undefined;
}

/**
 * Adopts what members that are gone have left: fences an epoch, then reads it, then completes it. When nothing of an epoch
 * is open any more, the log is told so.
 */
export class Adoptions {
  /** What was adopted and is not settled yet, by epoch. */
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

  /** Adopts what may be adopted. While that is under way it is not started once more. It never throws. */
  consider(renewal: Renewal, judgement: Judgement): void {
    if (this.isStopped || this.underWay !== undefined) return;
    this.underWay = this.pass(renewal, judgement).finally(() => (this.underWay = undefined));
  }

  /** This member was fenced: what it had adopted is adopted together with its own epoch. */
  startAgain(): void {
    this.open.clear();
  }

  /** Nothing more is adopted. @returns a promise that resolves when nothing is under way, at the latest after one lease. */
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
      // What the log lists no more is settled. One that was settled before is adopted once more for its reports.
      for (const epoch of this.open.keys()) if (!listed.has(epoch)) this.open.delete(epoch);
      for (const member of renewal.epochs) {
        if (!this.mayGoOn(judgement)) return;
        if (!this.isNews(member) || !mayAdopt(member, renewal, judgement)) continue;
        // Since the renewal the owner may have renewed as well.
        if (!member.isFenced && clock.now() - seenAt > judgement.leaseMs / RENEWALS_IN_A_LEASE) return;
        // An epoch that cannot be adopted now keeps no other from its adoption.
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
    // The member may have been fenced meanwhile: then the adoption is the next one's.
    if (adoption === 'taken' || !this.mayGoOn(judgement)) return;
    for (const found of adoption.runs) {
      const { epoch, durable } = found.run;
      if (this.open.get(epoch)?.durable !== durable) await this.takeOver(found, member);
    }
  }

  /**
   * Whether an epoch is to be adopted, or adopted once more: nothing could be presumed of it then, and its owner, which was
   * only cut off, has looked at its mark since.
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

  /** Its process may stand still, with open work that holds locks. A participant that is down delays nothing here. */
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

  /** Whether a transaction of a run is known here whose branches have not all ended. */
  private hasOpen(run: CoordinatorRun): boolean {
    const prefix = idPrefixOf(run);
    let isOpen = false;
    this.runtime.registry.forEach(({ id, endedAt, open }) => {
      isOpen ||= id.startsWith(prefix) && (endedAt === 0 || open !== NO_BRANCHES);
    });
    return isOpen;
  }

  /**
   * Finds out what became of decisions of earlier runs of this process. Their callers were told that they are pending. The
   * answer of the log is final once the epoch is fenced, whichever member has adopted it.
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

  /** Unless this member itself is fenced, an adoption that fails says nothing of its own transactions. */
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
