import type { BranchRecord } from '../execution/records.js';
import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { messageOf } from '../gate/texts.js';
import { type UnconfirmedEnd, mayList } from '../execution/unconfirmed-ends.js';
import { type PreparedBranch, branchKey } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { originOf } from '../protocol/index.js';
import { type ListedBranch, countListed, isPreparedBranch, listedAt } from './listed-branches.js';
import { type Presumption, Presumptions } from './presumption.js';
import { LOOKED_AT_IN_A_SLICE, Slices } from './slices.js';
import { UndecidedTally } from './undecided-branches.js';

/**
 * For one list, at most this many branches of settled epochs are looked up in the log. The others follow
 * later.
 */
const MAX_ASKED = 100;

/** A list of branches, and what was known when it was asked for. */
interface Scan {
  readonly askedAt: number;
  /** How many runs were taken up. */
  readonly restoredRuns: number;
}

/** The branches of a shared log in the latest complete list of a participant. */
interface CompleteList extends Scan {
  /** How many branches each epoch has in it. */
  readonly epochs: ReadonlyMap<number, number>;
}

/**
 * Finds orphans: branches that an earlier run of this coordinator has prepared and left without a decision.
 * It concludes nothing from one list: a branch must be in two complete lists, {@link
 * CoordinatorOptions.orphanSafetyMs} apart. Then it is passed to the recovery of stalled branches, which
 * rolls it back.
 */
export class OrphanRecovery {
  /** When each branch of the latest complete list was first seen, by participant and branch. */
  private readonly sightings = new Map<RegisteredParticipant, ReadonlyMap<string, number>>();
  /** The running scans. A participant that has not answered is not asked again until it has. */
  private readonly scans = new Map<RegisteredParticipant, Promise<void>>();
  /** The last reported number of undecidable branches of each participant. */
  private readonly undecidable = new WeakMap<RegisteredParticipant, number>();
  /** The undecidable branches in the latest complete list of each participant. */
  private readonly undecided = new WeakMap<RegisteredParticipant, UndecidedTally>();
  private readonly completeLists = new WeakMap<RegisteredParticipant, CompleteList>();
  private readonly presumptions: Presumptions;
  private stopped = false;

  /** @param onFound hears that branches of a participant are to be rolled back now. */
  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly onFound: (participant: RegisteredParticipant) => void = () => {},
  ) {
    this.presumptions = new Presumptions(runtime);
  }

  /**
   * Asks every participant that can list its prepared branches.
   *
   * @returns a promise that resolves when all have answered.
   */
  async pass(): Promise<void> {
    if (!this.mayConclude) return;
    const participants = this.runtime.parts.participants.registered();
    for (const participant of this.sightings.keys()) {
      if (!participants.includes(participant)) this.sightings.delete(participant);
    }
    await Promise.all(participants.map((participant) => this.scanOnce(participant)));
  }

  /** As {@link pass}, with lists that are asked for from now on. */
  async passAnew(): Promise<void> {
    const underWay = [...this.scans];
    const later = underWay.map(([participant, scan]) => scan.then(() => this.scanOnce(participant)));
    await Promise.all([this.pass(), ...later]);
  }

  /**
   * Whether every participant that lists its branches has given a complete list since a run was taken up, and
   * the latest has no branch of it.
   *
   * @param number of the run, as {@link RestoredRuns} counts them.
   */
  isClear(epoch: number, number: number): boolean {
    return this.listing().every((participant) => {
      const list = this.completeLists.get(participant);
      return list !== undefined && list.restoredRuns >= number && !list.epochs.has(epoch);
    });
  }

  /**
   * How many branches an epoch that can start no more of them has prepared at some participants.
   *
   * @param names of the participants. One that cannot list its branches does not count.
   * @param since when the epoch was known to be fenced. Lists that were asked for before do not count.
   * @returns undefined while one of the participants has not given a complete list since.
   */
  preparedBy(epoch: number, names: ReadonlySet<string>, since: number): number | undefined {
    let count = 0;
    for (const participant of this.listing()) {
      if (!names.has(participant.name)) continue;
      const list = this.completeLists.get(participant);
      if (list === undefined || list.askedAt < since) return undefined;
      count += list.epochs.get(epoch) ?? 0;
    }
    return count;
  }

  private listing(): RegisteredParticipant[] {
    const participants = this.runtime.parts.participants.registered();
    return participants.filter(({ instance }) => instance.recover !== undefined);
  }

  /** Lists that arrive from now on are ignored. */
  stop(): void {
    this.stopped = true;
  }

  private scanOnce(participant: RegisteredParticipant): Promise<void> {
    if (!participant.isClaimed || participant.paused !== undefined) return Promise.resolve();
    if (participant.instance.recover === undefined) {
      this.confirmUnlisted(participant);
      return Promise.resolve();
    }
    const underWay = this.scans.get(participant);
    if (underWay !== undefined) return underWay;
    const scan = this.scan(participant).finally(() => this.scans.delete(participant));
    this.scans.set(participant, scan);
    return scan;
  }

  private async scan(participant: RegisteredParticipant): Promise<void> {
    const { parts } = this.runtime;
    const asked = { askedAt: parts.clock.now(), restoredRuns: this.runtime.restoredRuns.count };
    try {
      const listed: unknown = await participant.instance.recover?.(this.runtime.log.run);
      if (this.mayConclude) await this.conclude(participant, listed, asked);
    } catch (error) {
      // An incomplete list proves nothing, and does not show earlier branches again.
      parts.observer.scanFailed(participant, messageOf(error));
    }
  }

  /** It was awaited when its branches were completed. It is registered now, and cannot list its branches. */
  private confirmUnlisted(participant: RegisteredParticipant): void {
    const { unconfirmed, executor } = this.runtime;
    if (mayList(participant)) return;
    for (const { branch } of unconfirmed.of(participant.name)) {
      unconfirmed.remove(branch);
      executor.settled(branch.transaction);
    }
  }

  private get mayConclude(): boolean {
    return !this.stopped && !this.runtime.log.isLost;
  }

  private async conclude(participant: RegisteredParticipant, listed: unknown, asked: Scan): Promise<void> {
    const { parts } = this.runtime;
    const { askedAt } = asked;
    const slices = new Slices(LOOKED_AT_IN_A_SLICE);
    const now = parts.clock.now();
    const before = this.sightings.get(participant);
    const sightings = new Map<string, number>();
    const reopened = new Set<BranchRecord>();
    const undecided = new UndecidedTally(this.undecided.get(participant), now);
    const epochs = new Map<number, number>();
    const questions = { left: MAX_ASKED };
    let found = 0;
    const count = countListed(listed);
    for (let index = 0; index < count; index++) {
      const turn = slices.next();
      if (turn !== undefined) await turn;
      if (!this.mayConclude) return;
      const branch = listedAt(listed, index);
      this.noteEpoch(branch, epochs);
      if (isPreparedBranch(branch) && this.isOverByWord(participant, branch, askedAt, reopened)) continue;
      const concluded = this.presumptionOf(branch, participant, asked, questions);
      const presumption = typeof concluded === 'string' ? concluded : await concluded;
      if (presumption === 'leave') continue;
      if (presumption === 'abort-once') {
        this.rollBack(branch as PreparedBranch, participant);
        found++;
        continue;
      }
      if (presumption !== 'abort') {
        undecided.see(branch, presumption);
        continue;
      }
      const key = branchKey(branch as PreparedBranch);
      const firstSeenAt = before?.get(key) ?? now;
      // A list is as old as the question: its transit time proves nothing.
      if (before?.has(key) && askedAt - firstSeenAt >= parts.options.orphanSafetyMs) {
        this.rollBack(branch as PreparedBranch, participant);
      } else {
        sightings.set(key, firstSeenAt);
      }
    }
    this.sightings.set(participant, sightings);
    this.completeLists.set(participant, { ...asked, epochs });
    if (found > 0) this.onFound(participant);
    await this.confirmAbsent(participant, reopened, askedAt, slices);
    this.undecided.set(participant, undecided);
    const { undecidable } = undecided;
    if (undecidable === 0) parts.observer.decidable?.(participant);
    else if (this.undecidable.get(participant) !== undecidable) {
      parts.observer.undecidable(participant, undecidable);
    }
    this.undecidable.set(participant, undecidable);
    parts.observer.undecided?.(participant, undecided.result(askedAt, parts.options.orphanSafetyMs));
  }

  /**
   * Whether the completion of a listed branch is unconfirmed. It receives the decision again, unless the list
   * may be older than its end.
   *
   * @param seen collects the unconfirmed branches that are listed.
   */
  private isOverByWord(
    participant: RegisteredParticipant,
    listed: PreparedBranch,
    askedAt: number,
    seen: Set<BranchRecord>,
  ): boolean {
    const { unconfirmed, restoration } = this.runtime;
    const found = unconfirmed.find(participant.name, branchKey(listed));
    if (found === undefined) return false;
    seen.add(found.branch);
    if (this.isYoungEnough(askedAt, found)) restoration.reopen(found.branch, listed);
    return true;
  }

  /**
   * An unconfirmed branch that is missing from a complete list has ended: it no longer needs its decision.
   */
  private async confirmAbsent(
    { name }: RegisteredParticipant,
    listed: ReadonlySet<BranchRecord>,
    askedAt: number,
    slices: Slices,
  ): Promise<void> {
    const { unconfirmed, executor } = this.runtime;
    for (const end of unconfirmed.of(name)) {
      const turn = slices.next();
      if (turn !== undefined) await turn;
      if (!this.mayConclude) return;
      if (listed.has(end.branch) || !this.isYoungEnough(askedAt, end)) continue;
      unconfirmed.remove(end.branch);
      executor.settled(end.branch.transaction);
    }
  }

  /**
   * Lists may be stale. They count only if they were requested long enough after the event that they must
   * prove.
   */
  private isYoungEnough(askedAt: number, { since }: UnconfirmedEnd): boolean {
    return askedAt - since >= this.runtime.parts.options.orphanSafetyMs;
  }

  /** The conclusion about a branch. It is a promise only where the log has to be asked. */
  private presumptionOf(
    branch: ListedBranch,
    participant: RegisteredParticipant,
    asked: Scan,
    questions: { left: number },
  ): Exclude<Presumption, 'ask'> | Promise<Exclude<Presumption, 'ask'>> {
    const presumption = this.presumptions.of(branch, participant, asked.restoredRuns);
    if (presumption !== 'ask') return presumption;
    return questions.left-- > 0 ? this.presumptions.ask((branch as PreparedBranch).transactionId) : 'leave';
  }

  private noteEpoch(branch: ListedBranch, epochs: Map<number, number>): void {
    const { log } = this.runtime;
    if (log.shared === undefined || !isPreparedBranch(branch)) return;
    const origin = originOf(branch.transactionId);
    if (origin?.logId === log.run.logId) epochs.set(origin.epoch, (epochs.get(origin.epoch) ?? 0) + 1);
  }

  private rollBack(branch: PreparedBranch, participant: RegisteredParticipant): void {
    const { restoration, parts } = this.runtime;
    const orphan = restoration.orphan(branch, participant);
    if (orphan !== undefined) parts.observer.orphan(orphan);
  }
}
