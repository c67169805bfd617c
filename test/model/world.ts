import {
  type BranchSet,
  NO_BRANCHES,
  ProtocolTransaction,
  TOLD_NOTHING,
  type ToldNumber,
  VOTE_ABORT,
  VOTE_COMMIT,
  VOTE_NONE,
  VOTE_READ_ONLY,
  firstBranches,
  isDecidedByBranch,
} from '../../src/coordinator/protocol/index.js';
import type { Defect } from './defects.js';

/** What is the same in every state of a world. */
export interface WorldOptions {
  /** The most participants, 0 to 3. Fewer take part where fewer are enlisted. */
  readonly participants: number;
  /**
   * Whether participants are guarded: they remember a rollback and refuse a later prepare, so that prepares may be
   * repeated. Without the guard a prepare is delivered at most once, as a call in the same process is.
   */
  readonly guarded: boolean;
  /** Whether anything fails, refuses or is called off. @default true */
  readonly faults?: boolean;
  /** Whether messages of no use are forgotten; without it the states are the same, and many more. @default true */
  readonly forgetting?: boolean;
  /** What is wrong on purpose. @default nothing */
  readonly defect?: Defect;
}

/** Whose claim on the transaction the log holds. */
export const CLAIM_FIRST = 0;
/** The first coordinator claimed once more when it inquired. */
export const CLAIM_FRESH = 1;
export const CLAIM_SECOND = 2;

/** Not there, or crashed. */
export const DOWN = 0;
/** Has claimed, found no record, and so presumes abort. */
export const PRESUMING = 1;
/** Has claimed, and found the commit record. */
export const RESTORED = 2;
/** Only with a defect: has read that there is no record, and claims afterwards. */
export const READ_TOO_EARLY = 3;

export const VOTES = [VOTE_COMMIT, VOTE_READ_ONLY, VOTE_ABORT, VOTE_NONE] as const;

/**
 * One transaction and all that takes part in it: two coordinators, their log, the participants, and the messages on
 * the network. Every set of participants is a {@link BranchSet}. A message stays on the network once it is sent: never
 * to be delivered is its loss, to be delivered again its repetition, and any may be delivered before any other.
 */
export class World {
  /** The coordinator that began the transaction, in epoch 1: the state of the real protocol core. */
  readonly first = new ProtocolTransaction();
  crashed = false;
  /** How many participants are enlisted; a fact that outlives the coordinator. */
  size = 0;
  /** What the caller heard; a fact that outlives the coordinator. */
  told: ToldNumber = TOLD_NOTHING;

  /** A coordinator with a higher epoch: the first one recovered after a crash, or another that took over. */
  readonly second = new ProtocolTransaction();
  secondMode = DOWN;

  claim = CLAIM_FIRST;
  /** An append of the commit record is on its way to the log. */
  appending = false;
  /** The log holds the commit record, or did until its end. */
  recorded = false;
  /** An end record is on its way to the log. */
  ending = false;
  /** The commit record is gone from the log. */
  ended = false;
  /** Whom the commit record names: those that voted commit. */
  named: BranchSet = NO_BRANCHES;

  prepared: BranchSet = NO_BRANCHES;
  readOnly: BranchSet = NO_BRANCHES;
  refused: BranchSet = NO_BRANCHES;
  committed: BranchSet = NO_BRANCHES;
  rolledBack: BranchSet = NO_BRANCHES;

  prepares: BranchSet = NO_BRANCHES;
  /** The votes on their way to the first coordinator, by their numbers in the core. */
  readonly votes: [BranchSet, BranchSet, BranchSet, BranchSet] = [0, 0, 0, 0];
  commits: BranchSet = NO_BRANCHES;
  commitAcks: BranchSet = NO_BRANCHES;
  /** The rollbacks of each round, and their acknowledgements. */
  readonly rollbacks: [BranchSet, BranchSet] = [0, 0];
  readonly rollbackAcks: [BranchSet, BranchSet] = [0, 0];
  /** Rollbacks whose acknowledgement nobody waits for. */
  strayRollbacks: BranchSet = NO_BRANCHES;
  onePhaseRequest = false;
  onePhaseAnswer = false;

  constructor(readonly options: WorldOptions) {}

  /** Everybody enlisted. */
  get all(): BranchSet {
    return firstBranches(this.size);
  }

  /** Those enlisted that have not done anything yet. */
  get idle(): BranchSet {
    return this.all & ~(this.prepared | this.readOnly | this.refused | this.committed | this.rolledBack);
  }

  /** Whether a claim made now would find the commit record. */
  get hasRecord(): boolean {
    return this.recorded && !this.ended;
  }

  /** Whether the append on its way would succeed: the log takes a record of the claim it knows, and only one (M1). */
  get willRecord(): boolean {
    const isOfThisClaim =
      this.claim === CLAIM_FIRST || this.options.defect === 'the log takes a record of an old epoch';
    return this.appending && isOfThisClaim && !this.recorded;
  }

  /** Those that the first coordinator awaits a vote of. */
  get awaited(): BranchSet {
    return this.crashed || isDecidedByBranch(this.first) ? NO_BRANCHES : this.first.awaiting;
  }

  /** Those that the second coordinator awaits the acknowledgement of their commit of. */
  get openAtSecond(): BranchSet {
    return this.secondMode === RESTORED ? this.second.open : NO_BRANCHES;
  }

  /** Whoever sends commit hears no answer to what was sent before. */
  sendCommit(branches: BranchSet): void {
    this.commits |= branches;
    this.commitAcks &= ~branches;
  }
}
