import {
  type BranchSet,
  Branches,
  ProtocolTransaction,
  Told,
  Voted,
  firstBranches,
  isDecidedByBranch,
} from '../../src/coordinator/protocol/index.js';
import type { Defect } from './defects.js';

/** What is the same in every state of a world. */
export interface WorldOptions {
  /** The most participants, 0 to 3. Fewer take part where fewer are enlisted. */
  readonly participants: number;
  /**
   * Whether participants are guarded: they remember a rollback and refuse a later prepare, so that prepares
   * may be repeated. Without the guard a prepare is delivered at most once, as a call in the same process is.
   */
  readonly guarded: boolean;
  /**
   * Whether the log is shared by three members. Then each of the other two may take over, also from one
   * another, it reads the log in a step of its own after its fence, the log keeps outcomes, and any member
   * answers. Without it one other coordinator takes over, which claims and reads in one step. @default false
   */
  readonly shared?: boolean;
  /** Whether anything fails, refuses or is called off. @default true */
  readonly faults?: boolean;
  /**
   * Whether messages of no use are forgotten; without it the states are the same, and many more.
   *
   * @default true
   */
  readonly forgetting?: boolean;
  /** What is wrong on purpose. @default nothing */
  readonly defect?: Defect;
}

/** Whose claim on the transaction the log holds. */
export const CLAIM_FIRST = 0;
/** The first coordinator claimed once more when it inquired. */
export const CLAIM_FRESH = 1;
/** Another coordinator has claimed the log, or fenced the epoch of the first one. */
export const CLAIM_SECOND = 2;

/** Not there, or crashed. */
export const DOWN = 0;
/** Has claimed, found no record, and so presumes abort. */
export const PRESUMING = 1;
/** Has claimed, and found the commit record. */
export const RESTORED = 2;
/** Only with a defect: has read that there is no record, and claims afterwards. */
export const READ_TOO_EARLY = 3;
/** Has fenced the epoch of the first coordinator, and has not read the log yet. */
export const FENCED = 4;

export const VOTES = [Voted.COMMIT, Voted.READ_ONLY, Voted.ABORT, Voted.NONE] as const;

/** A coordinator that takes over what another one has left. */
export class Adopter {
  /** The transaction as the record restores it. */
  readonly transaction = new ProtocolTransaction();
  mode = DOWN;

  /** The branches whose acknowledgement of the commit it awaits. */
  get open(): BranchSet {
    return this.mode === RESTORED ? this.transaction.open : Branches.NONE;
  }
}

/**
 * One transaction and all that takes part in it: two coordinators, or three, their log, the participants, and
 * the messages on the network. Every set of participants is a {@link BranchSet}. A message stays on the
 * network once it is sent: never to be delivered is its loss, to be delivered again its repetition, and any
 * may be delivered before any other.
 */
export class World {
  /** The coordinator that began the transaction, in epoch 1: the state of the real protocol core. */
  readonly first = new ProtocolTransaction();
  crashed = false;
  /** How many participants are enlisted; a fact that outlives the coordinator. */
  size = 0;
  /** What the caller heard; a fact that outlives the coordinator. */
  told: Told = Told.NOTHING;

  /** Coordinators with higher epochs: the first one recovered after a crash, or others that took over. */
  readonly adopters: readonly Adopter[];
  /** What a caller has heard from another member than the one that it had called. */
  asked: Told = Told.NOTHING;

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
  named: BranchSet = Branches.NONE;

  prepared: BranchSet = Branches.NONE;
  readOnly: BranchSet = Branches.NONE;
  refused: BranchSet = Branches.NONE;
  committed: BranchSet = Branches.NONE;
  rolledBack: BranchSet = Branches.NONE;

  prepares: BranchSet = Branches.NONE;
  /** The votes on their way to the first coordinator, by their numbers in the core. */
  readonly votes: [BranchSet, BranchSet, BranchSet, BranchSet] = [0, 0, 0, 0];
  commits: BranchSet = Branches.NONE;
  commitAcks: BranchSet = Branches.NONE;
  /** The rollbacks of each round, and their acknowledgements. */
  readonly rollbacks: [BranchSet, BranchSet] = [0, 0];
  readonly rollbackAcks: [BranchSet, BranchSet] = [0, 0];
  /** Rollbacks whose acknowledgement is not awaited. */
  strayRollbacks: BranchSet = Branches.NONE;
  onePhaseRequest = false;
  onePhaseAnswer = false;

  constructor(readonly options: WorldOptions) {
    this.adopters = options.shared === true ? [new Adopter(), new Adopter()] : [new Adopter()];
  }

  /** All enlisted participants. */
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

  /**
   * Whether the append on its way would succeed: the log takes a record of the claim it knows, and only one
   * (M1).
   */
  get willRecord(): boolean {
    const { defect } = this.options;
    const isOfThisClaim =
      this.claim === CLAIM_FIRST ||
      (this.claim === CLAIM_FRESH && defect === 'the log takes a record of an old incarnation') ||
      defect === 'the log takes a record of an old epoch';
    return this.appending && isOfThisClaim && !this.recorded;
  }

  /** Those that the first coordinator awaits a vote of. */
  get awaited(): BranchSet {
    return this.crashed || isDecidedByBranch(this.first) ? Branches.NONE : this.first.awaiting;
  }

  /** The branches whose acknowledgement of the commit an adopter awaits. */
  get openAtAdopters(): BranchSet {
    return this.adopters.reduce((open, adopter) => open | adopter.open, Branches.NONE);
  }

  /**
   * Whether a reader of the log hears that the transaction is committed: a shared log keeps that after the
   * end.
   */
  get hasOutcome(): boolean {
    const { shared, defect } = this.options;
    const isKept = shared === true && defect !== 'the log forgets the outcome at the end';
    return isKept ? this.recorded : this.hasRecord;
  }

  /** A sender of commit ignores answers to earlier messages. */
  sendCommit(branches: BranchSet): void {
    this.commits |= branches;
    this.commitAcks &= ~branches;
  }
}
