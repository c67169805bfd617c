import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { UndecidedReason } from '../execution/observer.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { isAbort, presume } from '../protocol/index.js';
import { type ListedBranch, isPreparedBranch } from './listed-branches.js';

/**
 * The conclusion about a prepared branch. `abort-once`: it is rolled back, and one list is enough, since it
 * was asked for after the epoch was fenced and read. `ask`: only the log knows.
 */
export type Presumption = 'leave' | 'abort' | 'abort-once' | 'ask' | UndecidedReason;

/** Concludes from what is known of runs what may be concluded of their branches. */
export class Presumptions {
  constructor(private readonly runtime: CoordinatorRuntime) {}

  /**
   * The conclusion about a listed branch. A branch whose id has another name or another form is not ours.
   *
   * @param restoredBefore how many runs were restored when the list was asked for.
   */
  of(branch: ListedBranch, participant: RegisteredParticipant, restoredBefore: number): Presumption {
    const { ids, log, registry, restoration, restoredRuns } = this.runtime;
    if (!isPreparedBranch(branch)) return 'malformed';
    const { transactionId } = branch;
    const origin = ids.originOf(transactionId);
    const restored = restoredRuns.of(transactionId);
    if (restored === undefined && origin.kind !== 'own') {
      return origin.kind === 'other-name' ? 'other-coordinator' : origin.kind;
    }
    const age = origin.kind === 'own' ? log.epoch - origin.epoch : undefined;
    const isShared = log.shared !== undefined && age !== undefined;
    if (isShared && restored === undefined) return this.ofOtherMember(log.epoch - age);
    const recorded = registry.isRestoredDecision(transactionId);
    const presumption = presume({ owns: !log.isLost, recorded, begunInThisEpoch: age === 0 });
    if (presumption !== 'abort') return 'leave';
    // It may wait for what another branch of its transaction decides.
    if (this.isOpenHere(transactionId)) return 'leave';
    // Without the decisions of that epoch there is nothing to presume from.
    if (restored === undefined && age! < 0) return 'later-run';
    if (!restoration.hasRoomFor(branch, participant)) return 'malformed';
    if (!(restored ?? log).durable) return 'earlier-run';
    if (!isShared || restored === undefined) return 'abort';
    return restored.number <= restoredBefore ? 'abort-once' : 'leave';
  }

  /** Asks the log about a branch of an epoch that no member has open any more, and that was prepared late. */
  async ask(transactionId: string): Promise<'leave' | 'abort-once' | UndecidedReason> {
    const known = await this.runtime.log.shared!.outcomeOf(transactionId);
    if (known.outcome === 'aborted') return 'abort-once';
    if (known.outcome === 'live') return 'leave';
    // It is prepared although its transaction is committed and over, or its outcome is not known any more.
    return known.outcome === 'unknown' && known.because === 'foreign' ? 'later-run' : 'earlier-run';
  }

  /**
   * Only the member that owns an epoch, or has adopted it, concludes anything of its branches as long as it
   * is open.
   */
  private ofOtherMember(epoch: number): Presumption {
    const { log, members } = this.runtime;
    return epoch === log.epoch || members.mayBeOpen(epoch) ? 'leave' : 'ask';
  }

  /**
   * Whether it is a transaction that is not aborted: of an earlier run of this process, or one whose record
   * names the branch that decides. It has an end of its own.
   */
  private isOpenHere(transactionId: string): boolean {
    const known = this.runtime.registry.find(transactionId);
    return known !== undefined && !isAbort(known.state);
  }
}
