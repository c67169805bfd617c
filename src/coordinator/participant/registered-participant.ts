import type { Type } from '@nestjs/common';
import { AwaitedParticipant } from './awaited-participant.js';
import type { ResolvedParticipantOptions } from './participant.options.js';
import type { Branch, TransactionParticipant } from './participant.js';

/** What has happened at one participant since the start. @publicApi */
export interface ParticipantCounts {
  commitVotes: number;
  readOnlyVotes: number;
  refusals: number;
  /** Throws and answers that are not votes, in prepare. */
  failures: number;
  timeouts: number;
  /** Answers to prepare that came after the abort. */
  lateAnswers: number;
  /** Those of them that were throws, or no votes, other than because the signal was aborted. */
  lateFailures: number;
  committed: number;
  rolledBack: number;
  /** Attempts to commit or roll back that failed. */
  failedAttempts: number;
  heuristicReports: number;
}

/** How many branches a participant can prepare at once, and who waits for it. @internal */
export interface Places {
  readonly isFull: boolean;
  take(branch: Branch): void;
  request(branch: Branch): void;
  release(branch: Branch): void;
  /** A branch was refused because it met another transaction. */
  conflicted(): void;
  /** A branch voted, or was refused for something else: it had what it may have waited for. */
  gotThrough(): void;
  /** Asks those that wait as far as there are places for them. */
  serve(): void;
}

/** What the server behind a participant can take; it hears when that runs short. @internal */
export interface ServerShortage {
  readonly limit: number;
  readonly used: number;
  /** Whether a transaction that has not been put to work is to wait. */
  readonly isBusy: boolean;
  lower(now: number): void;
  queuedLong(now: number): void;
}

/** Why a participant gets nothing to do for now. @publicApi */
export interface Pause {
  /** Since when, in milliseconds since the epoch. */
  readonly since: number;
  /** The name of the operator. */
  readonly by: string;
  readonly reason: string;
}

/**
 * One participant as the registry holds it. A branch keeps its own reference, so a participant that is removed
 * still gets the completion of what it prepared.
 *
 * @publicApi
 */
export class RegisteredParticipant {
  readonly name: string;
  instance!: TransactionParticipant;
  className!: string;
  options!: ResolvedParticipantOptions;
  /** What branches may name it by, besides its name. */
  classes!: readonly Type<TransactionParticipant>[];
  /** Where it is reached; undefined for one that is in this process. The log keeps it with each of its branches. */
  address!: string | undefined;
  readonly counts: ParticipantCounts = {
    commitVotes: 0,
    readOnlyVotes: 0,
    refusals: 0,
    failures: 0,
    timeouts: 0,
    lateAnswers: 0,
    lateFailures: 0,
    committed: 0,
    rolledBack: 0,
    failedAttempts: 0,
    heuristicReports: 0,
  };
  /** An operator has paused it: its prepares are refused, and its completions wait. */
  paused: Pause | undefined = undefined;
  /** The shorter of its time-outs, in milliseconds. */
  shortestTimeoutMs!: number;
  /** Whether it can commit the only branch of a transaction in one phase. */
  onePhase!: boolean;
  /** Whether what it prepares outlives the process. */
  preparesDurably!: boolean;
  /** Whether it has let the run of the coordinator in, where it is asked to. */
  isClaimed = true;
  /** Why it has not, as was reported the last time. */
  claimProblem: string | undefined = undefined;
  /** Whether it wants to be told when a branch starts, and when one has ended. */
  hearsStarts!: boolean;
  hearsEnds!: boolean;
  /** How often it threw when it was told. */
  defects = 0;
  /** Its place in the order of registration, in which participants prepare in turn. */
  rank = 0;
  /**
   * How many branches it can prepare at once; undefined where it has not said.
   *
   * @internal
   */
  places: Places | undefined = undefined;
  /**
   * The limit of the database server that it is on; undefined where it has not said.
   *
   * @internal
   */
  server: ServerShortage | undefined = undefined;

  constructor(
    instance: TransactionParticipant,
    className: string,
    options: ResolvedParticipantOptions,
    classes: readonly Type<TransactionParticipant>[],
    address?: string,
  ) {
    this.name = options.name;
    this.become(instance, className, options, classes, address);
  }

  /** Whether it stands in for a participant that is not registered (yet): nothing can be delivered to it. */
  get isAwaited(): boolean {
    return this.instance instanceof AwaitedParticipant;
  }

  /**
   * The participant that was awaited is there: what was kept for it is its own from now on.
   *
   * @internal
   */
  become(
    instance: TransactionParticipant,
    className: string,
    options: ResolvedParticipantOptions,
    classes: readonly Type<TransactionParticipant>[],
    address?: string,
  ): void {
    this.instance = instance;
    this.className = className;
    this.options = options;
    this.classes = classes;
    this.address = address;
    this.shortestTimeoutMs = Math.min(options.prepareTimeoutMs, options.completionTimeoutMs);
    this.onePhase = typeof instance.commitOnePhase === 'function';
    this.preparesDurably = instance.preparesDurably ?? typeof instance.recover === 'function';
    this.hearsStarts = typeof instance.branchStarted === 'function';
    this.hearsEnds = typeof instance.branchEnded === 'function';
  }
}
